"""Hand the log's checkpoints to third parties that remember them; never on the request's path.

What comes back is kept as anchor records, which packs carry and auditors verify offline
(`mifeng.audit.anchors`).

Source: docs/anchoring.md; docs/spec/anchor.md.
"""

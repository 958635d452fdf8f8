"""A witness: somebody else who remembers a log's newest checkpoint, cosigning only what extends it.

Deployed on its own, by a party that is not the log's operator. `wire` and `rules` are pure, `state`
remembers, `server` listens, `client` asks. Needs nothing but the base package.

Source: c2sp.org/tlog-witness, c2sp.org/tlog-cosignature; docs/spec/witness.md.
"""

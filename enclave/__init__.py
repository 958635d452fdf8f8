"""The node: everything that runs inside the trusted execution environment.

Read in this order: `epochs` (keys and their life), `intents` (what the log must have said),
`executor` (claim, open, run, seal, sign), `engines` (what a model is to the executor),
`server` (the link to the gateway), `main` (wiring).
"""

"""Anchors: what third parties remember of a log, verified offline from an audit pack.

Submitting is the gateway's (`gateway.anchors`); nothing here reaches a network.

Source: docs/spec/anchor.md.
"""

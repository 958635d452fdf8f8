"""Attestation verdicts and security events for a security centre (安全管理中心), and metrics.

`event` says what an event is, `syslog` and `cef` write it, `transport` carries it, `forwarder`
queues it, `otlp` exports numbers. Nothing here is on the path of a request.

Source: docs/forwarding.md.
"""

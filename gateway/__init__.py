"""The untrusted middle: authenticates tenants, finds nodes, relays ciphertext, keeps the log.

It holds no key that opens a request and imports no code that could (docs/adr/0001). Read in this
order: `admission` (is this node current), `nodes` (the link), `relay` (one exchange), `auditlog`,
then `api` (HTTP and gRPC) and `main`.
"""

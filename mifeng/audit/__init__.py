"""The auditor: packs of log entries that anybody can verify years later, offline.

`export` cuts a pack out of a gateway's log, `verify` believes nothing in it that it has not
checked, `story` tells one request in plain words, `compare` sets two packs side by side, `watch`
follows a live log. Nothing here is needed to serve a request, and nothing here trusts the gateway.

Source: docs/spec/audit-pack.md.
"""

"""The append-only audit log: what was asked, allowed, answered and refused.

`log.AuditLog` is what the gateway uses. Below it: `sequencer` decides what an append writes,
`writer` carries it out in groups, `store` says what storage must do, `sqlite` and `postgres` do it,
`guard` remembers the head outside the database, `hashes` reads subtrees for proofs. Outwards:
`publisher` writes `tiles` to a `target`; `restoring`, `copying`, `retention` are what `operating`
does for an operator.
"""

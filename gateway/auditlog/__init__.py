"""The append-only audit log: what was asked, allowed, answered and refused (DESIGN §8).

`log.AuditLog` is what the gateway uses. Below it: `sequencer` decides what an append writes,
`writer` carries it out in groups, `store` says what storage must do, `sqlite` does it, `guard`
remembers the head outside the database, `hashes` reads subtrees for proofs.
"""

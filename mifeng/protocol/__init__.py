"""The wire, sans I/O: no clock, socket, file or thread in here (docs/spec).

Read in this order: `codec`, `header`, `stream`, `envelope`, `body`, `keyset`, `bundle`,
`receipt`, `messages`, `session`; beside it `merkle`, `note`, `checkpoint`, `proof`, `promise`,
`entries` for the log, and `link` for the hop between gateway and node.
"""

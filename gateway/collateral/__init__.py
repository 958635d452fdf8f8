"""Collateral the gateway fetches from vendors and staples to a node's bundle.

Nothing here judges: `attestation` verifies what was stapled like everything else that came from
outside. `sources` says what a piece of evidence calls for, `fetch` gets it over HTTP, `store`
keeps it by digest and remembers how new it was, `staple` puts the three together.

Source: docs/collateral.md.
"""

"""Event logs: what a guest says it measured, believed only where it replays to quoted registers."""

"""The `mifeng` command: one module per verb."""

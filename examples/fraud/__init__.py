"""Risk scoring of tabular rows."""

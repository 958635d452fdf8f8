"""How fast it is, measured so that the ratios mean something.

`python -m benchmarks NAME [--quick] [--json]`. What is compared is measured in one run, turn by
turn, so that a machine that slows down slows both sides. What was measured, on which machine and
with which libraries goes into `results/`; docs/performance.md explains the figures.
"""

"""COSE as attestation tokens use it: single signatures over a payload that comes along."""

"""Hygon CSV, CSV2 and CSV3 guests: attestation reports of the secure processor."""

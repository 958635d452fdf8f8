"""Administrators in three separate roles (三权分立), and what each may do.

`actions` is the table, `directory` says who somebody is, `desk` records and permits.
Source: docs/privacy.md §5.
"""

"""Persons that requests are about, and administrators: their keys, and how these are destroyed.

`keyfile` holds the key above all keys, outside the database; `store` holds the wrapped keys;
`people` writes SUBJECT and ERASURE entries. Source: docs/privacy.md.
"""

"""The native core: SM2, SM3 and SM4-GCM in C, constant time, as the extension `_core`.

The extension is optional. Where it was not built, importing `_core` raises ImportError and
`mifeng.crypto` chooses another provider. What each C file does, and how it is shown to be
right and free of secret-dependent timing, is told in docs/native-crypto.md.
"""

"""Codes and messages of the crypto errors."""

from __future__ import annotations

import pytest

from mifeng.crypto import CryptoError, DecryptionError, KeyFormatError, SignatureError


def test_codes_are_stable() -> None:
    """Other packages, vectors and the CLI match on these."""
    assert {error: error().code for error in (CryptoError, DecryptionError, SignatureError)} == {
        CryptoError: "crypto",
        DecryptionError: "crypto.decryption",
        SignatureError: "crypto.signature",
    }
    assert KeyFormatError("why").code == "crypto.key"
    assert CryptoError("why", code="crypto.self_test").code == "crypto.self_test"


@pytest.mark.parametrize("error", [DecryptionError, SignatureError, KeyFormatError])
def test_all_errors_have_one_base(error: type[CryptoError]) -> None:
    """One `except CryptoError` catches everything raised on purpose."""
    assert issubclass(error, CryptoError)
    assert str(CryptoError()) == "crypto"

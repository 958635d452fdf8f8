"""The examples of GB/T 32918.5-2017 on the recommended curve, for self-tests of every provider.

Source: GB/T 32918.5-2017 annex A (signature, identifier 1234567812345678) and annex C (encryption).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mifeng.crypto.errors import CryptoError, DecryptionError, SignatureError

if TYPE_CHECKING:
    from collections.abc import Callable

SCALAR: Final = bytes.fromhex("3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8")
PUBLIC: Final = bytes.fromhex(
    "04"
    "09f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
    "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
)
MESSAGE: Final = b"message digest"
DIGEST: Final = bytes.fromhex("f0b43e94ba45accaace692ed534382eb17e6ab5a19ce7b31f4486fdfc0d28640")
"""e = SM3(Z_A ‖ MESSAGE)."""
SIGNATURE: Final = bytes.fromhex(
    "f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3"
    "b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa"
)
PLAINTEXT: Final = b"encryption standard"
CIPHERTEXT: Final = bytes.fromhex(
    "04"
    "04ebfc718e8d1798620432268e77feb6415e2ede0e073c0f4f640ecd2e149a73"
    "e858f9d81e5430a57b36daab8f950a3c64e6ee6a63094d99283aff767e124df0"
    "59983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766"
    "21886ca989ca9c7d58087307ca93092d651efa"
)
"""C1 ‖ C3 ‖ C2."""


def check(private_type: Any, public_type: Any) -> None:  # noqa: ANN401 - any provider's classes
    """Return if these classes reproduce the examples, refuse two spoilt ones, and round-trip.

    Raises:
        CryptoError: code `crypto.self_test`; the provider must not be used.
    """
    private, public = private_type.from_scalar(SCALAR), public_type.from_bytes(PUBLIC)
    try:
        public.verify(SIGNATURE, MESSAGE)
        public.verify_digest(SIGNATURE, DIGEST)
        public.verify(private.sign(MESSAGE, uid=b"another"), MESSAGE, uid=b"another")
        same = (
            private.public_key().to_bytes() == PUBLIC
            and private.decrypt(CIPHERTEXT) == PLAINTEXT
            and private.decrypt(public.encrypt(MESSAGE)) == MESSAGE
        )
    except (SignatureError, DecryptionError) as exc:
        raise CryptoError("SM2 self-test failed", code="crypto.self_test") from exc
    if not same:
        raise CryptoError("SM2 self-test failed", code="crypto.self_test")
    _must_refuse(lambda: public.verify(SIGNATURE, MESSAGE, uid=b"another"), SignatureError)
    spoilt = CIPHERTEXT[:70] + bytes((CIPHERTEXT[70] ^ 1,)) + CIPHERTEXT[71:]
    _must_refuse(lambda: private.decrypt(spoilt), DecryptionError)


def _must_refuse(call: Callable[[], object], error: type[CryptoError]) -> None:
    try:
        call()
    except error:
        return
    raise CryptoError("SM2 self-test: something spoilt was accepted", code="crypto.self_test")

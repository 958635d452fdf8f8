"""Check many signatures at once: the native core's SM2 lanes where there are any.

A batch is a list of independent verifications, each with its own verdict; nothing is combined at
random, so a bad signature is named and cannot hide behind a good one.

Source: GB/T 32918.2-2016 §7; docs/spec/crypto.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from mifeng.crypto import DEFAULT_UID, SignatureError, Sm2PublicKey, sm3_many
from mifeng.crypto.providers import implementation
from mifeng.crypto.signatures import VerifyKey
from mifeng.crypto.sm2_curve import identity_digest

_NATIVE: Final[Callable[[Sequence[tuple[Any, bytes, bytes]]], list[bool]] | None] = getattr(
    implementation("sm2"), "sm2_verify_batch", None
)
_SIZE: Final = 1024


@lru_cache(maxsize=1024)
def _identity(public: bytes) -> tuple[Sm2PublicKey, bytes]:
    return Sm2PublicKey.from_bytes(public), identity_digest(public, DEFAULT_UID)


@dataclass(slots=True)
class Batch:
    """Signatures that wait to be checked; `done` says which did not verify."""

    _sm2: list[tuple[bytes, bytes, bytes, int]] = field(default_factory=list)
    _bad: list[int] = field(default_factory=list)
    count: int = 0

    def add(self, key: VerifyKey, signature: bytes, message: bytes, mark: int) -> None:
        """Queue a verification; `mark` is how `done` will call it."""
        self.count += 1
        if key.alg == "sm2" and _NATIVE is not None:
            self._sm2.append((key.public_bytes, signature, message, mark))
            if len(self._sm2) >= _SIZE:
                self._check()
            return
        try:
            key.verify(signature, message)
        except SignatureError:
            self._bad.append(mark)

    def done(self) -> list[int]:
        """Check what waits and return the marks of all that failed so far, ascending."""
        self._check()
        return sorted(self._bad)

    def _check(self) -> None:
        if not self._sm2 or _NATIVE is None:
            return
        known = [_identity(public) for public, _, _, _ in self._sm2]
        texts = [z + job[2] for (_, z), job in zip(known, self._sm2, strict=True)]
        digests = sm3_many(texts)
        work = [
            (key, job[1], digest)
            for (key, _), job, digest in zip(known, self._sm2, digests, strict=True)
        ]
        verdicts = zip(self._sm2, _NATIVE(work), strict=True)
        self._bad += (job[3] for job, good in verdicts if not good)
        self._sm2.clear()

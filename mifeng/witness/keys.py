"""A witness's keys: SM2 for logs and clients of ours, Ed25519 for everybody else's tools.

Both cosign every checkpoint, whichever hash its log uses; a verifier pins the one it can check.

Source: c2sp.org/tlog-cosignature; docs/spec/log.md §4.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from mifeng.crypto import CryptoError, keyfiles
from mifeng.crypto.signatures import SigningKey
from mifeng.errors import UsageError
from mifeng.protocol.note import Cosigner, NoteKey

SM2_KEY: Final = "witness-sm2.pem"
ED25519_KEY: Final = "witness-ed25519.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessKeys:
    """What one witness cosigns with."""

    name: str
    sm2: SigningKey
    ed25519: Ed25519PrivateKey

    def cosigners(self, time: int) -> tuple[Cosigner, ...]:
        """Return the signers of a cosignature made at `time`, Unix seconds."""
        return Cosigner(self.name, self.sm2, time), Cosigner(self.name, self.ed25519, time)

    @property
    def public(self) -> tuple[NoteKey, ...]:
        """The verifier keys, SM2 first."""
        return tuple(signer.key for signer in self.cosigners(0))

    @classmethod
    def generate(cls, name: str) -> Self:
        """Return keys that live in memory only."""
        return cls(name=name, sm2=SigningKey.generate("sm2"), ed25519=Ed25519PrivateKey.generate())

    @classmethod
    def read(cls, folder: Path, name: str, passphrase: bytes) -> Self:
        """Return the keys in `folder`; raises `UsageError`."""
        try:
            sm2 = keyfiles.read_signing_key((folder / SM2_KEY).read_bytes(), passphrase)
            other = load_pem_private_key((folder / ED25519_KEY).read_bytes(), passphrase)
        except OSError as exc:
            raise UsageError(f"{exc.filename}: {exc.strerror}") from exc
        except (CryptoError, ValueError, TypeError) as exc:
            raise UsageError(f"{folder}: wrong passphrase, or not a witness's keys") from exc
        if sm2.alg != "sm2" or not isinstance(other, Ed25519PrivateKey):
            raise UsageError(f"{folder}: not a witness's keys")
        return cls(name=name, sm2=sm2, ed25519=other)

    @staticmethod
    def create(folder: Path, passphrase: bytes) -> None:
        """Write new encrypted key files; raises `UsageError` if there are some."""
        pem, _ = keyfiles.generate("sm2", passphrase)
        other = Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase)
        )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, data in ((SM2_KEY, pem), (ED25519_KEY, other)):
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                with os.fdopen(os.open(folder / name, flags, 0o600), "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as exc:
            raise UsageError(f"{exc.filename or folder}: {exc.strerror}") from exc

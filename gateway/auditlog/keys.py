"""The keys a log signs with: SM2 for everything, Ed25519 for the twin's checkpoints.

Source: docs/spec/log.md §4, §8.5.
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

from mifeng.crypto import keyfiles
from mifeng.crypto.errors import KeyFormatError
from mifeng.crypto.signatures import SigningKey

LOG_KEY: Final = "log-sm2.pem"
TWIN_KEY: Final = "log-twin-ed25519.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogKeys:
    """What signs for one log."""

    signer: SigningKey
    """SM2: checkpoints, intents, promises."""
    twin: Ed25519PrivateKey | None
    """Ed25519: checkpoints of the SHA-256 twin. None for a log without one."""
    previous: SigningKey | None = None
    """The SM2 key before a rotation: signs the KEY entry and, beside the new one, checkpoints."""

    @classmethod
    def generate(cls, *, twin: bool) -> Self:
        """Return new keys that live in memory only: for demonstrations and tests."""
        return cls(
            signer=SigningKey.generate("sm2"), twin=Ed25519PrivateKey.generate() if twin else None
        )

    @classmethod
    def read(cls, folder: Path, passphrase: bytes) -> Self:
        """Return the keys in `folder`; a log without a twin has one file only.

        Raises:
            OSError: no key file.
            KeyFormatError: a file is not a key of the right kind.
            DecryptionError: the passphrase is wrong.
        """
        signer = keyfiles.read_signing_key((folder / LOG_KEY).read_bytes(), passphrase)
        if signer.alg != "sm2":
            raise KeyFormatError(f"{LOG_KEY} is not an SM2 key")
        twin = folder / TWIN_KEY
        return cls(signer=signer, twin=_read_ed25519(twin, passphrase) if twin.exists() else None)

    @staticmethod
    def create(folder: Path, passphrase: bytes, *, twin: bool) -> None:
        """Write new encrypted key files into `folder`.

        Raises:
            FileExistsError: there is a key already; it is left alone.
        """
        pem, _ = keyfiles.generate("sm2", passphrase)
        _write_new(folder / LOG_KEY, pem)
        if twin:
            pem = Ed25519PrivateKey.generate().private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase)
            )
            _write_new(folder / TWIN_KEY, pem)


def _read_ed25519(path: Path, passphrase: bytes) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), passphrase)
    except (ValueError, TypeError) as exc:
        raise KeyFormatError(f"{path.name} is not an encrypted Ed25519 key") from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFormatError(f"{path.name} is not an Ed25519 key")
    return key


def _write_new(path: Path, pem: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())

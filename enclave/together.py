"""What a node does at once for the exchanges of one turn: open encapsulations, sign statements."""

from collections.abc import Sequence

from mifeng.crypto import DecryptionError
from mifeng.crypto.signatures import SigningKey
from mifeng.crypto.suites import SUITES, DecapKey
from mifeng.protocol import dsse
from mifeng.together import by_key

Unwrap = tuple[DecapKey, bytes]
"""A key and an encapsulation, untrusted."""
Sign = tuple[SigningKey, str, bytes]
"""A key, a payload type and a payload."""


def unwrap(jobs: Sequence[Unwrap]) -> list[bytes | Exception]:
    """Return each encapsulation's secret, or a `DecryptionError` for that one alone."""

    def many(key: DecapKey, cts: list[bytes]) -> list[bytes | Exception]:
        secrets = SUITES[key.suite_id].decap_many(key, cts)
        return [DecryptionError() if secret is None else secret for secret in secrets]

    return by_key(jobs, many)


def sign(jobs: Sequence[Sign]) -> list[bytes | Exception]:
    """Return each payload as a signed statement."""

    def many(key: SigningKey, statements: list[tuple[str, bytes]]) -> list[bytes]:
        return dsse.sign_many(statements, key)

    return by_key([(key, (kind, payload)) for key, kind, payload in jobs], many)

"""Platform keys the caller vouches for: one key, or a list of keys by platform.

Source: RFC 7517; the trust anchor store of veraison/ccatoken and of trustee (`tastore.json`).
"""

from dataclasses import dataclass
from typing import Final

from attestation import json_strict
from attestation.cose import keys
from attestation.cose.keys import Key
from attestation.json_fields import Fields

_CODE: Final = "arm-cca.cpak"
_WHAT: Final = "platform key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endorsement:
    """One key, for one platform or (ids None) for the token at hand."""

    key: Key
    implementation_id: bytes | None = None
    instance_id: bytes | None = None

    def covers(self, implementation_id: bytes, instance_id: bytes) -> bool:
        """Whether this key is vouched for as that platform's."""
        return (self.implementation_id in (None, implementation_id)) and (
            self.instance_id in (None, instance_id)
        )


def load(data: bytes) -> tuple[Endorsement, ...]:
    """Return the endorsements of one file.

    Raises:
        EvidenceMalformedError: neither a key nor a list of them (codes `arm-cca.cpak.*`).
    """
    if data.lstrip()[:1] != b"[":
        return (Endorsement(key=keys.vouched(data, what=_WHAT, code=_CODE)),)
    holder = Fields({"keys": json_strict.parse(data, what=_WHAT, code=_CODE)}, _WHAT, _CODE)
    return tuple(
        Endorsement(
            key=keys.jwk(each.member("pkey")),
            implementation_id=each.hex("implementation-id", 32),
            instance_id=each.hex("instance-id", 33),
        )
        for each in holder.objects("keys")
    )

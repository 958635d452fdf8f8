"""NVIDIA reference integrity manifests: which measurements are golden.

A RIM is a SWID tag (ISO/IEC 19770-2) with one Resource per measurement, signed as
`xmldsig` describes. `authenticate` reads the values from the canonical bytes the signature
covers. Whether the signer's certificates are valid at the instant of a verdict is `Rim.window`'s
to say; which RIM fits a device, and how they compare, is `reference`'s.

Source: TCG Reference Integrity Manifest Information Model 1.01; attestation-sdk
`nv-attestation-sdk-cpp/src/rim.cpp`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from types import MappingProxyType
from typing import Final

from lxml import etree

from attestation import json_strict
from attestation.errors import EvidenceMalformedError, malformed

from . import certificates, xmldsig
from .certificates import Path
from .roots import Root
from .spdm import DIGEST_BYTES

CHAIN_LENGTH: Final = 4
MAX_INDEX: Final = 255

_SWID: Final = "{http://standards.iso.org/iso/19770/-2/2015/schema.xsd}"
_HASH: Final = "{http://www.w3.org/2001/04/xmlenc#sha384}Hash"
_ROOT: Final = f"{_SWID}SoftwareIdentity"
_PARTS: Final = (f"{_SWID}Entity", f"{_SWID}Meta", f"{_SWID}Payload")
_RESOURCE: Final = f"{_SWID}Resource"
_NUMBER: Final = re.compile("0|[1-9][0-9]{0,3}")
_DIGEST: Final = re.compile(f"[0-9a-fA-F]{{{2 * DIGEST_BYTES}}}")
_ACTIVE: Final = {"True": True, "False": False}
_CACHED: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Rim:
    """An authentic manifest."""

    version: str
    """colloquialVersion: the driver's or the VBIOS's, upper case."""

    product: str
    """Chip, e.g. `GH100`, upper case."""

    tag_id: str
    golden: Mapping[int, tuple[bytes, ...]]
    """Accepted SHA-384 values of each active measurement, by RIM index, at least one each."""

    path: Path
    sha256: str
    """Of the document as delivered, for people: version and tag do not name a RIM uniquely."""

    @property
    def window(self) -> tuple[int, int]:
        """First and last Unix second at which every signer's certificate is valid."""
        return self.path.window


@lru_cache(maxsize=_CACHED)
def authenticate(raw: bytes, roots: tuple[Root, ...]) -> Rim:
    """Return the manifest in `raw`, signed by a path to a pinned root.

    Args:
        raw: untrusted; the XML, its base64, or the RIM service's JSON answer.
        roots: pins of RIM signing roots.

    Raises:
        EvidenceMalformedError: not a signed manifest (`nvidia.rim.*`, `nvidia.xml*`).
        EvidenceUntrustedError: content, signature or path is wrong (`nvidia.xmldsig.*`,
            `nvidia.rim.chain.*`).
    """
    document = unwrap(raw)
    signed = xmldsig.decode(document)
    path = certificates.verify_path(
        signed.certificates, roots, length=CHAIN_LENGTH, code="nvidia.rim.chain"
    )
    root = xmldsig.parse(xmldsig.verify(signed, path.leaf_key))
    if root.tag != _ROOT or [child.tag for child in root] != list(_PARTS):
        raise _bad("manifest", "SoftwareIdentity of Entity, Meta, Payload", root.tag)
    entity, meta, payload = root
    if len(entity) or len(meta):
        raise _bad("Entity and Meta", "no children", "some")
    return Rim(
        version=_attribute(meta, "colloquialVersion").upper(),
        product=_attribute(meta, "product").upper(),
        tag_id=_attribute(root, "tagId"),
        golden=_golden(payload),
        path=path,
        sha256=sha256(document).hexdigest(),
    )


def _golden(payload: etree._Element) -> Mapping[int, tuple[bytes, ...]]:
    """Return the accepted values of active measurements; every Resource is checked."""
    golden: dict[int, tuple[bytes, ...]] = {}
    seen: set[int] = set()
    for resource in payload:
        if resource.tag != _RESOURCE or len(resource):
            raise _bad("Payload", "Resources without children", resource.tag)
        index = _number(resource, "index")
        active = _ACTIVE.get(_attribute(resource, "active"))
        if index in seen or index > MAX_INDEX or active is None:
            raise _bad(f"Resource {index}", "once, small, active True or False", "not")
        if _attribute(resource, "type") != "Measurement":
            raise _bad(f"Resource {index}", "type Measurement", resource.get("type"))
        if _number(resource, "size") != DIGEST_BYTES:
            raise _bad(f"Resource {index}", f"size {DIGEST_BYTES}", resource.get("size"))
        seen.add(index)
        values = _values(resource, index)
        if active:
            golden[index] = values
    return MappingProxyType(golden)


def _values(resource: etree._Element, index: int) -> tuple[bytes, ...]:
    """Return Hash0 … Hash{n-1}; no more, no fewer than `alternatives` says, at least one."""
    count = _number(resource, "alternatives")
    present = {str(name) for name in resource.attrib if str(name).startswith(_HASH)}
    names = [f"{_HASH}{number}" for number in range(count)] if count <= MAX_INDEX else []
    if not names or present != set(names):
        raise _bad(f"Resource {index}", f"{count} Hash attributes, at least 1", len(present))
    texts = [_attribute(resource, name) for name in names]
    if not all(_DIGEST.fullmatch(text) for text in texts):
        raise _bad(f"Resource {index}", f"{DIGEST_BYTES} bytes of hex each", "other text")
    return tuple(bytes.fromhex(text) for text in texts)


def _attribute(element: etree._Element, name: str) -> str:
    value = element.get(name)
    if not value:
        raise _bad(str(element.tag), f"attribute {name}", "none")
    return value


def _number(element: etree._Element, name: str) -> int:
    value = _attribute(element, name)
    if not _NUMBER.fullmatch(value):
        raise _bad(f"{element.tag!r} {name}", "a number", value[:16])
    return int(value)


def unwrap(raw: bytes) -> bytes:
    """Return the XML inside what the RIM service or a file delivers."""
    if len(raw) > xmldsig.MAX_DOCUMENT_BYTES:
        raise _bad("size", f"<= {xmldsig.MAX_DOCUMENT_BYTES} bytes", len(raw))
    text = raw.strip()
    if text[:1] == b"{":
        text = _service_answer(text)
    if text[:1] == b"<":
        return text
    return certificates.unbase64(text, what="RIM", code="nvidia.rim.encoding").strip()


def _service_answer(text: bytes) -> bytes:
    """Return the `rim` member of the RIM service's JSON; its own `sha256` proves nothing."""
    answer = json_strict.parse_object(text, what="RIM service answer", code="nvidia.rim.service")
    rim = answer.get("rim")
    if not isinstance(rim, str):
        raise _bad("service answer", "a rim member", "none")
    return rim.encode(errors="replace").strip()


def _bad(claim: str, required: str, found: object) -> EvidenceMalformedError:
    return malformed("nvidia.rim.document", f"RIM {claim}", required, found)

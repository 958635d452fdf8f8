"""Enveloped XML signatures in the one profile NVIDIA's RIMs use; everything else is refused.

`verify` returns the canonical bytes that were hashed, and callers parse those: what is read is
what was signed, so a document that shows one thing to the verifier and another to the reader
(signature wrapping, comments inside text, a second Signature) has nothing to work with. The
parser takes no DTD, no entity, no processing instruction, no comment and no network.

Profile: one ds:Signature, a child of the root; Canonical XML 1.1 without comments;
ecdsa-sha384 with r ‖ s; one Reference, URI="", enveloped-signature then c14n11, SHA-384;
KeyInfo holds X509Certificates and nothing else. lxml writes Canonical XML 1.0, which is the same
bytes as 1.1 for documents without xml:* attributes; such attributes are refused.

Source: W3C XML Signature 1.1 §3.2, §6.6.4; W3C Canonical XML 1.1 §2.4; RFC 6931 §2.3.6.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha384
from hmac import compare_digest
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from lxml import etree

from attestation import x509
from attestation.errors import EvidenceMalformedError, malformed, untrusted

from .certificates import unbase64

MAX_DOCUMENT_BYTES: Final = 1 << 20
MAX_ELEMENTS: Final = 4096
MAX_ATTRIBUTES: Final = 300
"""Per element. The canonical form sorts attributes and namespaces in quadratic time."""
MAX_NAMESPACES: Final = 32
"""In scope of an element."""

DS: Final = "http://www.w3.org/2000/09/xmldsig#"
_XML: Final = "{http://www.w3.org/XML/1998/namespace}"
_C14N11: Final = "http://www.w3.org/2006/12/xml-c14n11"
_ENVELOPED: Final = f"{DS}enveloped-signature"
_ECDSA_SHA384: Final = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384"
_SHA384: Final = "http://www.w3.org/2001/04/xmldsig-more#sha384"
_SIGNATURE_BYTES: Final = 96
_DECLARATIONS: Final = (b"<!DOCTYPE", b"<!ENTITY", b"<!ELEMENT", b"<!ATTLIST")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A document whose Reference and shape were checked; `verify` checks who signed it."""

    content: bytes
    """Canonical bytes of the document without its Signature: what the digest covers."""

    certificates: tuple[x509.Certificate, ...]
    """As delivered in KeyInfo, signer first; untrusted until a path was built."""

    signed_info: bytes
    signature: bytes


def parse(raw: bytes) -> etree._Element:
    """Return the root element of a document that holds elements and text only.

    Raises:
        EvidenceMalformedError: oversize, not UTF-8, not well-formed, or with a DTD, an entity,
            a comment, a processing instruction or an xml:* attribute (codes `nvidia.xml.*`).
    """
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise malformed("nvidia.xml.size", "XML", f"<= {MAX_DOCUMENT_BYTES} bytes", len(raw))
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise malformed("nvidia.xml.encoding", "XML", "UTF-8", f"byte {exc.start}") from exc
    if any(each in raw.upper() for each in _DECLARATIONS) or b"\0" in raw:
        raise malformed("nvidia.xml.dtd", "XML", "no document type and no entity", "one")
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        recover=False,
    )
    try:
        root = etree.fromstring(raw, parser)
    except (etree.XMLSyntaxError, ValueError) as exc:
        raise malformed("nvidia.xml.syntax", "XML", "well-formed", type(exc).__name__) from exc
    nodes = [*root.iter(), *root.itersiblings(), *root.itersiblings(preceding=True)]
    if len(nodes) > MAX_ELEMENTS:
        raise malformed("nvidia.xml.size", "XML", f"<= {MAX_ELEMENTS} nodes", len(nodes))
    for node in nodes:
        if not isinstance(node.tag, str):
            raise malformed("nvidia.xml.node", "XML", "elements and text", type(node).__name__)
        if len(node.attrib) > MAX_ATTRIBUTES or len(node.nsmap) > MAX_NAMESPACES:
            required = f"<= {MAX_ATTRIBUTES} attributes, {MAX_NAMESPACES} namespaces"
            raise malformed("nvidia.xml.size", "XML element", required, "more")
        if any(str(name).startswith(_XML) for name in node.attrib):
            raise malformed("nvidia.xml.attribute", "XML", "no xml:* attribute", node.tag)
    return root


def decode(raw: bytes) -> Signed:
    """Return the parts of a signed document whose digest matches its content.

    Raises:
        EvidenceMalformedError: not the profile (codes `nvidia.xml.*`, `nvidia.xmldsig.profile`).
        EvidenceUntrustedError: the content is not what was signed (`nvidia.xmldsig.digest`).
    """
    root = parse(raw)
    signature = _only_signature(root)
    info, value, key_info = _children(signature, "SignedInfo", "SignatureValue", "KeyInfo")
    digest = _signed_info(info)
    (data,) = _children(key_info, "X509Data")
    listed = [_text(each) for each in _children(data, *["X509Certificate"] * len(data))]
    signed_info = _canonical(info)
    _detach(root, signature)
    content = _canonical(root)
    if not compare_digest(sha384(content).digest(), digest):
        raise untrusted("nvidia.xmldsig.digest", "XML digest", digest.hex(), "another")
    return Signed(
        content=content,
        certificates=tuple(
            x509.load_certificate(_base64(each), what="signer", code="nvidia.xmldsig.certificate")
            for each in listed
        ),
        signed_info=signed_info,
        signature=_base64(_text(value)),
    )


def verify(signed: Signed, key: ec.EllipticCurvePublicKey) -> bytes:
    """Return the canonical content, after checking that `key` signed it.

    Raises:
        EvidenceUntrustedError: it did not (`nvidia.xmldsig.signature`).
    """
    if len(signed.signature) != _SIGNATURE_BYTES:
        raise _profile("SignatureValue", f"{_SIGNATURE_BYTES} bytes", len(signed.signature))
    half = _SIGNATURE_BYTES // 2
    r, s = (int.from_bytes(part) for part in (signed.signature[:half], signed.signature[half:]))
    try:
        key.verify(encode_dss_signature(r, s), signed.signed_info, ec.ECDSA(SHA384()))
    except InvalidSignature as exc:
        raise untrusted(
            "nvidia.xmldsig.signature", "XML signature", "by the validated signer", "invalid"
        ) from exc
    return signed.content


def _only_signature(root: etree._Element) -> etree._Element:
    """Return the Signature, which is the only ds:* subtree and a child of the root."""
    found = list(root.iter(f"{{{DS}}}Signature"))
    if len(found) != 1 or found[0].getparent() is not root:
        raise _profile("ds:Signature", "one, child of the root", len(found))
    inside = sum(1 for _ in found[0].iter(f"{{{DS}}}*"))
    if sum(1 for _ in root.iter(f"{{{DS}}}*")) != inside:
        raise _profile("ds:* elements", "inside the Signature", "elsewhere too")
    if found[0].attrib:
        raise _profile("ds:Signature", "no attributes", sorted(map(str, found[0].attrib)))
    return found[0]


def _signed_info(info: etree._Element) -> bytes:
    """Return the DigestValue of a SignedInfo that is exactly the profile."""
    method, algorithm, reference = _children(
        info, "CanonicalizationMethod", "SignatureMethod", "Reference"
    )
    transforms, digest_method, digest = _children(
        reference, "Transforms", "DigestMethod", "DigestValue"
    )
    enveloped, canonical = _children(transforms, "Transform", "Transform")
    _algorithm(method, _C14N11)
    _algorithm(algorithm, _ECDSA_SHA384)
    _algorithm(enveloped, _ENVELOPED)
    _algorithm(canonical, _C14N11)
    _algorithm(digest_method, _SHA384)
    if dict(reference.attrib) != {"URI": ""}:
        raise _profile("Reference", 'URI=""', dict(reference.attrib))
    return _base64(_text(digest))


def _algorithm(element: etree._Element, wanted: str) -> None:
    """Refuse an element that is not one Algorithm attribute, without content."""
    if (
        dict(element.attrib) != {"Algorithm": wanted}
        or len(element)
        or (element.text or "").strip()
    ):
        raise _profile(str(element.tag), wanted, dict(element.attrib))


def _children(element: etree._Element, *names: str) -> Sequence[etree._Element]:
    """Return the children, which must be exactly these ds:* elements in this order."""
    found = [str(child.tag) for child in element]
    if not names or found != [f"{{{DS}}}{name}" for name in names]:
        raise _profile(f"children of {element.tag!r}", ", ".join(names) or "some", found[:8])
    return list(element)


def _text(element: etree._Element) -> str:
    """Return the text of an element that has nothing else."""
    if len(element) or element.attrib:
        raise _profile(str(element.tag), "text only", "more")
    return element.text or ""


def _base64(text: str) -> bytes:
    return unbase64(text.encode(), what="XML", code="nvidia.xmldsig.base64")


def _detach(root: etree._Element, signature: etree._Element) -> None:
    """Remove the Signature and leave the text that followed it (XMLDSig §6.6.4)."""
    before = signature.getprevious()
    tail = signature.tail or ""
    if before is not None:
        before.tail = (before.tail or "") + tail
    else:
        root.text = (root.text or "") + tail
    root.remove(signature)


def _canonical(element: etree._Element) -> bytes:
    try:
        return etree.tostring(element, method="c14n", exclusive=False, with_comments=False)
    except etree.LxmlError as exc:  # a relative namespace URI has no canonical form
        raise malformed("nvidia.xml.canonical", "XML", "a canonical form", "none") from exc


def _profile(claim: str, required: str, found: object) -> EvidenceMalformedError:
    return malformed("nvidia.xmldsig.profile", claim, required, found)

"""Attacks on signed XML: what is read is what was signed, or nothing is read."""

from base64 import b64encode
from collections.abc import Callable

import pytest
from lxml import etree

from attestation.errors import AttestationError, EvidenceMalformedError, EvidenceUntrustedError
from attestation.nvidia import rim, xmldsig
from tests.harness.tee import nvidia as sim

ROOTS = (sim.rim_root(),)
MANIFEST = sim.driver_rim()
VALID = MANIFEST.xml()
EVIL = sim.driver_rim(golden={7: [b"\x66" * 48]})
DS = "http://www.w3.org/2000/09/xmldsig#"
DSN = f"{{{DS}}}"


def _tree() -> etree._Element:
    return etree.fromstring(VALID)


def _signature(root: etree._Element) -> etree._Element:
    return next(root.iter(f"{DSN}Signature"))


def _edit(change: Callable[[etree._Element], object]) -> bytes:
    root = _tree()
    change(root)
    return etree.tostring(root)


def _replace(old: bytes, new: bytes) -> bytes:
    assert old in VALID
    return VALID.replace(old, new, 1)


def _wrap_original_inside_evil() -> bytes:
    """The classic: the signed document becomes a child, the attacker's is the root."""
    evil = etree.fromstring(EVIL.unsigned().encode())
    evil.append(_tree())
    return etree.tostring(evil)


def _move_signature_to_evil() -> bytes:
    evil = etree.fromstring(EVIL.unsigned().encode())
    evil.append(_signature(_tree()))
    return etree.tostring(evil)


def _wrap_in_object() -> bytes:
    """The signed content hides in a ds:Object, the attacker's stands in the open."""
    root = _tree()
    signature = _signature(root)
    evil = etree.fromstring(EVIL.unsigned().encode())
    root.remove(signature)
    holder = etree.SubElement(signature, f"{DSN}Object")
    holder.append(root)
    evil.append(signature)
    return etree.tostring(evil)


def _reference_by_id() -> bytes:
    """A Reference to an element by Id, with the original under it and another root."""
    root = etree.fromstring(sim.driver_rim(uri="#original").xml())
    root.set("Id", "original")
    return etree.tostring(root)


def _duplicate_ids() -> bytes:
    root = etree.fromstring(sim.driver_rim(uri="#x").xml())
    for child in root:
        child.set("Id", "x")
    return etree.tostring(root)


def _nested_signature() -> bytes:
    def change(root: etree._Element) -> None:
        signature = _signature(root)
        root.remove(signature)
        root[-1].append(signature)

    return _edit(change)


def _second_signature(root: etree._Element) -> None:
    root.append(etree.fromstring(etree.tostring(_signature(root))))


def _key_value(root: etree._Element) -> None:
    """A bare key beside the certificates, for a verifier that would take it."""
    etree.SubElement(next(root.iter(f"{DSN}KeyInfo")), f"{DSN}KeyValue")


def _foreign_ds(root: etree._Element) -> None:
    etree.SubElement(root[1], f"{DSN}X509Data")


def _extra_transform(root: etree._Element) -> None:
    transforms = next(root.iter(f"{DSN}Transforms"))
    xslt = etree.SubElement(transforms, f"{DSN}Transform")
    xslt.set("Algorithm", "http://www.w3.org/TR/1999/REC-xslt-19991116")


def _prefix_list(root: etree._Element) -> None:
    method = next(root.iter(f"{DSN}CanonicalizationMethod"))
    etree.SubElement(method, "{http://www.w3.org/2001/10/xml-exc-c14n#}InclusiveNamespaces")


def _second_reference(root: etree._Element) -> None:
    info = next(root.iter(f"{DSN}SignedInfo"))
    info.append(etree.fromstring(etree.tostring(next(info.iter(f"{DSN}Reference")))))


def _transplant() -> bytes:
    """Another manifest, its own digest, and the signature value of the valid one."""
    head, mark, rest = EVIL.xml().partition(b"<ds:SignatureValue>")
    value = VALID.partition(mark)[2].partition(b"<")[0]
    return head + mark + value + b"<" + rest.partition(b"<")[2]


DIGEST = sim.measured(7).hex().encode()
BILLION = b"".join(b'<!ENTITY a%d "%s">' % (at, b"&a%d;" % (at - 1) * 10) for at in range(1, 9))

MALFORMED = {
    "internal DTD": b"<!DOCTYPE SoftwareIdentity>" + VALID,
    "lower-case doctype": b"<!doctype SoftwareIdentity>" + VALID,
    "external DTD": b'<!DOCTYPE x SYSTEM "http://example.org/x.dtd">' + VALID,
    "billion laughs": b'<!DOCTYPE x [<!ENTITY a0 "ha">' + BILLION + b"]>" + VALID,
    "external entity": b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + VALID,
    "undefined entity": _replace(b"580.159.03", b"&version;"),
    "UTF-16": VALID.decode().encode("utf-16"),
    "UTF-16 doctype": ("<!DOCTYPE x>" + VALID.decode()).encode("utf-16"),
    "UTF-7 declared": b"<?xml version='1.0' encoding='UTF-7'?>+ADwAIQ-DOCTYPE x+AD4-",
    "comment in text": _replace(b"<ds:DigestValue>", b"<ds:DigestValue><!-- -->"),
    "comment in the document": _replace(b"    <ns0:Payload>", b"    <!-- --><ns0:Payload>"),
    "comment before the root": b"<!-- -->" + VALID,
    "comment after the root": VALID + b"<!-- -->",
    "processing instruction": _replace(b"    <ns0:Payload>", b"    <?evil?><ns0:Payload>"),
    "xml:base": _replace(b"<ns0:Entity", b'<ns0:Entity xml:base="http://example.org/"'),
    "xml:id": _replace(b"<ns0:Entity", b'<ns0:Entity xml:id="x"'),
    "NUL": VALID + b"\0",
    "not XML": b"<SoftwareIdentity",
    "two roots": VALID + VALID,
    "deep": b"<a>" * 5000 + b"</a>" * 5000,
    "wide": b"<a>" + b"<b/>" * xmldsig.MAX_ELEMENTS + b"</a>",
    "oversize": _replace(b"    <ns0:Payload>", b" " * (1 << 20) + b"<ns0:Payload>"),
    "60 000 attributes": b"<a " + b" ".join(b'a%d=""' % at for at in range(60_000)) + b"/>",
    "301 attributes": b"<a " + b" ".join(b'a%d=""' % at for at in range(301)) + b"/>",
    "30 000 namespaces": b"<a " + b" ".join(b'xmlns:a%d="u"' % at for at in range(30_000)) + b"/>",
    "33 namespaces": b"<a " + b" ".join(b'xmlns:a%d="u"' % at for at in range(33)) + b"/>",
    "no Signature": MANIFEST.unsigned().encode(),
    "original wrapped in another": _wrap_original_inside_evil(),
    "original in an Object": _wrap_in_object(),
    "Signature moved down": _nested_signature(),
    "two Signatures": _edit(_second_signature),
    "Signature with an Id": _replace(b"<ds:Signature xmlns", b'<ds:Signature Id="s" xmlns'),
    "Reference by Id": _reference_by_id(),
    "duplicate Ids": _duplicate_ids(),
    "two References": _edit(_second_reference),
    "KeyValue beside certificates": _edit(_key_value),
    "ds:* outside the Signature": _edit(_foreign_ds),
    "XSLT transform": _edit(_extra_transform),
    "InclusiveNamespaces": _edit(_prefix_list),
    "attribute on SignatureValue": _replace(b"<ds:SignatureValue>", b'<ds:SignatureValue Id="v">'),
    "element in DigestValue": _replace(b"<ds:DigestValue>", b"<ds:DigestValue><ds:x/>"),
    "no certificate": _edit(lambda root: next(root.iter(f"{DSN}X509Data")).clear()),
    "SHA-1 digest": sim.driver_rim(digest=f"{DS}sha1").xml(),
    "RSA signature": sim.driver_rim(method=f"{DS}rsa-sha1").xml(),
    "HMAC with the public key": sim.driver_rim(method=f"{DS}hmac-sha1").xml(),
    "exclusive canonical form": sim.driver_rim(
        c14n="http://www.w3.org/2001/10/xml-exc-c14n#"
    ).xml(),
    "with comments": sim.driver_rim(c14n="http://www.w3.org/2006/12/xml-c14n11#WithComments").xml(),
    "SignatureValue of another size": _edit(
        lambda root: setattr(next(root.iter(f"{DSN}SignatureValue")), "text", "AAAA")
    ),
    "SignatureValue no base64": _edit(
        lambda root: setattr(next(root.iter(f"{DSN}SignatureValue")), "text", "密封")
    ),
    "relative namespace": _replace(b"<ns0:Entity", b'<ns0:Entity xmlns:r="relative" r:a="b"'),
}

UNTRUSTED = {
    "content edited": _replace(DIGEST, b"66" * 48),
    "version edited": _replace(b"580.159.03", b"580.159.04"),
    "attribute added": _replace(b"<ns0:Entity", b'<ns0:Entity more="1"'),
    "text added": _replace(b"    <ns0:Payload>", b"    x<ns0:Payload>"),
    "Signature moved to another document": _move_signature_to_evil(),
    "signature of another manifest": _transplant(),
    "certificate dropped": _edit(
        lambda root: next(root.iter(f"{DSN}X509Data")).remove(
            list(root.iter(f"{DSN}X509Certificate"))[1]
        )
    ),
    "certificates reordered": _edit(
        lambda root: next(root.iter(f"{DSN}X509Data")).append(
            next(root.iter(f"{DSN}X509Certificate"))
        )
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_documents_outside_the_profile_are_malformed(case: str) -> None:
    """Everything the profile does not name is refused before any key is used."""
    with pytest.raises(EvidenceMalformedError) as caught:
        rim.authenticate(MALFORMED[case], ROOTS)
    assert caught.value.findings[0].code.startswith(("nvidia.xml", "nvidia.rim"))


@pytest.mark.parametrize("case", UNTRUSTED)
def test_documents_that_were_not_signed_like_this_are_untrusted(case: str) -> None:
    """Well-formed and in profile, but content, signature or path is not the signer's."""
    with pytest.raises(EvidenceUntrustedError):
        rim.authenticate(UNTRUSTED[case], ROOTS)


def test_oversize_documents_are_refused_before_parsing() -> None:
    """More than a mebibyte is no manifest."""
    with pytest.raises(EvidenceMalformedError, match=r"nvidia\.xml\.size"):
        xmldsig.parse(b" " * (xmldsig.MAX_DOCUMENT_BYTES + 1))


def test_the_limits_themselves_are_allowed() -> None:
    """300 attributes and 32 namespaces are not too many."""
    attributes = " ".join(f'a{at}=""' for at in range(xmldsig.MAX_ATTRIBUTES))
    spaces = " ".join(f'xmlns:n{at}="u"' for at in range(xmldsig.MAX_NAMESPACES))
    xmldsig.parse(f"<a {attributes} {spaces}/>".encode())


def test_content_is_the_canonical_document_without_its_signature() -> None:
    """`verify` returns the bytes the digest covers, and they parse again."""
    signed = xmldsig.decode(VALID)
    content = xmldsig.verify(signed, sim.key("rim-signer").public_key())
    assert b"Signature" not in content
    assert str(etree.fromstring(content).tag).endswith("SoftwareIdentity")


def test_a_signature_at_the_front_signs_the_same_content() -> None:
    """Where the Signature stands is not covered, so only the digest decides."""
    signed = xmldsig.decode(VALID)
    root = _tree()
    signature = _signature(root)
    tail = signature.tail
    root.remove(signature)
    root.insert(0, signature)
    signature.tail = (root.text or "") + (tail or "")
    root.text = ""
    assert xmldsig.decode(etree.tostring(root)).content == signed.content


def test_a_signature_without_tail_leaves_no_trace() -> None:
    """A document without white space round-trips through the removal of its Signature."""
    document = f'<a><ds:Signature xmlns:ds="{DS}"/></a>'
    root = xmldsig.parse(document.encode())
    xmldsig._detach(root, root[0])
    assert etree.tostring(root) in {b"<a></a>", b"<a/>"}


def test_every_flipped_bit_of_a_manifest_is_refused() -> None:
    """No single bit of the document is uncovered, but for white space the form does not keep."""
    reference = rim.authenticate(VALID, ROOTS)
    for at in range(0, len(VALID), 7):
        bent = bytearray(VALID)
        bent[at] ^= 0x01
        try:
            found = rim.authenticate(bytes(bent), ROOTS)
        except AttestationError:
            continue
        assert found.golden == reference.golden
        assert found.version == reference.version


@pytest.mark.parametrize(
    "wrapped",
    [
        b64encode(VALID),
        b"\n" + VALID + b"\n\n",
        b'{"id": "NV_X", "rim": "' + b64encode(VALID) + b'", "sha256": "00"}',
    ],
)
def test_a_manifest_is_found_in_every_form_it_is_delivered(wrapped: bytes) -> None:
    """XML, base64 of it, and the RIM service's answer carry the same manifest."""
    assert rim.authenticate(wrapped, ROOTS).golden == rim.authenticate(VALID, ROOTS).golden


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b'{"rim": 1}', "nvidia.rim.document"),
        (b'{"rim": "", "rim": ""}', "nvidia.rim.service.duplicate-key"),
        (b'{"rim": "%%%"}', "nvidia.rim.encoding"),
        (b"{", "nvidia.rim.service.json"),
        (b"A" * (3 << 20), "nvidia.rim.document"),
        (b"", "nvidia.xml.syntax"),
    ],
)
def test_answers_of_another_form_are_malformed(answer: bytes, code: str) -> None:
    """A wrapper that is not the RIM service's is refused as what it is."""
    with pytest.raises(EvidenceMalformedError) as caught:
        rim.authenticate(answer, ROOTS)
    assert caught.value.findings[0].code == code

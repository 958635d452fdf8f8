"""The shared readers: layouts, DER, strict JSON, typed fields, wrappers; total on any bytes."""

import json
from base64 import b64encode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestation import (
    Collateral,
    Evidence,
    EvidenceKind,
    EvidenceMalformedError,
    Role,
    der,
    json_strict,
)
from attestation.containers import MAX_EVIDENCE_BYTES, json_bytes, normalise, text_to_bytes
from attestation.json_fields import Fields
from attestation.layout import Field, le, read, split

TDX, GPU = EvidenceKind.INTEL_TDX, EvidenceKind.NVIDIA_GPU
LAYOUT = (Field("a", 0, 2), Field("b", 4, 2))


def code_of(caught: pytest.ExceptionInfo[EvidenceMalformedError]) -> str:
    """Return the first finding's code."""
    return caught.value.findings[0].code


def test_a_layout_cuts_bytes_and_refuses_what_it_does_not_name() -> None:
    """Wrong sizes and set reserved bytes are refused; `split` leaves them to its caller."""
    assert read(LAYOUT, b"\1\2\0\0\3\4", size=6, what="x", code="x") == {"a": b"\1\2", "b": b"\3\4"}
    assert le(b"\1\2") == 0x201
    for raw, code in ((b"", "x.size"), (b"\1\2\0\1\3\4", "x.reserved")):
        with pytest.raises(EvidenceMalformedError) as caught:
            read(LAYOUT, raw, size=6, what="x", code="x")
        assert code_of(caught) == code
    assert split(LAYOUT, b"\1\2\0\1\3\4", size=6, what="x", code="x")["b"] == b"\3\4"


BAD_DER = (
    b"",
    b"\x30",
    b"\x1f\x81\x01",
    b"\x30\x80",
    b"\x30\x81\x7f" + bytes(127),
    b"\x30\x82\x00\x80" + bytes(128),
    b"\x30\x85\x01\x00\x00\x00\x00",
    b"\x30\x82\x01",
    b"\x30\x02\x01",
)


@pytest.mark.parametrize("data", BAD_DER, ids=bytes.hex)
def test_what_is_not_der_is_refused(data: bytes) -> None:
    """High tags, indefinite, long-winded and short lengths are refused."""
    with pytest.raises(EvidenceMalformedError) as caught:
        der.element(data, 0, what="x", code="x")
    assert code_of(caught) == "x.der"


def test_der_reads_what_extensions_need() -> None:
    """Elements in order, one element alone, non-negative integers, files of sequences."""
    assert [e.value for e in der.elements(b"\2\1\5\4\2ab", what="x", code="x")] == [b"\5", b"ab"]
    assert der.only(b"\x30\x81\x80" + bytes(128), der.SEQUENCE, what="x", code="x") == bytes(128)
    assert der.unsigned(b"\0\xff", what="x", code="x") == 255
    assert der.split_sequences(b"\x30\0\x30\1\7\0\0", what="x", code="x") == (
        b"\x30\0",
        b"\x30\1\7",
    )
    for data in (b"\2\1\5\0", b"\4\0"):
        with pytest.raises(EvidenceMalformedError):
            der.only(data, der.INTEGER, what="x", code="x")
    for data in (b"", b"\xff", b"\0\1"):
        with pytest.raises(EvidenceMalformedError):
            der.unsigned(data, what="x", code="x")
    for data in (b"\2\1\5", b"\0\0"):
        with pytest.raises(EvidenceMalformedError):
            der.split_sequences(data, what="x", code="x")


@given(data=st.binary(max_size=60))
def test_der_is_total(data: bytes) -> None:
    """Any bytes are elements end to end, or our error."""
    try:
        found = list(der.elements(data, what="x", code="x"))
    except EvidenceMalformedError:
        return
    assert sum(each.size for each in found) == len(data)


BAD_JSON = {
    b"": "json",
    b"{": "json",
    b'{"a":1,"a":2}': "duplicate-key",
    b'[{"a":{"b":1,"b":1}}]': "duplicate-key",
    b"[NaN]": "json",
    b"[1] 2": "json",
    b"\xff": "json",
    b"\xef\xbb\xbf[]": "json",
    b"[" * 33 + b"]" * 33: "depth",
    b"[" + b"1" * 5000 + b"]": "json",
    b'"' + b"a" * json_strict.MAX_JSON_BYTES + b'"': "size",
}


@pytest.mark.parametrize("raw", BAD_JSON, ids=lambda raw: repr(raw[:12]))
def test_loose_json_is_refused(raw: bytes) -> None:
    """What another parser would read differently is refused by name."""
    with pytest.raises(EvidenceMalformedError) as caught:
        json_strict.parse(raw, what="x", code="x")
    assert code_of(caught) == f"x.{BAD_JSON[raw]}"


def test_members_are_the_exact_bytes() -> None:
    """A signed member keeps its spelling, white space and order."""
    raw = b' { "a" : { "z":1,  "y" : [ "}\\"" ] } , "b":1e2, "\\u0063" : "\xc3\xa9" } '
    found = json_strict.members(raw, what="x", code="x")
    assert found == {"a": b'{ "z":1,  "y" : [ "}\\"" ] }', "b": b"1e2", "c": b'"\xc3\xa9"'}
    assert json_strict.members(b"{}", what="x", code="x") == {}
    with pytest.raises(EvidenceMalformedError):
        json_strict.members(b"[]", what="x", code="x")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=9,
)


@given(tree=st.dictionaries(st.text(max_size=4), JSON, max_size=4))
def test_members_say_what_the_whole_says(tree: dict[str, object]) -> None:
    """Each member's bytes parse to the member's value."""
    raw = json.dumps(tree, indent=1).encode()
    assert json_strict.parse_object(raw, what="x", code="x") == tree
    spans = json_strict.members(raw, what="x", code="x")
    assert {name: json.loads(each) for name, each in spans.items()} == tree


@given(data=st.text(alphabet='{}[]",:\\ 01eau', max_size=30))
def test_json_is_total(data: str) -> None:
    """Any text is JSON, as the standard library reads it, or our error."""
    try:
        found = json_strict.parse(data.encode(), what="x", code="x")
    except EvidenceMalformedError:
        return
    assert found == json.loads(data)


def test_fields_are_typed() -> None:
    """Each accessor returns its type or names what it needed."""
    table: dict[str, object] = {
        "text": "a",
        "number": 3,
        "hex": "00fF",
        "utc": "2024-02-29T23:59:59Z",
        "object": {"x": "y"},
        "objects": [{}],
        "texts": ["b"],
        "mixed": [1],
        "bool": True,
    }
    fields = Fields.of(table, what="x", code="x")
    assert (fields.text("text"), fields.number("number")) == ("a", 3)
    assert fields.hex("hex", 2) == b"\0\xff"
    assert fields.utc("utc") == 1_709_251_199
    assert fields.member("object").text("x") == "y"
    assert len(fields.objects("objects")) == 1
    assert (fields.texts("texts"), fields.texts("none")) == (("b",), ())
    bad = (
        lambda: fields.text("number"),
        lambda: fields.text("none"),
        lambda: fields.number("text"),
        lambda: fields.number("bool"),
        lambda: fields.number("number", most=2),
        lambda: fields.hex("hex", 3),
        lambda: fields.hex("text", 1),
        lambda: fields.utc("text"),
        lambda: fields.member("text"),
        lambda: fields.objects("text"),
        lambda: fields.texts("mixed"),
        lambda: Fields.of([], what="x", code="x"),
    )
    for read_it in bad:
        with pytest.raises(EvidenceMalformedError) as caught:
            read_it()
        assert code_of(caught) == "x.field"


@pytest.mark.parametrize(
    "text",
    [
        "1969-12-31T00:00:00Z",
        "2024-13-01T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2024-01-01T24:00:00Z",
        "2024-01-01T00:60:00Z",
        "2024-01-01T00:00:60Z",
        "2024-01-01T00:00:00+00:00",
    ],
)
def test_times_that_do_not_exist_are_refused(text: str) -> None:
    """Only UTC instants of the calendar are times."""
    with pytest.raises(EvidenceMalformedError):
        Fields({"t": text}, "x", "x").utc("t")


RAW = bytes(range(256))


@pytest.mark.parametrize(
    "text",
    [
        RAW.hex().encode(),
        b"0x" + RAW.hex().upper().encode() + b"\n",
        b" ".join(RAW[i : i + 8].hex().encode() for i in range(0, 256, 8)),
        b64encode(RAW),
        urlsafe_b64encode(RAW).rstrip(b"="),
        b"\n".join(b64encode(RAW)[i : i + 64] for i in range(0, 344, 64)),
        b"a title\n-----BEGIN REPORT-----\n" + b64encode(RAW) + b"\n-----END REPORT-----\n",
    ],
)
def test_text_is_taken_out_of_its_wrapper(text: bytes) -> None:
    """Hex, base64 of either alphabet and one armoured block say the same bytes."""
    assert text_to_bytes(text, what="x", code="x") == RAW
    (unit,) = normalise(Evidence(TDX, text), Collateral())
    assert unit.evidence.raw == RAW


@pytest.mark.parametrize("text", [b"hello, world", b"====", b"A", b"-----BEGIN X-----"])
def test_other_text_is_refused(text: bytes) -> None:
    """Text that is none of the forms is malformed evidence."""
    with pytest.raises(EvidenceMalformedError):
        normalise(Evidence(TDX, text), Collateral())


@pytest.mark.parametrize(
    ("kind", "value", "code"),
    [
        (TDX, {"report": ""}, "json"),
        (TDX, [], "json"),
        (TDX, {"quote": 7}, "text"),
        (TDX, {"quote": [256]}, "text"),
        (TDX, {"quote": "é"}, "text"),
        (GPU, "x", "json"),
        (GPU, [], "count"),
        (GPU, [{"evidence": "00"}], "json"),
        (GPU, [7], "json"),
        (GPU, {"evidences": 7}, "json"),
        (GPU, [{"evidence": "00", "certificate": 7}], "text"),
    ],
)
def test_json_of_another_shape_is_refused(kind: EvidenceKind, value: object, code: str) -> None:
    """JSON that holds no evidence of the kind is malformed."""
    raw = json.dumps(value, ensure_ascii=False).encode()
    if not isinstance(value, str):
        with pytest.raises(EvidenceMalformedError) as caught:
            normalise(Evidence(kind, raw), Collateral())
        assert code_of(caught) == f"{kind.value}.container.{code}"


def test_agents_json_is_unwrapped_with_its_event_logs() -> None:
    """Quote and logs of trustee's agents and of dstack come out; hex, base64 and lists alike."""
    given = Collateral(((Role.DCAP, b"{}"),))
    wrapped = {
        "quote": RAW.hex(),
        "cc_eventlog": b64encode(b"log").decode(),
        "aa_eventlog": "INIT sha384/00\nevent",
        "event_log": '[{"imr":3}]',
    }
    (unit,) = normalise(Evidence(TDX, json.dumps(wrapped).encode()), given)
    assert unit.evidence.raw == RAW
    assert unit.collateral.items == (
        (Role.DCAP, b"{}"),
        (Role.EVENT_LOG, b"log"),
        (Role.EVENT_LOG, b'[{"imr":3}]'),
    )
    parsed = b'{"quote":"00","event_log":[{"imr":3}],"aa_eventlog":null}'
    (unit,) = normalise(Evidence(TDX, parsed), given)
    assert unit.collateral.all(Role.EVENT_LOG) == (b'[{"imr": 3}]',)
    (unit,) = normalise(Evidence(TDX, b'{"quote":[1,2],"event_log":""}'), given)
    assert (unit.evidence.raw, unit.collateral) == (b"\1\2", given)


def test_the_name_of_a_platform_beside_evidence_is_taken_off() -> None:
    """Agents name the platform around their evidence; without evidence inside it stays."""
    for name in ("platform", "tee"):
        wrapped = {name: "tdx", "evidence": {"outblob": RAW.hex(), "provider": "tdx_guest"}}
        (unit,) = normalise(Evidence(TDX, json.dumps(wrapped).encode()), Collateral())
        assert unit.evidence.raw == RAW
    (unit,) = normalise(Evidence(TDX, b'{"platform":"tdx","quote":"0102"}'), Collateral())
    assert unit.evidence.raw == b"\1\2"
    with pytest.raises(EvidenceMalformedError):
        normalise(Evidence(TDX, b'{"evidence":{"quote":"0102"}}'), Collateral())


def test_a_cca_token_comes_out_of_agents_json() -> None:
    """guest-components call it `token`, configfs-tsm `outblob`; other JSON is malformed."""
    for wrapped in ({"token": list(RAW)}, {"outblob": b64encode(RAW).decode(), "auxblob": ""}):
        data = json.dumps(wrapped).encode()
        (unit,) = normalise(Evidence(EvidenceKind.ARM_CCA, data), Collateral())
        assert unit.evidence.raw == RAW
    for other in (b"{}", b"[1]"):
        with pytest.raises(EvidenceMalformedError) as caught:
            normalise(Evidence(EvidenceKind.ARM_CCA, other), Collateral())
        assert code_of(caught) == "arm-cca.container.json"


@pytest.mark.parametrize("role", [Role.VEK, Role.CERT_CHAIN, Role.SNP_CRL])
def test_certificates_and_lists_in_text_are_decoded(role: Role) -> None:
    """DER or PEM in hex or base64 comes out; what is neither stays for its own reader."""
    der, pem = (
        b"\x30\x03\x02\x01\x07",
        b"-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n",
    )
    for plain in (der, pem):
        for text in (plain.hex().encode() + b"\n", b64encode(plain), plain):
            (unit,) = normalise(Evidence(TDX, RAW), Collateral(((role, text),)))
            assert unit.collateral.items == ((role, plain),)
    for other in (b"", b"{}", b"no text, of neither kind"):
        (unit,) = normalise(Evidence(TDX, RAW), Collateral(((role, other),)))
        assert unit.collateral.items == ((role, other),)
    with pytest.raises(EvidenceMalformedError) as caught:
        normalise(Evidence(TDX, RAW), Collateral(((role, b"AAAAA"),)))
    assert code_of(caught) == "intel-tdx.container.text"


def test_a_dstack_envelope_gives_up_its_quote() -> None:
    """The SCALE envelope, in JSON or bare, holds a vector; other bytes stay as they are."""
    envelope = bytes(2) + (len(RAW) << 2 | 1).to_bytes(2, "little") + RAW + b"more"
    wrapped = json.dumps({"attestation": envelope.hex()}).encode()
    for data in (envelope, wrapped):
        (unit,) = normalise(Evidence(TDX, data), Collateral())
        assert unit.evidence.raw == RAW
    for other in (b"\0\0\0\2rest", b"\0\0\1"):
        (unit,) = normalise(Evidence(TDX, other), Collateral())
        assert unit.evidence.raw == other


def test_serialized_gpu_evidence_gives_one_unit_per_device() -> None:
    """A list, or an object with a list, of reports and PEM chains, in base64 or in clear."""
    one = {"evidence": b64encode(RAW).decode(), "certificate": b64encode(b"chain").decode()}
    pem = {**one, "certificate": "-----BEGIN CERTIFICATE-----\n"}
    shapes = ([one, pem], {"device_evidence_list": [one, pem]})
    for shape in shapes:
        units = normalise(Evidence(GPU, json.dumps(shape).encode()), Collateral())
        assert [unit.evidence.raw for unit in units] == [RAW, RAW]
        chains = [unit.collateral.all(Role.CERT_CHAIN)[0] for unit in units]
        assert chains == [b"chain", b"-----BEGIN CERTIFICATE-----\n"]
    (unit,) = normalise(Evidence(GPU, json.dumps(one).encode()), Collateral())
    assert unit.evidence.raw == RAW
    many = json.dumps([one] * 65).encode()
    with pytest.raises(EvidenceMalformedError):
        normalise(Evidence(GPU, many), Collateral())


def test_json_inside_base64_is_unwrapped_too() -> None:
    """Some agents encode the JSON once more."""
    inner = b64encode(json.dumps({"quote": RAW.hex()}).encode())
    (unit,) = normalise(Evidence(TDX, inner), Collateral())
    assert unit.evidence.raw == RAW


def test_a_kind_whose_evidence_is_json_keeps_it() -> None:
    """JSON reaches its verifier byte for byte where it is the evidence."""
    raw = b'{"payload": {}}'
    (unit,) = normalise(Evidence(EvidenceKind.ASCEND_NPU, raw), Collateral())
    assert unit.evidence.raw == raw
    (unit,) = normalise(Evidence(EvidenceKind.SIMULATED, raw), Collateral())
    assert unit.evidence.raw == raw


def test_nothing_and_too_much_are_refused_at_once() -> None:
    """Empty files and anything over 1 MiB are not looked into."""
    big = bytes(MAX_EVIDENCE_BYTES + 1)
    for evidence, items in ((b"", ()), (big, ()), (b"\0", ((Role.OCSP, big),))):
        with pytest.raises(EvidenceMalformedError) as caught:
            normalise(Evidence(TDX, evidence), Collateral(items))
        assert code_of(caught) == "intel-tdx.container.size"


def test_json_values_stand_for_bytes() -> None:
    """Text and lists of small numbers are bytes; booleans are not numbers."""
    assert json_bytes([1, 255], what="x", code="x") == b"\1\xff"
    with pytest.raises(EvidenceMalformedError):
        json_bytes([True], what="x", code="x")


@given(data=st.binary(max_size=80))
def test_containers_are_total(data: bytes) -> None:
    """Any file of any kind is units or our error."""
    for kind in EvidenceKind:
        try:
            units = normalise(Evidence(kind, data), Collateral())
        except EvidenceMalformedError:
            continue
        assert units


BLOCK = b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----"


def test_text_around_certificates_is_dropped_from_files() -> None:
    """Tools write subjects and comments there; what may be a block of another kind stays."""
    text = b"Bag Attributes\nsubject=CN = x\n" + BLOCK + b"\n\n# next\n" + BLOCK + b"\nthe end"
    private = BLOCK + b"\n-----BEGIN KEY-----\nMAA=\n-----END KEY-----"
    bad = BLOCK + b"\n-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----"
    for role, data, expected in (
        (Role.CERT_CHAIN, text, BLOCK + b"\n" + BLOCK + b"\n"),
        (Role.VEK, text, BLOCK + b"\n" + BLOCK + b"\n"),
        (Role.CERT_CHAIN, private, private),
        (Role.CERT_CHAIN, bad, bad),
        (Role.CERT_CHAIN, b"\x30\x00", b"\x30\x00"),
        (Role.EVENT_LOG, text, text),
    ):
        (unit,) = normalise(Evidence(TDX, b"\1\0"), Collateral(((role, data),)))
        assert unit.collateral.items == ((role, expected),)


def test_of_several_blocks_the_quote_is_taken() -> None:
    """An archive of reports is a quote only if exactly one block says so."""

    def block(label: str, body: str) -> str:
        return f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"

    report, quote = block("REPORT", "AQI="), block("QUOTE", "AwQ=")
    (unit,) = normalise(Evidence(TDX, f"-- a --\n{report}-- b --\n{quote}".encode()), Collateral())
    assert unit.evidence.raw == b"\3\4"
    for text in (report + report, quote + quote):
        with pytest.raises(EvidenceMalformedError):
            normalise(Evidence(TDX, text.encode()), Collateral())
    with pytest.raises(EvidenceMalformedError):
        normalise(Evidence(GPU, (report + quote).encode()), Collateral())

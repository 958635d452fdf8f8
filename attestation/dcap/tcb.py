"""Intel's TCB info and QE identity: the documents, and how a platform is found in them.

Only the JSON whose signature `collateral` has checked comes here. Status words are Intel's,
verbatim. The verdict on a platform is the worst of platform, TDX module and quoting enclave.

Source: Intel SGX/TDX Provisioning Certification Service API v4, "Get TCB Info" and "Get QE
Identity"; Intel TDX DCAP Quote Verification, "TCB status evaluation".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from attestation import json_strict
from attestation.errors import malformed
from attestation.json_fields import Fields

from .pck import COMPONENTS, Pck

ORDER: Final = (
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
    "Revoked",
)
"""From best to worst."""

UP_TO_DATE: Final = ORDER[0]
REVOKED: Final = ORDER[-1]
_TCB_INFO_VERSION: Final = 3
_QE_IDENTITY_VERSION: Final = 2
_MAX_SVN: Final = 0xFFFF


def worst(statuses: Sequence[str]) -> str:
    """Return the worst of at least one status word."""
    return max(statuses, key=ORDER.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One row of a list of TCB levels."""

    sgx: tuple[int, ...]
    tdx: tuple[int, ...]
    svn: int
    """PCESVN of a platform's level, ISVSVN of a module's or quoting enclave's."""

    status: str
    advisories: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleIdentity:
    """Who may have signed a TDX module, and how patched it may be."""

    id: str
    mr_signer: bytes
    attributes: bytes
    mask: bytes
    levels: tuple[Level, ...]

    def matches(self, mr_signer_seam: bytes, seam_attributes: bytes) -> bool:
        """Whether a module is one of these."""
        masked = _and(seam_attributes, self.mask)
        return mr_signer_seam == self.mr_signer and masked == _and(self.attributes, self.mask)


@dataclass(frozen=True, slots=True, kw_only=True)
class TcbInfo:
    """What Intel says of all platforms of one FMSPC."""

    id: str
    issued: int
    next_update: int
    fmspc: bytes
    pce_id: bytes
    evaluation_number: int
    levels: tuple[Level, ...]
    module: ModuleIdentity | None
    module_identities: tuple[ModuleIdentity, ...]

    def platform_level(self, pck: Pck, tee_tcb_svn: bytes | None) -> Level | None:
        """Return the first level the platform reaches, or None.

        Args:
            pck: what Intel certified of the platform.
            tee_tcb_svn: TEE_TCB_SVN of a TDX quote, 16 bytes; None for SGX.
        """
        for level in self.levels:
            if pck.pce_svn < level.svn:
                continue
            if any(have < need for have, need in zip(pck.components, level.sgx, strict=True)):
                continue
            if tee_tcb_svn is not None:
                # Bytes 0 and 1 name the module's own version; from 1.1 on, its identity judges.
                first = 2 if tee_tcb_svn[1] else 0
                pairs = zip(tee_tcb_svn[first:], level.tdx[first:], strict=True)
                if any(have < need for have, need in pairs):
                    continue
            return level
        return None

    def module_identity(self, tee_tcb_svn: bytes) -> ModuleIdentity | None:
        """Return the identity that judges a module of this TEE_TCB_SVN, or None."""
        if not tee_tcb_svn[1]:
            return self.module
        wanted = f"TDX_{tee_tcb_svn[1]:02x}"
        for identity in self.module_identities:
            if identity.id.lower() == wanted.lower():
                return identity
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class QeIdentity:
    """What Intel says of its quoting enclaves."""

    id: str
    issued: int
    next_update: int
    evaluation_number: int
    misc_select: bytes
    misc_select_mask: bytes
    attributes: bytes
    attributes_mask: bytes
    mr_signer: bytes
    isv_prod_id: int
    levels: tuple[Level, ...]

    def mismatch(self, report: Mapping[str, bytes]) -> tuple[str, str, str] | None:
        """Return name, required and found of the first field of a QE report that is wrong."""
        # MISCSELECT is written as a number in JSON and little-endian in the report.
        misc = report["misc_select"][::-1]
        checks = (
            (
                "MISCSELECT",
                _and(self.misc_select, self.misc_select_mask),
                _and(misc, self.misc_select_mask),
            ),
            (
                "ATTRIBUTES",
                _and(self.attributes, self.attributes_mask),
                _and(report["attributes"], self.attributes_mask),
            ),
            ("MRSIGNER", self.mr_signer, report["mr_signer"]),
            ("ISVPRODID", self.isv_prod_id.to_bytes(2, "little"), report["isv_prod_id"]),
        )
        for name, required, found in checks:
            if required != found:
                return name, required.hex(), found.hex()
        return None


def level_by_svn(levels: Sequence[Level], svn: int) -> Level | None:
    """Return the first level of a module or enclave of this ISVSVN, or None."""
    return next((level for level in levels if level.svn <= svn), None)


def _and(left: bytes, right: bytes) -> bytes:
    return bytes(a & b for a, b in zip(left, right, strict=True))


def parse_tcb_info(raw: bytes, *, kind: str) -> TcbInfo:
    """Return the TCB info in the exact bytes Intel signed.

    Raises:
        EvidenceMalformedError: not TCB info of version 3 (codes `<kind>.tcb-info.*`).
    """
    code = f"{kind}.tcb-info"
    fields = Fields(json_strict.parse_object(raw, what="TCB info", code=code), "TCB info", code)
    _need_version(fields, _TCB_INFO_VERSION)
    name = fields.text("id")
    if fields.number("tcbType") != 0:
        raise malformed(f"{code}.type", "TCB info type", "0", fields.number("tcbType"))
    is_tdx = name == "TDX"
    return TcbInfo(
        id=name,
        issued=fields.utc("issueDate"),
        next_update=fields.utc("nextUpdate"),
        fmspc=fields.hex("fmspc", 6),
        pce_id=fields.hex("pceId", 2),
        evaluation_number=fields.number("tcbEvaluationDataNumber"),
        levels=tuple(_platform_level(each, is_tdx=is_tdx) for each in fields.objects("tcbLevels")),
        module=_module(fields.member("tdxModule"), "") if fields.has("tdxModule") else None,
        module_identities=tuple(
            _module(each, each.text("id")) for each in fields.objects("tdxModuleIdentities")
        )
        if fields.has("tdxModuleIdentities")
        else (),
    )


def parse_qe_identity(raw: bytes, *, kind: str) -> QeIdentity:
    """Return the enclave identity in the exact bytes Intel signed.

    Raises:
        EvidenceMalformedError: not an identity of version 2 (codes `<kind>.qe-identity.*`).
    """
    code = f"{kind}.qe-identity"
    tree = json_strict.parse_object(raw, what="QE identity", code=code)
    fields = Fields(tree, "QE identity", code)
    _need_version(fields, _QE_IDENTITY_VERSION)
    return QeIdentity(
        id=fields.text("id"),
        issued=fields.utc("issueDate"),
        next_update=fields.utc("nextUpdate"),
        evaluation_number=fields.number("tcbEvaluationDataNumber"),
        misc_select=fields.hex("miscselect", 4),
        misc_select_mask=fields.hex("miscselectMask", 4),
        attributes=fields.hex("attributes", 16),
        attributes_mask=fields.hex("attributesMask", 16),
        mr_signer=fields.hex("mrsigner", 32),
        isv_prod_id=fields.number("isvprodid", most=_MAX_SVN),
        levels=tuple(_svn_level(each) for each in fields.objects("tcbLevels")),
    )


def _need_version(fields: Fields, version: int) -> None:
    found = fields.number("version")
    if found != version:
        raise malformed(f"{fields.code}.version", f"{fields.what} version", version, found)


def _module(fields: Fields, name: str) -> ModuleIdentity:
    return ModuleIdentity(
        id=name,
        mr_signer=fields.hex("mrsigner", 48),
        attributes=fields.hex("attributes", 8),
        mask=fields.hex("attributesMask", 8),
        levels=tuple(_svn_level(each) for each in fields.objects("tcbLevels")) if name else (),
    )


def _platform_level(fields: Fields, *, is_tdx: bool) -> Level:
    tcb = fields.member("tcb")
    return Level(
        sgx=_components(tcb, "sgxtcbcomponents"),
        tdx=_components(tcb, "tdxtcbcomponents") if is_tdx else (),
        svn=tcb.number("pcesvn", most=_MAX_SVN),
        status=_status(fields),
        advisories=fields.texts("advisoryIDs"),
    )


def _svn_level(fields: Fields) -> Level:
    return Level(
        sgx=(),
        tdx=(),
        svn=fields.member("tcb").number("isvsvn", most=_MAX_SVN),
        status=_status(fields),
        advisories=fields.texts("advisoryIDs"),
    )


def _components(tcb: Fields, name: str) -> tuple[int, ...]:
    numbers = tuple(each.number("svn", most=0xFF) for each in tcb.objects(name))
    if len(numbers) != COMPONENTS:
        raise malformed(f"{tcb.code}.field", f"{tcb.what}.{name}", COMPONENTS, len(numbers))
    return numbers


def _status(fields: Fields) -> str:
    status = fields.text("tcbStatus")
    if status not in ORDER:
        raise malformed(f"{fields.code}.status", fields.what, ", ".join(ORDER), status)
    return status

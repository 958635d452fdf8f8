"""Claims and findings as plain JSON values, for people, logs, conditions and other tools.

Nothing here decides anything. Bytes become lower-case hex.

Source: docs/spec/appraisal.md §5.
"""

from collections.abc import Iterable, Mapping

from .claims import Claims
from .errors import Finding


def plain(value: object) -> object:
    """Return `value` with bytes as hex and every container as list or dict."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, str | bool | int | float) or value is None:
        return value
    if isinstance(value, Iterable):
        return [plain(each) for each in value]
    return str(value)


def finding_json(finding: Finding) -> dict[str, str]:
    """Return one finding as the command line prints it."""
    return {
        "code": finding.code,
        "claim": finding.claim,
        "required": finding.required,
        "found": finding.found,
    }


def status_json(claims: Claims | None) -> dict[str, str | None]:
    """Return the vendor's status words; all None without claims."""
    if claims is None:
        return {"tcb": None, "platform": None, "module": None, "qe": None}
    status = claims.status
    return {
        "tcb": status.tcb,
        "platform": status.platform,
        "module": status.module,
        "qe": status.qe,
    }


def claims_json(claims: Claims) -> dict[str, object]:
    """Return every claim by name; the vendor's own fields are under `details`."""
    return {
        "kind": claims.kind.value,
        "report_data": claims.report_data.hex(),
        "hardware_id": claims.hardware_id,
        "measurements": {name: value.hex() for name, value in claims.measurements.items()},
        "debug": claims.debug,
        "valid_until": claims.valid_until,
        "issued_at": claims.issued_at,
        "ratchets": dict(claims.ratchets),
        "details": plain(claims.details),
    }

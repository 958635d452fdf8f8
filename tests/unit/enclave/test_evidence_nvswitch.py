"""Evidence of NVIDIA switches, against a SIMULATED libnvidia-nscq built from C.

The library is compiled here with the vendor's types and calling conventions, so that structures
passed by value and callbacks are really exercised.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from attestation.evidence import EvidenceKind, Role
from enclave.evidence import AttesterError
from enclave.evidence.nvswitch import LIBRARY, Nscq, switches

NONCE = bytes(range(32))
SOURCE = r"""
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
typedef int8_t rc_t;
typedef struct { uint8_t bytes[16]; } uuid_t_;
typedef struct { char data[64]; } label_t;
typedef struct { void *handle; } session_t;
typedef struct { rc_t rc; session_t session; } result_t;
typedef struct { uint32_t size; uint8_t data[0x2000]; } report_t;
typedef struct { uint8_t data[0x1400]; uint32_t size; } chain_t;
typedef void (*uuid_fn)(const uuid_t_ *, rc_t, const uuid_t_ *, void *);
typedef void (*report_fn)(const uuid_t_ *, rc_t, report_t, void *);
typedef void (*chain_fn)(const uuid_t_ *, rc_t, chain_t, void *);
static uint8_t nonce[32];
static int mode(const char *name) { return strcmp(MODE, name) == 0; }
result_t nscq_session_create(uint32_t flags) {
    result_t made = { mode("no-driver") ? -16 : 1, { malloc(flags) } };
    return made;
}
void nscq_session_destroy(session_t session) { free(session.handle); }
rc_t nscq_session_set_input(session_t session, uint32_t flags, void *data, uint32_t size) {
    if (!session.handle || flags || size != 32 || mode("no-input")) return -5;
    memcpy(nonce, data, size);
    return 0;
}
rc_t nscq_uuid_to_label(const uuid_t_ *uuid, label_t *label, uint32_t flags) {
    snprintf(label->data, sizeof label->data, "SWX-%02X", uuid->bytes[0]);
    return (rc_t)flags;
}
rc_t nscq_session_path_observe(
    session_t session, const char *path, void *fn, void *data, uint32_t flags) {
    if (!session.handle || flags) return -5;
    if (strcmp(path, "/drv/nvswitch/{device}/uuid") == 0) {
        for (int i = 0; i < (mode("none") ? 0 : 4); i++) {
            uuid_t_ uuid = { { (uint8_t)(0xA0 + i) } };
            ((uuid_fn)fn)(&uuid, mode("broken-uuid") && i ? -128 : 0, &uuid, data);
        }
        return 0;
    }
    uuid_t_ uuid = { { 0 } };
    if (strstr(path, "attestation_report")) {
        report_t report = { 0 };
        report.size = (uint32_t)sprintf((char *)report.data, "report %.6s ", path + 1);
        memcpy(report.data + report.size, nonce, 32);
        report.size += 32;
        if (mode("too-long")) report.size = 0x2001;
        if (mode("empty")) report.size = 0;
        ((report_fn)fn)(&uuid, mode("refused") ? -128 : 0, report, data);
        if (mode("twice")) ((report_fn)fn)(&uuid, 0, report, data);
        return 0;
    }
    if (mode("no-chain")) return -3;
    chain_t chain = { { 0 }, 0 };
    chain.size = (uint32_t)sprintf((char *)chain.data, "chain %.6s", path + 1);
    ((chain_fn)fn)(&uuid, 0, chain, data);
    return 0;
}
"""


def library(folder: Path, mode: str = "good") -> str:
    """Return the path of a library that plays switches, all well or with one thing wrong."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to build the simulated library with")
    source, built = folder / "nscq.c", folder / "libnscq.so"
    source.write_text(SOURCE)
    options = ["-shared", "-fPIC", "-O1", f'-DMODE="{mode}"', "-o", str(built), str(source)]
    subprocess.run([compiler, *options], check=True)
    return str(built)


def test_every_switch_answers(tmp_path: Path) -> None:
    """Each switch signs the nonce, and its chain comes along."""
    name = library(tmp_path)
    found = switches(NONCE, open_session=lambda: Nscq(name))
    assert [each.device_id for each in found] == ["SWX-A0", "SWX-A1", "SWX-A2", "SWX-A3"]
    assert {each.evidence.kind for each in found} == {EvidenceKind.NVIDIA_NVSWITCH}
    assert found[2].evidence.raw == b"report SWX-A2 " + NONCE
    assert found[2].collateral.items == ((Role.CERT_CHAIN, b"chain SWX-A2"),)


def test_a_switch_that_does_not_name_itself_is_not_there(tmp_path: Path) -> None:
    """The board is then incomplete, which its verifier says."""
    name = library(tmp_path, "broken-uuid")
    assert len(switches(NONCE, open_session=lambda: Nscq(name))) == 1


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("no-driver", "session: error -16"),
        ("no-input", "nonce: error -5"),
        ("no-chain", "config/certificate: error -3"),
        ("refused", "0 answers"),
        ("too-long", "0 answers"),
        ("empty", "1 answers"),
        ("twice", "2 answers"),
        ("none", "no switch"),
    ],
)
def test_what_goes_wrong_is_said(tmp_path: Path, mode: str, message: str) -> None:
    """No driver, no switch, or one that refuses, answers twice or not at all."""
    name = library(tmp_path, mode)
    with pytest.raises(AttesterError, match=message):
        switches(NONCE, open_session=lambda: Nscq(name))


def test_a_missing_library_is_an_error(tmp_path: Path) -> None:
    """As is a nonce of another length, which is the caller's mistake."""
    with pytest.raises(AttesterError, match="NSCQ"):
        Nscq(str(tmp_path / LIBRARY))
    with pytest.raises(AttesterError, match="NSCQ"):
        switches(NONCE)
    with pytest.raises(ValueError, match="32 bytes"):
        switches(NONCE[1:])

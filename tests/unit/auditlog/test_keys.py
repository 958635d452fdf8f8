"""Log keys: files, and the KEY entries that introduce them."""

import dataclasses
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.auditlog.errors import LogRefusedError
from gateway.auditlog.keys import LOG_KEY, TWIN_KEY, LogKeys
from mifeng.crypto import keyfiles
from mifeng.crypto.errors import CryptoError, KeyFormatError
from mifeng.crypto.signatures import SigningKey
from mifeng.errors import UsageError
from mifeng.protocol import checkpoint, entries
from tests.unit.auditlog.harness import KEYS, ORIGIN, start, stored


@pytest.mark.parametrize("twin", [True, False])
def test_key_files_are_made_once_and_read_with_their_passphrase(
    tmp_path: Path, *, twin: bool
) -> None:
    """Files are private, encrypted and never overwritten."""
    LogKeys.create(tmp_path, b"correct horse", twin=twin)
    found = LogKeys.read(tmp_path, b"correct horse")
    assert found.signer.alg == "sm2"
    assert (found.twin is not None) is twin
    assert (tmp_path / LOG_KEY).stat().st_mode & 0o777 == 0o600
    with pytest.raises(CryptoError):
        LogKeys.read(tmp_path, b"wrong")
    with pytest.raises(FileExistsError):
        LogKeys.create(tmp_path, b"correct horse", twin=twin)


def test_keys_of_the_wrong_kind_are_refused(tmp_path: Path) -> None:
    """A P-256 key does not sign the log, nor an SM2 key or garbage the twin."""
    LogKeys.create(tmp_path, b"p", twin=True)
    sm2 = (tmp_path / LOG_KEY).read_bytes()
    (tmp_path / TWIN_KEY).write_bytes(sm2)
    with pytest.raises(KeyFormatError):
        LogKeys.read(tmp_path, b"p")
    p256, _ = keyfiles.generate("p256", b"p")
    (tmp_path / TWIN_KEY).write_bytes(p256)
    with pytest.raises(KeyFormatError):
        LogKeys.read(tmp_path, b"p")
    (tmp_path / LOG_KEY).write_bytes(p256)
    with pytest.raises(KeyFormatError):
        LogKeys.read(tmp_path, b"p")


def test_a_twin_needs_its_key_and_only_a_twin_does() -> None:
    """Generated keys fit the log they are for."""
    assert LogKeys.generate(twin=True).twin is not None
    assert LogKeys.generate(twin=False).twin is None


async def test_entry_0_names_the_first_keys(tmp_path: Path) -> None:
    """A new log begins with a KEY entry signed by the key it names."""
    log = await start(tmp_path)
    await log.close()
    entry = entries.decode(stored(tmp_path / "log.db")[0])
    assert isinstance(entry, entries.Key)
    change = entries.verify_key_change(
        entry.statement, origin=ORIGIN, keys=(KEYS.signer.verify_key(),)
    )
    assert change.key == log.pin.keys[0].encode()
    assert log.twin is not None
    assert change.twin == log.twin.pin.keys[0].encode()
    assert change.previous == ""


async def test_a_foreign_key_is_refused(tmp_path: Path) -> None:
    """A log does not open for a key it does not know, and nothing is written."""
    log = await start(tmp_path)
    await log.close()
    before = stored(tmp_path / "log.db")
    for keys in (
        LogKeys.generate(twin=True),
        dataclasses.replace(LogKeys.generate(twin=True), previous=SigningKey.generate("sm2")),
    ):
        with pytest.raises(LogRefusedError):
            await start(tmp_path, keys=keys)
    assert stored(tmp_path / "log.db") == before


async def test_a_rotation_is_signed_by_the_key_before(tmp_path: Path) -> None:
    """The KEY entry verifies under the old key, and notes carry both lines meanwhile."""
    await (await start(tmp_path)).close()
    keys = dataclasses.replace(KEYS, signer=SigningKey.generate("sm2"), previous=KEYS.signer)
    log = await start(tmp_path, keys=keys)
    await log.close()
    found = [entries.decode(raw) for raw in stored(tmp_path / "log.db")]
    changes = [entry for entry in found if isinstance(entry, entries.Key)]
    assert len(changes) == 2
    change = entries.verify_key_change(
        changes[1].statement, origin=ORIGIN, keys=(KEYS.signer.verify_key(),)
    )
    assert change.key == log.pin.keys[0].encode()
    note = log.checkpoint().note
    for key in log.pin.keys:
        pin = dataclasses.replace(log.pin, keys=(key,))
        assert checkpoint.verify(note, pin).checkpoint.size == log.size
    await (await start(tmp_path, keys=dataclasses.replace(keys, previous=None))).close()
    with pytest.raises(LogRefusedError):
        await start(tmp_path)


async def test_a_new_twin_key_is_logged_too(tmp_path: Path) -> None:
    """Changing only the Ed25519 key is a rotation signed by the unchanged SM2 key."""
    await (await start(tmp_path)).close()
    keys = dataclasses.replace(KEYS, twin=Ed25519PrivateKey.generate())
    log = await start(tmp_path, keys=keys)
    await log.close()
    entry = entries.decode(await _last_key(tmp_path))
    assert isinstance(entry, entries.Key)
    assert log.twin is not None
    change = entries.parse_key_change(entry.statement)
    assert change.twin == log.twin.pin.keys[0].encode()


async def _last_key(folder: Path) -> bytes:
    return [raw for raw in stored(folder / "log.db") if b'"type":"KEY"' in raw][-1]


async def test_keys_and_twin_must_agree(tmp_path: Path) -> None:
    """A log with a twin does not open without its key, nor one without a twin with one."""
    with pytest.raises(UsageError):
        await start(tmp_path, keys=LogKeys.generate(twin=False))
    with pytest.raises(UsageError):
        await start(tmp_path, twin=False)

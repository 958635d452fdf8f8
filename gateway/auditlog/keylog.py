"""Which KEY entry, if any, a log must get before it may be used.

Entry 0 names the first key and is signed by it; a rotation is signed by the key before. Opening
a log with a key that its last KEY entry does not name, and that the named one does not
introduce, is refused. Pure.

Source: docs/spec/log.md §8.5.
"""

from mifeng.protocol.checkpoint import LogPin
from mifeng.protocol.entries import Entry, Key, KeyChange, parse_key_change, sign_key_change
from mifeng.protocol.note import Sm2NoteSigner

from .config import LogConfig
from .errors import LogRefusedError
from .keys import LogKeys


def key_entry(
    current: Entry | None, keys: LogKeys, config: LogConfig, *, twin: LogPin | None, now: int
) -> Key | None:
    """Return the entry that introduces `keys`, or None if the log knows them.

    Args:
        current: the log's last KEY entry; None for an empty log.
        keys: what the gateway was given.
        config: the log's.
        twin: pin of the SHA-256 twin, if there is one.
        now: Unix seconds.

    Raises:
        LogRefusedError: the log's key is neither ours nor our previous one.
    """
    ours = Sm2NoteSigner(config.origin, keys.signer).key.encode()
    twin_key = twin.keys[0].encode() if twin else ""
    if current is None:
        change = KeyChange(origin=config.origin, key=ours, twin=twin_key, previous="")
        return Key(at=now, statement=sign_key_change(change, keys.signer))
    if not isinstance(current, Key):
        raise LogRefusedError("log: the entry indexed as KEY is not one")
    known = parse_key_change(current.statement)
    if (known.key, known.twin) == (ours, twin_key):
        return None
    signer = keys.previous or keys.signer
    before = Sm2NoteSigner(config.origin, signer).key.encode()
    if known.key != before:
        raise LogRefusedError(f"log: its key is {known.key}, neither ours nor our previous")
    change = KeyChange(origin=config.origin, key=ours, twin=twin_key, previous=before)
    return Key(at=now, statement=sign_key_change(change, signer))

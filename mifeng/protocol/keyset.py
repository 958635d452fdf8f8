"""The public keys of one node for one epoch, and what it says it runs.

A keyset carries no signature: evidence vouches for it by binding its digest, which is taken
over the exact bytes that travelled. `log` repeats the node's *measured* configuration, so that
a client can require the node to obey the very log the client pins.

Source: docs/spec/keyset.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from mifeng.crypto import sm3
from mifeng.crypto.signatures import VerifyKey
from mifeng.errors import MalformedError

from . import jsonc
from .checkpoint import LogPin
from .header import DIGEST_BYTES

MAX_KEYSET_BYTES: Final = 64 * 1024
MAX_MODELS: Final = 256
VERSION: Final = 1
SUITE_BYTES: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class LogIdentity:
    """The log a node obeys: its origin, its keys, and how many witnesses it needs."""

    origin: str
    keys: tuple[bytes, ...]
    """SM3 of the log's verifier key strings, 32 bytes each, sorted."""
    quorum: int

    @classmethod
    def of(cls, pin: LogPin) -> Self:
        """Return the identity of a pinned log, as a node and its clients must agree on it."""
        keys = sorted(sm3(key.encode().encode()) for key in pin.keys)
        return cls(origin=pin.origin, keys=tuple(keys), quorum=pin.quorum)


def verify_keys(pin: LogPin) -> tuple[VerifyKey, ...]:
    """Return a pinned log's keys in the form that checks intents and promises."""
    return tuple(VerifyKey("sm2", key.public) for key in pin.keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """What the node was launched with, as digests."""

    image: bytes
    config: bytes
    policy: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model a node serves."""

    digest: bytes
    """SM3 over the model's manifest, 32 bytes; weights and graph are in it."""
    idempotent: bool
    """Running a request again changes nothing: an interrupted one may be sealed anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyset:
    """See the module; every field is public."""

    node_id: str
    epoch: int
    suites: Mapping[int, bytes]
    """Encryption key per crypto suite; each is used with that suite only."""
    sign: Mapping[str, bytes]
    """Verification key per signature algorithm (`sm2`, `p256`)."""
    software: Software
    models: Mapping[str, Model]
    """Model name → what is served under it."""
    log: LogIdentity
    simulated: bool
    """The node runs on no TEE at all and says so; appraisal decides on its own."""
    not_before: int
    not_after: int
    """Unix seconds: a request must be finished with before this."""

    def encode(self) -> bytes:
        """Return the canonical JSON bytes."""
        return jsonc.dumps(
            {
                "v": VERSION,
                "node_id": self.node_id,
                "epoch": self.epoch,
                "suites": {
                    f"{suite:04x}": jsonc.to_base64(key) for suite, key in self.suites.items()
                },
                "sign": {alg: jsonc.to_base64(key) for alg, key in self.sign.items()},
                "software": {
                    "image": self.software.image.hex(),
                    "config": self.software.config.hex(),
                    "policy": self.software.policy.hex(),
                },
                "models": [
                    {"name": name, "digest": model.digest.hex(), "idempotent": model.idempotent}
                    for name, model in self.models.items()
                ],
                "log": {
                    "origin": self.log.origin,
                    "keys": [key.hex() for key in self.log.keys],
                    "quorum": self.log.quorum,
                },
                "simulated": self.simulated,
                "not_before": self.not_before,
                "not_after": self.not_after,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the keyset `data` encodes.

        Raises:
            MalformedError: not canonical, a field is missing, unknown, or out of range.
        """
        fields = jsonc.Fields(jsonc.loads(data, limit=MAX_KEYSET_BYTES), "keyset")
        fields.integer("v", low=VERSION, high=VERSION)
        keyset = cls(
            node_id=fields.text("node_id", limit=128),
            epoch=fields.integer("epoch"),
            suites={_suite(key): _key(value) for key, value in fields.map("suites").items()},
            sign={alg: _key(value) for alg, value in fields.map("sign").items()},
            software=_software(fields.object("software")),
            models=_models(fields.array("models", limit=MAX_MODELS)),
            log=_log(fields.object("log")),
            simulated=fields.flag("simulated"),
            not_before=fields.integer("not_before"),
            not_after=fields.integer("not_after"),
        )
        fields.end()
        if keyset.encode() != data:
            raise MalformedError("keyset: a name is listed twice, or out of order")
        if not keyset.suites or not keyset.sign or keyset.not_before >= keyset.not_after:
            raise MalformedError("keyset: no keys, or no life")
        return keyset


def keyset_digest(data: bytes) -> bytes:
    """Return the digest that evidence binds and headers name: SM3 of the exact bytes."""
    return sm3(data)


def _suite(text: str) -> int:
    raw = jsonc.from_hex(text)
    if raw is None or len(raw) != SUITE_BYTES:
        raise MalformedError("keyset: not a suite id")
    return int.from_bytes(raw, "big")


def _key(value: jsonc.Json) -> bytes:
    raw = jsonc.from_base64(value) if isinstance(value, str) else None
    if not raw:
        raise MalformedError("keyset: not a key in base64")
    return raw


def _software(fields: jsonc.Fields) -> Software:
    software = Software(
        image=fields.hex("image", DIGEST_BYTES),
        config=fields.hex("config", DIGEST_BYTES),
        policy=fields.hex("policy", DIGEST_BYTES),
    )
    fields.end()
    return software


def _models(values: list[jsonc.Json]) -> dict[str, Model]:
    models = {}
    for value in values:
        fields = jsonc.Fields(value, "keyset.model")
        name = fields.text("name", limit=128)
        models[name] = Model(
            digest=fields.hex("digest", DIGEST_BYTES), idempotent=fields.flag("idempotent")
        )
        fields.end()
    return models


def _log(fields: jsonc.Fields) -> LogIdentity:
    log = LogIdentity(
        origin=fields.text("origin", limit=255),
        keys=fields.hexes("keys", DIGEST_BYTES, limit=16),
        quorum=fields.integer("quorum", high=255),
    )
    fields.end()
    if not log.keys:
        raise MalformedError("keyset: a log without keys")
    return log

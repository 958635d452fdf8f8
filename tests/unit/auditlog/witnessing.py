"""Witnesses of a test's log, in this process but behind their real server, that fail as told."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from gateway.auditlog.config import LogConfig
from gateway.witnesses import WitnessesConfig
from mifeng.protocol.checkpoint import LogPin, SignedCheckpoint
from mifeng.protocol.merkle import SHA256, SM3
from mifeng.protocol.note import Ed25519NoteSigner, Sm2NoteSigner
from mifeng.witness.keys import WitnessKeys
from mifeng.witness.server import Answer, Server, Witness
from mifeng.witness.state import State
from tests.unit.auditlog.harness import KEYS, NOW


@dataclass(slots=True)
class Faulty(Witness):
    """A witness that breaks the connection instead of answering, before or after it remembers."""

    fail: bool | None = None
    """Whether what fails next persists all the same; None: nothing fails."""
    forever: bool = False
    asked: int = 0

    async def add_checkpoint(self, body: bytes) -> Answer:
        """See `Witness`."""
        self.asked += 1
        persists, self.fail = self.fail, self.fail if self.forever else None
        if persists is False:
            raise ConnectionError
        answer = await Witness.add_checkpoint(self, body)
        if persists:
            raise ConnectionError
        return answer


@dataclass(slots=True)
class Ring:
    """A few witnesses of one log. Use as an asynchronous context manager."""

    folder: Path
    origin: str
    count: int
    now: int = NOW
    twin: bool = False
    members: list[Faulty] = field(default_factory=list)
    servers: list[Server] = field(default_factory=list)
    states: list[State] = field(default_factory=list)

    @classmethod
    def of(cls, settings: LogConfig, folder: Path, count: int = 1, *, twin: bool = False) -> Self:
        """Return witnesses of the log that a configuration is about, and of its twin if told."""
        return cls(folder, settings.origin, count, twin=twin)

    async def __aenter__(self) -> Self:
        key = Sm2NoteSigner(self.origin, KEYS.signer).key
        pin = LogPin(origin=self.origin, world=SM3, keys=(key,), witnesses=(), quorum=0)
        logs = {self.origin: pin}
        if self.twin and KEYS.twin:
            origin = f"{self.origin}/sha256"
            public = Ed25519NoteSigner(origin, KEYS.twin).key
            logs[origin] = replace(pin, origin=origin, world=SHA256, keys=(public,))
        for number in range(self.count):
            folder = self.folder / f"w{number}"
            State.create(folder)
            state = State(folder, logs)
            keys = WitnessKeys.generate(f"witness.example/w{number}")
            witness = Faulty(keys, logs, state, clock=lambda: self.now)
            server = Server(witness)
            await server.start(f"unix:{folder}/s")
            self.states.append(state)
            self.members.append(witness)
            self.servers.append(server)
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self.servers:
            await server.close()
        for state in self.states:
            state.__exit__()

    def config(self, quorum: int | None = None, **changes: object) -> WitnessesConfig:
        """Return what a gateway is configured with."""
        members = [
            {"url": f"unix:{self.folder}/w{n}/s", "key": each.keys.public[0].encode()}
            | ({"twin_key": each.keys.public[1].encode()} if self.twin else {})
            for n, each in enumerate(self.members)
        ]
        wanted = self.count if quorum is None else quorum
        document = {"members": members, "quorum": wanted, "timeout_s": 2} | changes
        return WitnessesConfig.model_validate(document)

    def remembered(self) -> list[SignedCheckpoint | None]:
        """Return the newest checkpoint that each has cosigned."""
        return [state.latest(self.origin) for state in self.states]

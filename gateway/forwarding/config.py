"""Configuration of forwarding."""

import socket
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mifeng.errors import UsageError

from .forwarder import Centre
from .syslog import DOCUMENTATION_PEN, Source
from .transport import Receiver, TransportError, check


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CentreConfig(_Strict):
    """One security centre."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    transport: Literal["udp", "tcp", "tls"]
    format: Literal["syslog", "cef"]
    host: Annotated[str, Field(min_length=1, max_length=255)]
    port: Annotated[int, Field(ge=1, le=65_535)]
    ca: Path | None = None
    """TLS: who may have issued the receiver's certificate."""
    certificate: Path | None = None
    """TLS: PEM file with our certificate and key, if the receiver asks for it; not encrypted."""
    queue: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000

    @model_validator(mode="after")
    def _tls(self) -> Self:
        if (self.transport == "tls") != (self.ca is not None):
            raise ValueError("ca: needed for tls, and only there")
        if self.certificate is not None and self.transport != "tls":
            raise ValueError("certificate: only for tls")
        return self

    def centre(self) -> Centre:
        """Return what a forwarder sends to.

        Raises:
            UsageError: our certificate cannot be used, or its key is encrypted.
        """
        receiver = Receiver(
            kind=self.transport,
            host=self.host,
            port=self.port,
            ca=self.ca,
            certificate=self.certificate,
        )
        try:
            check(receiver)
        except TransportError as exc:
            raise UsageError(f"forwarding.centres.{self.name}: certificate: {exc}") from exc
        return Centre(name=self.name, receiver=receiver, format=self.format, queue=self.queue)


class OtlpConfig(_Strict):
    """A collector of OpenTelemetry metrics."""

    url: Annotated[str, Field(pattern=r"^https?://")]
    """Without `/v1/metrics`."""
    every_s: Annotated[float, Field(ge=1, le=3600)] = 30.0


class ForwardingConfig(_Strict):
    """Who is told what happens."""

    centres: list[CentreConfig] = []
    enterprise: Annotated[int, Field(ge=1, le=2**31 - 1)] = DOCUMENTATION_PEN
    """The operator's private enterprise number (IANA), for the name of the structured data."""
    host: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    """How this gateway is called in messages; the system's host name if left out."""
    otlp: OtlpConfig | None = None

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [centre.name for centre in self.centres]
        if len(set(names)) != len(names):
            raise ValueError("centres: a name is used twice")
        return self

    def source(self) -> Source:
        """Return who messages are from."""
        return Source(host=self.host or socket.gethostname(), enterprise=self.enterprise)

"""Every error the SDK raises on purpose, sorted by who is to blame.

    MifengError
    ├── UsageError                  you: an argument, a file or a call out of order
    ├── PeerError                   them: what arrived is malformed, forged or inconsistent
    │   ├── MalformedError
    │   ├── EnvelopeRejectedError
    │   ├── StreamRejectedError
    │   ├── NodeRejectedError           wraps attestation.AttestationError
    │   ├── KeysetRejectedError
    │   ├── ReceiptRejectedError
    │   ├── PromiseRejectedError
    │   └── LogInconsistentError        carries the evidence
    ├── RefusedError                the other side said no, clearly, with a code of its own
    ├── InterruptedRequestError     bytes were lost: whether the request ran is unknown
    └── TransportError              the network; nothing was sent, so retrying is safe

`code` is stable: it is what the gateway puts in problem JSON, what the command line maps to
an exit status and what test vectors expect. Messages are for people and may be reworded. No
message contains plaintext or key material.
"""


class MifengError(Exception):
    """Base of all errors raised on purpose."""

    code: str = "error"


class UsageError(MifengError):
    """The caller broke the contract of an API, or a file it named is unusable."""

    code = "usage"


class PeerError(MifengError):
    """The other side sent something we must not accept. Never retried."""

    code = "peer"


class MalformedError(PeerError):
    """Bytes do not parse, or are not the canonical encoding of what they say."""

    code = "peer.malformed"


class EnvelopeRejectedError(PeerError):
    """A request does not open. Deliberately says nothing about why."""

    code = "seal.invalid"


class StreamRejectedError(PeerError):
    """A frame is forged, out of order, or missing."""

    code = "peer.stream"


class NodeRejectedError(PeerError):
    """The node's evidence was refused; `__cause__` has the findings."""

    code = "peer.node"


class KeysetRejectedError(PeerError):
    """A keyset is not logged, not current, or names another log than the one we pin."""

    code = "peer.keyset"


class ReceiptRejectedError(PeerError):
    """A receipt is not signed by the attested node, or is about another exchange."""

    code = "peer.receipt"


class PromiseRejectedError(PeerError):
    """The log did not promise to keep the record of this exchange."""

    code = "peer.promise"


class LogInconsistentError(PeerError):
    """The log contradicts itself. Keep `evidence`: it convicts the operator."""

    code = "peer.log"

    def __init__(self, message: str, *, evidence: tuple[bytes, ...]) -> None:
        super().__init__(message)
        self.evidence = evidence


class RefusedError(MifengError):
    """The gateway or the node refused, with a stable code.

    `not_claimed` holds the node's signed statement that it never claimed the request; only
    then, or when nothing was sent, may the same work be sealed to another node.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retry_after_s: int | None = None,
        not_claimed: bytes | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after_s = retry_after_s
        self.not_claimed = not_claimed


class InterruptedRequestError(MifengError):
    """The node had the bytes and went away: the request may or may not have run."""

    code = "interrupted"


class TransportError(MifengError):
    """The exchange could not be started; nothing is known about the peer."""

    code = "transport"

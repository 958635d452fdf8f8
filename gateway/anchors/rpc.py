"""JSON-RPC to a chain's node: web3 over HTTP that is bounded and asks the environment nothing."""

from typing import Any, Final, cast

import httpx

from .ethereum import JSONBaseProvider, RPCEndpoint, RPCResponse
from .kinds import AnchorUnavailableError

MAX_ANSWER: Final = 64 << 20
_OK: Final = 200


REVERTED: Final = 3
"""Code that nodes give a call which a contract reverted (geth's, taken over by others)."""


class RpcError(Exception):
    """The node answered with an error; the text is the node's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message[:200])
        self.code = code

    @property
    def reverted(self) -> bool:
        """Whether a contract said no; any other error is the node's or the account's, and passes.

        Nodes that do not know the code use a general one and the words.
        """
        return self.code == REVERTED or "reverted" in str(self).lower()


class Provider(JSONBaseProvider):
    """A web3 provider."""

    def __init__(self, url: str, timeout_s: float) -> None:
        """Prepare to ask `url`; connects when it is first used."""
        super().__init__()
        self._url = url
        self._client = httpx.Client(
            trust_env=False, timeout=timeout_s, headers={"Content-Type": "application/json"}
        )

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:  # noqa: ANN401
        """Return the node's answer to one question.

        Raises:
            AnchorUnavailableError: it cannot be reached, or answers something else than JSON-RPC.
        """
        body = bytearray()
        content = self.encode_rpc_request(method, params)
        try:
            with self._client.stream("POST", self._url, content=content) as response:
                if response.status_code != _OK:
                    raise AnchorUnavailableError("rpc", f"status {response.status_code}")
                for part in response.iter_bytes():
                    body += part
                    if len(body) > MAX_ANSWER:
                        raise AnchorUnavailableError("rpc", "answer too long")
            return self.decode_rpc_response(bytes(body))
        except httpx.HTTPError as exc:
            raise AnchorUnavailableError("rpc", type(exc).__name__) from exc
        except ValueError as exc:
            raise AnchorUnavailableError("rpc", "not a JSON-RPC answer") from exc

    def close(self) -> None:
        """Release connections."""
        self._client.close()


class Node:
    """One node, as we ask it."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self._provider = Provider(url, timeout_s)

    def ask(self, method: str, *params: object) -> Any:  # noqa: ANN401 - whatever was asked
        """Return a call's result.

        Raises:
            RpcError: the node refuses.
            AnchorUnavailableError: it cannot be reached.
        """
        answer = cast("dict[str, Any]", self._provider.make_request(RPCEndpoint(method), params))
        error = answer.get("error")
        if isinstance(error, dict):
            raise RpcError(int(error.get("code") or 0), str(error.get("message")))
        if "result" not in answer:
            raise AnchorUnavailableError("rpc", "neither result nor error")
        return answer["result"]

    def close(self) -> None:
        """Release connections."""
        self._provider.close()

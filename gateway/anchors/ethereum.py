"""The libraries for EVM chains, without what importing them does to the rest of the process.

A library far below raises the interpreter's recursion limit to 100 000, for arithmetic that is not
used here. With that limit deeply nested input no longer ends in `RecursionError`: it overflows the
C stack of a parser and kills the process. Whoever needs these libraries imports them from here.
"""

import sys

_limit = sys.getrecursionlimit()
try:
    from eth_account import Account
    from eth_utils.crypto import keccak
    from web3.providers.base import JSONBaseProvider
    from web3.types import RPCEndpoint, RPCResponse
finally:
    sys.setrecursionlimit(_limit)

__all__ = ["Account", "JSONBaseProvider", "RPCEndpoint", "RPCResponse", "keccak"]

"""What a node that lags shows of a chain: how its questions and answers differ from those of a node that does not. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

# What may be asked here: what clients of a node ask. Anvil's own methods have no place at a provider.
METHODS = (
    *("eth_chainId", "eth_blockNumber", "eth_feeHistory", "eth_gasPrice", "eth_maxPriorityFeePerGas", "eth_getCode", "eth_call", "eth_estimateGas"),
    *("eth_getBalance", "eth_getTransactionCount", "eth_getStorageAt", "eth_getBlockByNumber", "eth_getBlockByHash", "eth_getLogs"),
    *("eth_getTransactionByHash", "eth_getTransactionReceipt", "eth_sendRawTransaction", "net_version", "web3_clientVersion"),
)
# Where the block stands among a method's parameters.
BLOCK_PLACE: Mapping[str, int] = {
    "eth_getBalance": 1,
    "eth_getCode": 1,
    "eth_getTransactionCount": 1,
    "eth_call": 1,
    "eth_estimateGas": 1,
    "eth_feeHistory": 1,
    "eth_getStorageAt": 2,
    "eth_getBlockByNumber": 0,
}
# geth's words for a block that it does not have (yet).
UNKNOWN_BLOCK = {"code": -32000, "message": "header not found"}
NO_METHOD = {"code": -32601, "message": "the method does not exist/is not available"}


@dataclass(frozen=True)
class View:
    """How far a node sees: its newest block, and the newest one that it holds to be final."""

    head: int
    finalized: int

    @classmethod
    def behind(cls, *, head: int, finalized: int, lag: int) -> View:
        """So many blocks behind a node that sees these."""
        return cls(max(head - lag, 0), max(finalized - lag, 0))

    def number(self, block: object) -> object:
        """What a block parameter means here: a tag becomes the number of the block that this node has for it."""
        numbers = {"latest": self.head, "pending": self.head, "safe": self.finalized, "finalized": self.finalized}
        return hex(numbers[block]) if isinstance(block, str) and block in numbers else block

    def has(self, number: object) -> bool:
        """Whether a block (by its number in hex; tags are always there) is known here."""
        return not (isinstance(number, str) and number.startswith("0x")) or int(number, 16) <= self.head


def asked(view: View, call: Json) -> Json | None:
    """The question to pass on in place of a client's, or None when a node that sees no further would refuse it."""
    method, params = call["method"], list(call.get("params") or [])
    if method == "eth_getLogs" and params:
        return {**call, "params": [_window(view, dict(params[0])), *params[1:]]}
    place = BLOCK_PLACE.get(method)
    if place is None:
        return call
    if method == "eth_getTransactionCount" and params[place:] == ["pending"]:
        # Its pool has what its blocks do not have yet.
        return call
    params += ["latest"] * (place + 1 - len(params))
    params[place] = view.number(params[place])
    return {**call, "params": params} if view.has(params[place]) else None


def _window(view: View, wanted: Json) -> Json:
    """The range of a question for logs: its end is no later than the newest block here."""
    if "blockHash" in wanted:
        return wanted
    first, last = (view.number(wanted.get(name) or "latest") for name in ("fromBlock", "toBlock"))
    if not view.has(last):
        last = hex(view.head)
    return {**wanted, "fromBlock": first, "toBlock": last}


def answered(view: View, method: str, result: Any) -> Any:
    """What a node that sees no further says in place of this."""
    if method == "eth_blockNumber":
        return hex(view.head)
    if not isinstance(result, dict):
        return [entry for entry in result if view.has(entry.get("blockNumber"))] if method == "eth_getLogs" and isinstance(result, list) else result
    if method == "eth_getBlockByHash":
        return result if view.has(result.get("number")) else None
    if method not in {"eth_getTransactionReceipt", "eth_getTransactionByHash"} or view.has(result.get("blockNumber")):
        return result
    if method == "eth_getTransactionReceipt":
        return None
    # In a later block, so here it still waits in the pool.
    return {**result, "blockNumber": None, "blockHash": None, "transactionIndex": None}


def unanswerable(call: Json) -> Json:
    """What a node says about a block that it does not have: no block, or an error where a state was asked for."""
    if call["method"] == "eth_getBlockByNumber":
        return {"jsonrpc": "2.0", "id": call.get("id"), "result": None}
    return failure(call, UNKNOWN_BLOCK)


def failure(call: object, error: Json) -> Json:
    """An error as JSON-RPC writes it."""
    return {"jsonrpc": "2.0", "id": call.get("id") if isinstance(call, dict) else None, "error": error}


def method_of(body: object) -> str | None:
    """The method that a request is named after: the last one of a batch, since that is what the others lead to."""
    last = body[-1] if isinstance(body, list) and body else body
    method = last.get("method") if isinstance(last, dict) else None
    return method if isinstance(method, str) else None

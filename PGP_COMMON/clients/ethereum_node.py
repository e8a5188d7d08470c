"""One Ethereum node over JSON-RPC: single and batched requests, and what its errors mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from PGP_COMMON.clients.ethereum_answers import VENDOR
from PGP_COMMON.errors import AnswerLost, Refused, Throttled, TryAgain, VendorDown
from PGP_COMMON.http import Answer, Http, refusal

# Alchemy's code for too many requests, and that of the nodes that follow Infura (contracts: 8.4).
TOO_MANY: Final = frozenset({429, -32005})
REVERTED: Final = 3
# JSON-RPC 2.0, section 5.1: no such method, invalid parameters, invalid request.
MALFORMED: Final = frozenset({-32601, -32602, -32600})
# Behind whatever code: the node does not have that block, or no longer its state. It lags, was started anew, or forgets old states;
# another node has it, and so has this one for a later block.
NO_SUCH_BLOCK: Final = re.compile(r"BlockOutOfRange|header not found|unknown block|missing trie node|state (is )?not available|historical state", re.IGNORECASE)

Call = tuple[str, list[Any]]


class Node:
    """One RPC address. Answers come back as the node wrote them."""

    def __init__(self, http: Http) -> None:
        """Take the connection pool of one RPC address."""
        self._http = http

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ask(self, method: str, *params: Any) -> Any:
        """Ask one thing; raises Refused for an error that will stay, VendorDown for one that may pass."""
        reply = self._post({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        return _result(reply)

    def ask_all(self, calls: Sequence[Call]) -> list[Any]:
        """Ask many things in one request; raises as `ask` does if one of them fails."""
        if not calls:
            return []
        body = [{"jsonrpc": "2.0", "id": i, "method": method, "params": params} for i, (method, params) in enumerate(calls)]
        replies = self._post(body)
        rows = [row for row in (replies if isinstance(replies, list) else [replies]) if isinstance(row, dict)]
        by_id = {row["id"]: row for row in rows if isinstance(row.get("id"), int)}
        if set(by_id) != set(range(len(calls))):
            # One error may stand for the whole batch.
            raise next((_error(row["error"]) for row in rows if "error" in row), _unreadable())
        return [_result(by_id[i]) for i in range(len(calls))]

    def _post(self, body: Any) -> Any:
        answer = self._http.call("POST", "", body=body)
        if answer.ok:
            return answer.json()
        return _refused(answer)


def _refused(answer: Answer) -> Any:
    """Some nodes put a JSON-RPC error behind a status of 400."""
    problem = answer.problem()
    if "error" in problem:
        return problem
    raise refusal(answer)


def _unreadable() -> AnswerLost:
    return AnswerLost("an unreadable answer", vendor=VENDOR)


def _result(reply: Any) -> Any:
    if not isinstance(reply, dict):
        raise _unreadable()
    if reply.get("error") is not None:
        raise _error(reply["error"])
    if "result" not in reply:
        raise _unreadable()
    return reply["result"]


def _error(error: Any) -> Refused | TryAgain:
    """What a JSON-RPC error means for a read: nearly all of geth's are -32000 and may pass."""
    code = error.get("code") if isinstance(error, dict) else None
    message = str(error.get("message", "") if isinstance(error, dict) else error)[:500]
    if code in TOO_MANY and "returned more than" not in message:
        return Throttled(vendor=VENDOR)
    if NO_SUCH_BLOCK.search(message):
        # Nothing is wrong with the node: nobody else has to leave it alone.
        return TryAgain("the node does not have that block", vendor=VENDOR, code=f"rpc_{code}", text=message)
    if code == REVERTED or "revert" in message.lower():
        return Refused("the contract refuses", vendor=VENDOR, code="reverted", text=message)
    if code in MALFORMED or "returned more than" in message:
        return Refused("the node refuses the question", vendor=VENDOR, code=f"rpc_{code}", text=message)
    return VendorDown("the node has an error", vendor=VENDOR, code=f"rpc_{code}", text=message)

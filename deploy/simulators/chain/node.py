"""Talks to an Ethereum node over JSON-RPC, with what the simulators and the fleet's runner need and no more."""

from __future__ import annotations

from typing import Any, cast

import httpx
from eth_hash.auto import keccak

TRANSFER_TOPIC = "0x" + keccak(b"Transfer(address,address,uint256)").hex()
# A local node answers in milliseconds; a slow one is a stopped one.
TIMEOUT_S = 10.0
# The second parameter of eth_getBlockByNumber.
WHOLE_TRANSACTIONS = True
HASHES_ONLY = False


class NodeError(Exception):
    """The node answered with a JSON-RPC error."""

    def __init__(self, code: int, message: str) -> None:
        """Take the node's code and words."""
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message


class NodeDownError(Exception):
    """The node did not answer, or not with JSON-RPC: the call may have been done."""


class Node:
    """One node; thread safe."""

    def __init__(self, url: str) -> None:
        """Take the node's HTTP address; nothing is sent yet."""
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_S)

    def call(self, method: str, *params: Any) -> Any:
        """Call a method; raises NodeError when the node refuses and NodeDownError when it does not answer."""
        try:
            answer = self._http.post("", json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).json()
        except (httpx.HTTPError, ValueError) as error:
            raise NodeDownError(f"{method}: {error}") from error
        if "error" in answer:
            raise NodeError(int(answer["error"].get("code", 0)), str(answer["error"].get("message", "")))
        return answer["result"]

    def number(self, method: str, *params: Any) -> int:
        """Call a method that answers a hexadecimal number."""
        return int(self.call(method, *params), 16)

    def head(self) -> int:
        """Give the number of the newest block."""
        return self.number("eth_blockNumber")

    def chain_id(self) -> int:
        """Give the chain's id."""
        return self.number("eth_chainId")

    def nonce(self, address: str) -> int:
        """Count the mined transactions of an account, which is its next nonce."""
        return self.number("eth_getTransactionCount", address, "latest")

    def balance(self, address: str) -> int:
        """Give an account's wei."""
        return self.number("eth_getBalance", address, "latest")

    def token_balance(self, token: str, address: str) -> int:
        """Give an account's units of an ERC-20 token."""
        return self.number("eth_call", {"to": token, "data": "0x70a08231" + word(address)}, "latest")

    def base_fee(self) -> int:
        """Give the newest block's base fee in wei."""
        return int(self.call("eth_getBlockByNumber", "latest", HASHES_ONLY)["baseFeePerGas"], 16)

    def code(self, address: str) -> str:
        """Give the code at an address, "0x" when there is none."""
        return str(self.call("eth_getCode", address, "latest"))

    def block(self, number: int) -> dict[str, Any] | None:
        """Give a block with its transactions in full, or None."""
        return cast("dict[str, Any] | None", self.call("eth_getBlockByNumber", hex(number), WHOLE_TRANSACTIONS))

    def receipt(self, tx_hash: str) -> dict[str, Any] | None:
        """Give a transaction's receipt, or None while it is not mined."""
        return cast("dict[str, Any] | None", self.call("eth_getTransactionReceipt", tx_hash))

    def transfers(self, token: str, first: int, last: int) -> list[dict[str, Any]]:
        """Give the Transfer logs of a token in a range of blocks, both ends included."""
        wanted = {"address": token, "topics": [TRANSFER_TOPIC], "fromBlock": hex(first), "toBlock": hex(last)}
        return cast("list[dict[str, Any]]", self.call("eth_getLogs", wanted))


def word(value: str | int) -> str:
    """Write an address or a number as one ABI word."""
    return (f"{value:x}" if isinstance(value, int) else value.lower().removeprefix("0x")).rjust(64, "0")


def transfer_data(to: str, units: int) -> str:
    """Give the call data of ERC-20 transfer(to, units)."""
    return "0xa9059cbb" + word(to) + word(units)

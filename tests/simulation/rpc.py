"""The JSON-RPC face of the chain in memory: what the product's own client asks, answered as geth does."""

from __future__ import annotations

import json
from typing import Any

import httpx

from PGP_COMMON.clients.ethereum_answers import TRANSFER_TOPIC, word_of
from PGP_COMMON.errors import BadInput
from tests.simulation.chain import PLAIN_GAS, TIP, TOKEN, TOKEN_GAS, Block, Chain, Mined, Node, Tx


class Refuses(Exception):
    """The node has an error."""

    def __init__(self, message: str, code: int = -32000) -> None:
        super().__init__(message)
        self.code = code


class Rpc:
    """One node of the chain."""

    def __init__(self, chain: Chain, node: Node, *, chain_id: int) -> None:
        self.chain, self.node, self.chain_id = chain, node, chain_id

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer a request or a batch of them."""
        if self.node.down:
            raise httpx.ConnectError("the node is away", request=request)
        asked = json.loads(request.content)
        replies = [self._reply(one) for one in asked] if isinstance(asked, list) else self._reply(asked)
        return httpx.Response(200, json=replies)

    def _reply(self, asked: dict[str, Any]) -> dict[str, Any]:
        method = getattr(self, asked["method"], self._unknown)
        try:
            return {"jsonrpc": "2.0", "id": asked["id"], "result": method(*asked["params"])}
        except Refuses as error:
            return {"jsonrpc": "2.0", "id": asked["id"], "error": {"code": error.code, "message": str(error)}}

    def _unknown(self, *_: Any) -> None:
        raise Refuses("the method does not exist", -32601)

    def _block(self, tag: str) -> Block | None:
        here = self.chain.at(self.node)
        if tag in {"latest", "pending"}:
            return here
        number = min(self.chain.final, here.number) if tag in {"finalized", "safe"} else int(tag, 16)
        return self.chain.blocks[number] if number <= here.number else None

    def _known(self, tag: str) -> Block:
        found = self._block(tag)
        if found is None:
            raise Refuses("header not found")
        return found

    # --- the methods, under their own names

    def eth_chainId(self) -> str:  # noqa: N802 - the RPC's name
        return hex(self.chain_id)

    def eth_blockNumber(self) -> str:  # noqa: N802 - the RPC's name
        return hex(self.chain.at(self.node).number)

    def eth_feeHistory(self, count: str, _tag: str, _percentiles: list[int]) -> dict[str, Any]:  # noqa: N802 - the RPC's name
        blocks = int(count, 16)
        return {"baseFeePerGas": [hex(self.chain.base_fee)] * (blocks + 1), "reward": [[hex(TIP)]] * blocks}

    def eth_getCode(self, address: str, _tag: str) -> str:  # noqa: N802 - the RPC's name
        return "0x60" if address.lower() == TOKEN.lower() else "0x"

    def eth_getBalance(self, address: str, tag: str) -> str:  # noqa: N802 - the RPC's name
        return hex(self._known(tag).state.eth.get(address.lower(), 0))

    def eth_call(self, call: dict[str, str], tag: str) -> str:
        owner = "0x" + call["data"][-40:]
        return f"0x{self._known(tag).state.token.get(owner, 0):064x}"

    def eth_estimateGas(self, call: dict[str, str]) -> str:  # noqa: N802 - the RPC's name
        if call["to"].lower() != TOKEN.lower():
            return hex(PLAIN_GAS)
        if self.chain.at(self.node).state.token.get(call["from"].lower(), 0) < int(call["data"][-64:], 16):
            raise Refuses("execution reverted", 3)
        return hex(TOKEN_GAS)

    def eth_getTransactionCount(self, address: str, tag: str) -> str:  # noqa: N802 - the RPC's name
        who = address.lower()
        count = self._known(tag).state.nonces.get(who, 0)
        while tag == "pending" and (who, count) in self.node.pool:
            count += 1
        return hex(count)

    def eth_sendRawTransaction(self, raw: str) -> str:  # noqa: N802 - the RPC's name
        try:
            tx = self.chain.read(bytes.fromhex(raw[2:]))
        except BadInput as error:
            raise Refuses("rlp: not a transaction") from error
        said = self.chain.take(self.node, tx)
        if said != tx.tx_hash:
            raise Refuses(said)
        return said

    def eth_getTransactionReceipt(self, tx_hash: str) -> dict[str, Any] | None:  # noqa: N802 - the RPC's name
        found = self.chain.find(tx_hash, upto=self.chain.at(self.node).number)
        return _receipt(*found) if found else None

    def eth_getTransactionByHash(self, tx_hash: str) -> dict[str, Any] | None:  # noqa: N802 - the RPC's name
        found = self.chain.find(tx_hash, upto=self.chain.at(self.node).number)
        if found:
            return _transaction(found[1].tx, found[0])
        waiting = next((tx for tx in self.node.pool.values() if tx.tx_hash == tx_hash), None)
        return _transaction(waiting, None) if waiting else None

    def eth_getBlockByNumber(self, tag: str, whole: bool) -> dict[str, Any] | None:  # noqa: N802 - the RPC's name
        block = self._block(tag)
        if block is None:
            return None
        txs = [_transaction(mined.tx, block) if whole else mined.tx.tx_hash for mined in block.txs]
        return {"number": hex(block.number), "hash": block.block_hash, "parentHash": block.parent, "transactions": txs}

    def eth_getLogs(self, window: dict[str, Any]) -> list[dict[str, Any]]:  # noqa: N802 - the RPC's name
        first, last = int(window["fromBlock"], 16), int(window["toBlock"], 16)
        wanted = window["topics"][2].lower()
        seen = self.chain.blocks[first : min(last, self.chain.at(self.node).number) + 1]
        logs = [log for block in seen for mined in block.txs for log in _logs(block, mined)]
        return [log for log in logs if log["topics"][2] == wanted]


def _transaction(tx: Tx, block: Block | None) -> dict[str, Any]:
    where = {"blockNumber": hex(block.number), "blockHash": block.block_hash} if block else {"blockNumber": None, "blockHash": None}
    return {"hash": tx.tx_hash, "nonce": hex(tx.nonce), "from": tx.sender, "to": tx.to, "value": hex(tx.value), "input": "0x" + tx.data.hex(), **where}


def _receipt(block: Block, mined: Mined) -> dict[str, Any]:
    return {
        "transactionHash": mined.tx.tx_hash,
        "blockNumber": hex(block.number),
        "blockHash": block.block_hash,
        "status": hex(mined.succeeded),
        "gasUsed": hex(mined.gas_used),
        "effectiveGasPrice": hex(mined.price),
        "from": mined.tx.sender,
        "to": mined.tx.to,
        "logs": _logs(block, mined),
    }


def _logs(block: Block, mined: Mined) -> list[dict[str, Any]]:
    if mined.moved is None:
        return []
    sender, recipient, units = mined.moved
    return [
        {
            "address": TOKEN.lower(),
            "topics": [TRANSFER_TOPIC, word_of(sender), word_of(recipient)],
            "data": f"0x{units:064x}",
            "transactionHash": mined.tx.tx_hash,
            "logIndex": hex(mined.index),
            "blockNumber": hex(block.number),
            "blockHash": block.block_hash,
            "removed": False,
        }
    ]

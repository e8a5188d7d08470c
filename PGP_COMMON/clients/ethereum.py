"""Ethereum over one or two RPC addresses: what is asked before signing, how bytes are sent, and where they are now (money.md 8)."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import httpx
from eth_hash.auto import keccak

from PGP_COMMON.clients.ethereum_answers import (
    TRANSFER_TOPIC,
    VENDOR,
    Call,
    ChainTransaction,
    Fees,
    Mined,
    Nonces,
    Outcome,
    Receipts,
    Sending,
    SignedTransaction,
    TokenTransfer,
    balance_call,
    data_of,
    hash_of,
    list_of,
    mapping_of,
    outcome_of,
    quantity,
    read_receipt,
    read_signed,
    read_transaction,
    read_transfer,
    transfer_call,
    word_of,
)
from PGP_COMMON.clients.ethereum_node import Node
from PGP_COMMON.errors import BadAnswer, Lost, Misconfigured, PgpError, Refused, TryAgain
from PGP_COMMON.http import Http, OnLost, effect, read

T = TypeVar("T")

# A block with its transactions can be larger than 1 MiB.
MAX_BYTES: Final = 16 * 1024 * 1024
# money.md 8: what a plain transfer burns, and the most that any of ours may.
PLAIN_GAS: Final = 21_000
MOST_GAS: Final = 100_000
# Without the `finalized` tag, a block this deep counts as final.
DEEP_BLOCKS: Final = 32
# Two nodes are asked one after the other within one step, and a node that is well answers in milliseconds.
READ_TIMEOUT_S: Final = 10.0
# How many recent blocks say what tip is usual.
FEE_BLOCKS: Final = 10
# On an empty chain the usual tip is nothing, which no miner takes: 0.01 gwei.
LEAST_TIP_WEI: Final = 10_000_000
UINT256_BYTES: Final = 32


class Ethereum:
    """One chain seen through one or two nodes. An asset is "eth", or a token's code from `tokens` (code → contract)."""

    def __init__(self, urls: Sequence[str], *, chain_id: int, tokens: Mapping[str, str], transport: httpx.BaseTransport | None = None) -> None:
        """Take the RPC addresses, which may carry keys; nothing is asked yet."""
        if not urls:
            raise Misconfigured("no RPC address")
        self._nodes = tuple(Node(Http(VENDOR, url, read_timeout_s=READ_TIMEOUT_S, max_bytes=MAX_BYTES, transport=transport)) for url in urls)
        self.chain_id = chain_id
        self._tokens = dict(tokens)

    def close(self) -> None:
        """Close the connections."""
        for node in self._nodes:
            node.close()

    # What is asked before signing.

    @read
    def check_chain(self) -> None:
        """Make sure that every node is on our chain; raises Misconfigured if one is not."""
        found = {quantity(node.ask("eth_chainId"), "chain id") for node in self._nodes}
        if found != {self.chain_id}:
            raise Misconfigured(f"the nodes are on chain {sorted(found)}, not {self.chain_id}")

    @read
    def heads(self) -> tuple[int, ...]:
        """The newest block's number at every node; raises if one does not answer."""
        return tuple(_head(node) for node in self._nodes)

    @read
    def fees(self) -> Fees:
        """What the next block asks for, and what is usual on top of it."""
        history = mapping_of(self._ask("eth_feeHistory", hex(FEE_BLOCKS), "latest", [50]), "fee history")
        base = list_of(history.get("baseFeePerGas"), "baseFeePerGas")
        tips = [quantity(block[0], "reward") for block in list_of(history.get("reward") or [], "reward") if block]
        usual = statistics.median_low(tips) if tips else 0
        # The list has one entry more than blocks were asked for: the last is the next block's.
        return Fees(quantity(base[-1] if base else None, "baseFeePerGas"), max(usual, LEAST_TIP_WEI))

    @read
    def gas_for(self, asset: str, *, sender: str, recipient: str, units: int) -> int:
        """The gas limit for a transfer; raises Refused with code `reverted` or `too_much_gas` when it must not be sent."""
        if asset == "eth" and not data_of(self._ask("eth_getCode", recipient, "latest"), "code"):
            return PLAIN_GAS
        call = self.call_for(asset, recipient=recipient, units=units)
        question = {"from": sender, "to": call.to, "value": hex(call.value_wei), "data": _hex(call.data)}
        # A fifth on top: the block that takes it may find another state.
        gas = quantity(self._ask("eth_estimateGas", question), "gas") * 6 // 5
        if gas > MOST_GAS:
            raise Refused("the transfer burns too much gas", vendor=VENDOR, code="too_much_gas", gas=gas)
        return gas

    @read
    def balance(self, asset: str, address: str, *, block: int | str = "latest") -> int:
        """What an address holds, in base units; `block` is a number or one of the chain's tags."""
        at = hex(block) if isinstance(block, int) else block
        if asset == "eth":
            return quantity(self._ask("eth_getBalance", address, at), "balance")
        data = data_of(self._ask("eth_call", {"to": self._contract(asset), "data": _hex(balance_call(address))}, at), "balanceOf")
        if len(data) != UINT256_BYTES:
            # Nothing at all means that there is no contract at this address.
            raise BadAnswer("balanceOf is no number", vendor=VENDOR, asset=asset)
        return int.from_bytes(data)

    @read
    def nonce(self, address: str, *, block: str = "latest") -> int:
        """How many transactions an address has made: `latest`, `pending` (with the pool) or `finalized`."""
        at = hex(self._finalized()) if block == "finalized" else block
        return quantity(self._ask("eth_getTransactionCount", address, at), "nonce")

    @read
    def nonces(self, address: str) -> Nonces:
        """How many transactions an address has made, by whichever node knows of most; raises if no node answers."""
        final = quantity(self._ask("eth_getTransactionCount", address, hex(self._finalized())), "nonce")
        answers, _ = self._everywhere(lambda node: _counts(node, address))
        mined = max(latest for latest, _pending in answers)
        return Nonces(final, mined, max(mined, *(pending for _latest, pending in answers)))

    def call_for(self, asset: str, *, recipient: str, units: int) -> Call:
        """What a transfer of an asset says on chain."""
        if asset == "eth":
            return Call(to=recipient, value_wei=units, data=b"")
        return Call(to=self._contract(asset), value_wei=0, data=transfer_call(recipient=recipient, units=units))

    # Sending.

    @effect(OnLost.SAME_BYTES, reason="the hash and the nonce are the identity: the same bytes are mined at most once")
    def send_raw(self, raw: bytes) -> Sending:
        """Give signed bytes to every node. Never raises for what a node says or does not say: that is the outcome."""
        told = [_send(node, raw) for node in self._nodes]
        order = list(Outcome)
        return Sending(min((outcome for outcome, _ in told), key=order.index), tuple(text for _, text in told))

    # Where things are.

    @read
    def receipts(self, hashes: Sequence[str]) -> Receipts:
        """The receipts that any node has; raises if no node answers."""
        found: dict[str, Any] = {}
        answers, failures = self._everywhere(lambda node: node.ask_all([("eth_getTransactionReceipt", [tx_hash]) for tx_hash in hashes]))
        for rows in answers:
            for row in rows:
                if row is not None:
                    receipt = read_receipt(row)
                    found.setdefault(receipt.tx_hash, receipt)
        if not set(found) <= {tx_hash.lower() for tx_hash in hashes}:
            raise BadAnswer("a receipt that was not asked for", vendor=VENDOR)
        return Receipts(found, complete=not failures)

    @read
    def transaction(self, tx_hash: str) -> ChainTransaction | None:
        """A transaction in a block or a pool of any node; None if every node says that it knows none."""
        answers, failures = self._everywhere(lambda node: node.ask("eth_getTransactionByHash", tx_hash))
        known = [answer for answer in answers if answer is not None]
        if not known and failures:
            raise failures[0]
        return read_transaction(known[0]) if known else None

    @read
    def signed(self, tx_hash: str) -> SignedTransaction | None:
        """A transaction with its signature, from a block or a pool of any node; None if nobody knows it, or if it is of another kind than ours."""
        answers, failures = self._everywhere(lambda node: node.ask("eth_getTransactionByHash", tx_hash))
        known = [answer for answer in answers if answer is not None]
        if not known and failures:
            raise failures[0]
        return read_signed(known[0]) if known else None

    @read
    def waiting(self, address: str) -> tuple[ChainTransaction, ...]:
        """What an address has in the pools of the nodes, as far as they show it: a node need not, and then it is silent."""
        answers, _ = self._everywhere(lambda node: _pending(node, address.lower()))
        by_hash = {transaction.tx_hash: transaction for found in answers for transaction in found}
        return tuple(sorted(by_hash.values(), key=lambda transaction: transaction.nonce))

    @read
    def finalized(self) -> int:
        """The newest block that will not be taken back, by the most careful of the nodes that answer."""
        return self._finalized()

    @read
    def has_block(self, *, number: int, block_hash: str) -> bool:
        """Whether a block is on the chain by any node; raises if none says yes and one does not answer."""
        answers, failures = self._everywhere(lambda node: node.ask("eth_getBlockByNumber", hex(number), False))  # noqa: FBT003 - the RPC's own parameter
        hashes = {hash_of(mapping_of(answer, "block").get("hash"), "block.hash") for answer in answers if answer is not None}
        if block_hash.lower() not in hashes and failures:
            raise failures[0]
        return block_hash.lower() in hashes

    @read
    def transfers_to(self, asset: str, address: str, *, from_block: int, to_block: int) -> tuple[TokenTransfer, ...]:
        """Every Transfer of a token to an address in a range of blocks, both ends included."""
        return tuple(self._transfers(self._contract(asset), address, from_block, to_block))

    @read
    def transactions_of(self, address: str, *, block: int) -> tuple[Mined, ...]:
        """Every transaction of a block that comes from an address or goes to it directly, with its receipt."""
        return self._first(lambda node: _transactions_of(node, address.lower(), block))

    def _transfers(self, contract: str, address: str, from_block: int, to_block: int) -> list[TokenTransfer]:
        """Ask for a range of blocks, by halves when the node finds it too long (some plans allow ten blocks)."""
        try:
            return self._first(lambda node: _logs(node, contract, address, from_block, to_block))
        except Refused:
            if from_block >= to_block:
                raise
        middle = (from_block + to_block) // 2
        return self._transfers(contract, address, from_block, middle) + self._transfers(contract, address, middle + 1, to_block)

    def _finalized(self) -> int:
        answers, failures = self._everywhere(_finalized)
        return min(answers) if answers else _raise(failures)

    def _contract(self, asset: str) -> str:
        try:
            return self._tokens[asset]
        except KeyError as error:
            raise Misconfigured(f"no contract is known for {asset}") from error

    def _ask(self, method: str, *params: Any) -> Any:
        return self._first(lambda node: node.ask(method, *params))

    def _first(self, ask: Callable[[Node], T]) -> T:
        """The answer of the first node that gives one."""
        for node in self._nodes[:-1]:
            try:
                return ask(node)
            except (TryAgain, Lost):
                continue
        return ask(self._nodes[-1])

    def _everywhere(self, ask: Callable[[Node], T]) -> tuple[list[T], list[PgpError]]:
        """The answers of all nodes, and the failures of those that gave none; raises if nobody answered."""
        answers: list[T] = []
        failures: list[PgpError] = []
        for node in self._nodes:
            try:
                answers.append(ask(node))
            except (TryAgain, Lost) as error:
                failures.append(error)
        return (answers, failures) if answers else _raise(failures)


def _raise(failures: Sequence[PgpError]) -> Any:
    raise failures[0]


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _head(node: Node) -> int:
    return quantity(node.ask("eth_blockNumber"), "block number")


def _finalized(node: Node) -> int:
    """A node's finalized block. Nodes that do not know the tag refuse it; those that have none yet say so, or give nothing."""
    try:
        block = node.ask("eth_getBlockByNumber", "finalized", False)  # noqa: FBT003 - the RPC's own parameter
    except (Refused, TryAgain) as error:
        if isinstance(error, TryAgain) and "finalized" not in error.data.get("text", ""):
            raise
        block = None
    if block is None:
        return max(0, _head(node) - DEEP_BLOCKS)
    return quantity(mapping_of(block, "block").get("number"), "block.number")


def _send(node: Node, raw: bytes) -> tuple[Outcome, str]:
    try:
        answer = node.ask("eth_sendRawTransaction", _hex(raw))
    except (TryAgain, Lost, Refused) as error:
        text = error.data.get("text")
        return (Outcome.UNKNOWN, error.reason) if text is None else (outcome_of(text), text)
    if answer != _hex(keccak(raw)):
        return Outcome.UNKNOWN, "the node names another hash"
    return Outcome.SENT, "sent"


def _logs(node: Node, contract: str, address: str, from_block: int, to_block: int) -> list[TokenTransfer]:
    """Ask one node. It must know the last block: a node that lags would leave transfers out without a word."""
    window = {
        "fromBlock": hex(from_block),
        "toBlock": hex(to_block),
        "address": contract,
        "topics": [TRANSFER_TOPIC, None, word_of(address)],
    }
    last, logs = node.ask_all([("eth_getBlockByNumber", [hex(to_block), False]), ("eth_getLogs", [window])])
    if last is None:
        raise TryAgain("the node lags behind", vendor=VENDOR)
    return [transfer for entry in list_of(logs, "logs") if (transfer := read_transfer(entry)) is not None]


def _counts(node: Node, address: str) -> tuple[int, int]:
    """How many transactions a node has seen of an address in blocks, and with its pool; one that keeps no pool says the same twice."""
    try:
        latest, pending = node.ask_all([("eth_getTransactionCount", [address, block]) for block in ("latest", "pending")])
    except Refused:
        latest = pending = node.ask("eth_getTransactionCount", address, "latest")
    return quantity(latest, "nonce"), quantity(pending, "nonce")


def _pending(node: Node, address: str) -> list[ChainTransaction]:
    try:
        block = node.ask("eth_getBlockByNumber", "pending", True)  # noqa: FBT003 - the RPC's own parameter
    except (Refused, TryAgain):
        return []
    rows = [] if block is None else list_of(mapping_of(block, "block").get("transactions"), "block.transactions")
    return [read_transaction(row) for row in rows if isinstance(row, dict) and str(row.get("from")).lower() == address]


def _transactions_of(node: Node, address: str, number: int) -> tuple[Mined, ...]:
    block = node.ask("eth_getBlockByNumber", hex(number), True)  # noqa: FBT003 - the RPC's own parameter
    if block is None:
        raise TryAgain("the node lags behind", vendor=VENDOR)
    rows = list_of(mapping_of(block, "block").get("transactions"), "block.transactions")
    ours = [row for row in rows if isinstance(row, dict) and address in (str(row.get("from")).lower(), str(row.get("to")).lower())]
    transactions = [read_transaction(row) for row in ours]
    receipts = node.ask_all([("eth_getTransactionReceipt", [transaction.tx_hash]) for transaction in transactions])
    if None in receipts:
        raise TryAgain("the node lags behind", vendor=VENDOR)
    return tuple(Mined(transaction, read_receipt(row)) for transaction, row in zip(transactions, receipts, strict=True))

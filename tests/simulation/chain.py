"""A chain in memory: blocks with balances, pools that forget, fees that jump, blocks that are taken back. Reproducible by its dice."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from eth_hash.auto import keccak

from PGP_COMMON.clients.ethereum_answers import read_transfer_call, transfer_call
from PGP_COMMON.clients.ethereum_signing import decode_raw

TOKEN = "0xdAC17F958D2ee523a2206206994597C13D831ec7"
GWEI = 10**9
USUAL_BASE_FEE, TIP = 5 * GWEI, GWEI // 10
# A re-organisation is at most six blocks deep, and what is finalized is deeper than that.
DEEPEST, FINAL_AFTER = 6, 8
PLAIN_GAS, TOKEN_GAS = 21_000, 52_000
BLOCK_S = 12
# What vendors pay for gas: enough in any weather.
RICH = 10_000 * GWEI


@dataclass(frozen=True)
class Tx:
    """A signed transaction, ours or a vendor's; fees are wei per gas. Addresses are in lower case."""

    tx_hash: str
    sender: str
    nonce: int
    to: str
    value: int
    data: bytes
    gas: int
    max_fee: int
    tip: int

    @property
    def is_token(self) -> bool:
        """Whether it calls the token."""
        return self.to == TOKEN.lower()


@dataclass(frozen=True)
class Mined:
    """A transaction in a block, and how it went. `moved`: sender, recipient and units of the token's event."""

    tx: Tx
    index: int
    succeeded: bool
    gas_used: int
    price: int
    moved: tuple[str, str, int] | None


@dataclass(frozen=True)
class State:
    """What everybody has after a block."""

    eth: dict[str, int] = field(default_factory=dict)
    token: dict[str, int] = field(default_factory=dict)
    nonces: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Block:
    """One block."""

    number: int
    block_hash: str
    parent: str
    base_fee: int
    txs: tuple[Mined, ...]
    state: State


@dataclass
class Node:
    """What one node has in its pool, by sender and nonce, and how many blocks it is behind."""

    pool: dict[tuple[str, int], Tx] = field(default_factory=dict)
    lag: int = 0
    down: bool = False


@dataclass
class Trouble:
    """How likely each fault is at a block."""

    down: float = 0.0
    lag: float = 0.0
    evict: float = 0.0
    spike: float = 0.0
    reorg: float = 0.0
    drop_in_reorg: float = 0.5
    refuse_cheap: float = 0.3


CALM = Trouble()
STORM = Trouble(down=0.05, lag=0.1, evict=0.2, spike=0.02, reorg=0.06)


class Chain:
    """One canonical chain and two nodes that show it."""

    def __init__(self, dice: random.Random) -> None:
        self.dice, self.trouble = dice, CALM
        self.nodes = (Node(), Node())
        self.base_fee, self.spike_left = USUAL_BASE_FEE, 0
        self.blocks = [Block(0, self._hash(), "0x" + "0" * 64, USUAL_BASE_FEE, (), State())]
        self.counts = {"reorganisations": 0, "evictions": 0, "spikes": 0, "replaced": 0}
        # Every transaction of ours that a node was ever given, by hash: what has left us can be mined for ever.
        self.given: dict[str, Tx] = {}

    def _hash(self) -> str:
        return f"0x{self.dice.getrandbits(256):064x}"

    @property
    def head(self) -> Block:
        """The newest block."""
        return self.blocks[-1]

    @property
    def final(self) -> int:
        """The newest block that is never taken back."""
        return max(0, self.head.number - FINAL_AFTER)

    def endow(self, address: str, *, eth: int = 0, token: int = 0) -> None:
        """Give an address what it begins with, before anything has happened."""
        state = self.head.state
        who = address.lower()
        state.eth[who] = state.eth.get(who, 0) + eth
        state.token[who] = state.token.get(who, 0) + token

    # --- time passes

    def advance(self) -> None:
        """One slot: faults come and go, then a block."""
        dice, trouble = self.dice, self.trouble
        for node in self.nodes:
            node.down = dice.random() < trouble.down
            node.lag = min(dice.randint(1, 3), self.head.number) if dice.random() < trouble.lag else 0
            for key in [key for key in node.pool if dice.random() < trouble.evict and node.pool[key].max_fee < RICH]:
                del node.pool[key]
                self.counts["evictions"] += 1
        if not self.spike_left and dice.random() < trouble.spike:
            self.spike(dice.randint(5, 40))
        self.base_fee = USUAL_BASE_FEE * (20 if self.spike_left else 1)
        self.spike_left = max(0, self.spike_left - 1)
        if dice.random() < trouble.reorg:
            self.reorganise(dice.randint(1, DEEPEST))
        self._mine()

    def spike(self, blocks: int) -> None:
        """Let the base fee be twenty times what it was, for so many blocks."""
        self.spike_left = blocks
        self.base_fee = USUAL_BASE_FEE * 20
        self.counts["spikes"] += 1

    def reorganise(self, depth: int) -> None:
        """Take blocks back; what was in them is in a pool again, or lost."""
        depth = min(depth, self.head.number)
        if not depth:
            return
        dropped, self.blocks = self.blocks[-depth:], self.blocks[:-depth]
        for mined in (mined for block in dropped for mined in block.txs):
            if mined.tx.max_fee >= RICH or self.dice.random() >= self.trouble.drop_in_reorg:
                for node in self.nodes:
                    node.pool.setdefault((mined.tx.sender, mined.tx.nonce), mined.tx)
        self.counts["reorganisations"] += 1
        for _ in range(depth):
            self._mine()

    def _mine(self) -> None:
        before = self.head
        state = State(dict(before.state.eth), dict(before.state.token), dict(before.state.nonces))
        mined: list[Mined] = []
        for tx in self._chosen(state):
            mined.append(self._execute(state, tx, len(mined)))
        self.blocks.append(Block(before.number + 1, self._hash(), before.block_hash, self.base_fee, tuple(mined), state))
        for node in self.nodes:
            for key in [key for key in node.pool if key[1] < state.nonces.get(key[0], 0)]:
                del node.pool[key]

    def _chosen(self, state: State) -> Iterator[Tx]:
        """What the miner takes: in the order of nonces, whatever pays the base fee; now and then he takes nothing."""
        senders = sorted({sender for node in self.nodes for sender, _ in node.pool})
        for sender in senders:
            nonce = state.nonces.get(sender, 0)
            while True:
                offers = [node.pool[sender, nonce] for node in self.nodes if (sender, nonce) in node.pool]
                offers = [tx for tx in offers if tx.max_fee >= self.base_fee and state.eth.get(sender, 0) >= tx.value + tx.gas * tx.max_fee]
                if not offers or (offers[0].max_fee < RICH and self.trouble is not CALM and self.dice.random() < 0.2):
                    break
                yield self.dice.choice(offers)
                nonce += 1

    def _execute(self, state: State, tx: Tx, index: int) -> Mined:
        call = read_transfer_call(tx.data) if tx.is_token else None
        gas = TOKEN_GAS if tx.is_token else PLAIN_GAS
        price = min(tx.max_fee, self.base_fee + tx.tip)
        state.eth[tx.sender] = state.eth.get(tx.sender, 0) - gas * price
        state.nonces[tx.sender] = tx.nonce + 1
        purse, who, units = (state.token, call[0].lower(), call[1]) if call else (state.eth, tx.to, tx.value)
        succeeded = purse.get(tx.sender, 0) >= units and gas <= tx.gas
        if succeeded:
            purse[tx.sender] = purse.get(tx.sender, 0) - units
            purse[who] = purse.get(who, 0) + units
        return Mined(tx, index, succeeded, gas, price, (tx.sender, who, units) if call and succeeded else None)

    # --- transactions come in

    def vendor_pays(self, sender: str, to: str, units: int, *, token: bool = False) -> str:
        """A vendor sends coins; every node has it, and it pays for any fee. Gives back its hash."""
        sender, to = sender.lower(), to.lower()
        waiting = [nonce for node in self.nodes for who, nonce in node.pool if who == sender]
        nonce = max([self.head.state.nonces.get(sender, 0), *(n + 1 for n in waiting)])
        data = transfer_call(recipient=to, units=units) if token else b""
        tx = Tx(self._hash(), sender, nonce, TOKEN.lower() if token else to, 0 if token else units, data, 100_000, RICH, GWEI)
        for node in self.nodes:
            node.pool[sender, nonce] = tx
        return tx.tx_hash

    def read(self, raw: bytes) -> Tx:
        """Read signed bytes; raises BadInput."""
        fields, signer, tx_hash = decode_raw(raw)
        assert tx_hash == "0x" + keccak(raw).hex()
        call = fields.call
        return Tx(
            tx_hash, signer.lower(), fields.nonce, call.to.lower(), call.value_wei, call.data, fields.gas, fields.max_fee_wei, fields.max_priority_fee_wei
        )

    def take(self, node: Node, tx: Tx) -> str:
        """What a node says to a transaction: its hash, or the sentence of a refusal."""
        self.given[tx.tx_hash] = tx
        state = self.at(node).state
        if tx.nonce < state.nonces.get(tx.sender, 0):
            return f"nonce too low: next nonce {state.nonces.get(tx.sender, 0)}, tx nonce {tx.nonce}"
        there = node.pool.get((tx.sender, tx.nonce))
        if there is not None and there.tx_hash == tx.tx_hash:
            return "already known"
        if tx.max_fee < self.base_fee and self.dice.random() < self.trouble.refuse_cheap:
            return "transaction underpriced"
        if state.eth.get(tx.sender, 0) < tx.value + tx.gas * tx.max_fee:
            return "insufficient funds for gas * price + value"
        if there is not None and (tx.max_fee * 10 < there.max_fee * 11 or tx.tip * 10 < there.tip * 11):
            return "replacement transaction underpriced"
        if there is not None:
            self.counts["replaced"] += 1
        node.pool[tx.sender, tx.nonce] = tx
        return tx.tx_hash

    # --- what can be seen

    def at(self, node: Node) -> Block:
        """The newest block that a node knows."""
        return self.blocks[max(0, self.head.number - node.lag)]

    def find(self, tx_hash: str, *, upto: int) -> tuple[Block, Mined] | None:
        """Where a transaction was mined, at or under a block."""
        for block in reversed(self.blocks[: upto + 1]):
            for mined in block.txs:
                if mined.tx.tx_hash == tx_hash:
                    return block, mined
        return None

    def sent_by(self, address: str) -> list[Mined]:
        """Everything that an address has sent, as the chain is now."""
        return [mined for block in self.blocks for mined in block.txs if mined.tx.sender == address.lower()]

    def received(self, address: str, *, token: bool) -> list[tuple[str, int]]:
        """What an address was sent and kept: hash and units, in order."""
        who = address.lower()
        found = []
        for block in self.blocks:
            for mined in block.txs:
                if token and mined.moved and mined.moved[1] == who:
                    found.append((mined.tx.tx_hash, mined.moved[2]))
                elif not token and mined.succeeded and not mined.tx.is_token and mined.tx.to == who and mined.tx.value:
                    found.append((mined.tx.tx_hash, mined.tx.value))
        return found

"""A chain in memory, seeded: pools that forget, nodes that lag or do not answer, fees that jump, blocks that are taken back."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from PGP_COMMON.clients.ethereum_answers import Fees, Outcome, Receipt, Receipts
from PGP_COMMON.errors import VendorDown
from PGP_HOSTPAY_v1.signing import Bid

WALLET = "0x00000000000000000000000000000000000a11ce"
# A re-organisation is at most six blocks deep, and what is finalized is deeper than that.
DEEPEST, FINAL_AFTER = 6, 8
USUAL_BASE_FEE = 20 * 10**9
TIP = 10**9


@dataclass(frozen=True)
class Tx:
    """A signed transaction: whose transfer it pays, and what it offers."""

    tx_hash: str
    transfer: int
    nonce: int
    bid: Bid


@dataclass(frozen=True)
class Block:
    """A block's hash, what is in it, and how many transactions there are up to here."""

    block_hash: str
    txs: tuple[Tx, ...]
    so_far: int


@dataclass
class Node:
    """What one node has in its pool, and how many blocks it is behind."""

    pool: dict[int, Tx] = field(default_factory=dict)
    lag: int = 0
    down: bool = False


@dataclass
class Trouble:
    """How likely each fault is, at each step of the world or each question."""

    down: float = 0.05
    lost: float = 0.1
    evict: float = 0.05
    lag: float = 0.1
    reorg: float = 0.06
    drop_in_reorg: float = 0.5
    spike: float = 0.02
    refuse_cheap: float = 0.3


CALM = Trouble(0, 0, 0, 0, 0, 0, 0, 0)
# Mistakes need more bad weather to show than a right program needs to be believed.
TEMPEST = Trouble(down=0.05, lost=0.2, evict=0.1, lag=0.15, reorg=0.15, drop_in_reorg=0.9, spike=0.05, refuse_cheap=0.3)


class Chain:
    """One canonical chain and two nodes that show it."""

    def __init__(self, dice: random.Random, trouble: Trouble) -> None:
        self.dice = dice
        self.trouble = trouble
        self.blocks: list[Block] = []
        self._append(())
        self.nodes = [Node(), Node()]
        self.base_fee = USUAL_BASE_FEE
        self.spike_left = 0
        # What has gone wrong so far, by its name.
        self.faults: Counter[str] = Counter()

    def _append(self, txs: tuple[Tx, ...]) -> None:
        before = self.blocks[-1].so_far if self.blocks else 0
        self.blocks.append(Block(f"0x{self.dice.getrandbits(256):064x}", txs, before + len(txs)))

    # --- time passes

    def advance(self) -> None:
        """One slot: faults come and go, then a block."""
        dice, trouble = self.dice, self.trouble
        for node in self.nodes:
            node.down = dice.random() < trouble.down
            node.lag = min(dice.randint(1, 3), len(self.blocks) - 1) if dice.random() < trouble.lag else 0
            self.faults["silent nodes"] += node.down
            self.faults["lagging nodes"] += node.lag > 0
            for nonce in [nonce for nonce in node.pool if dice.random() < trouble.evict]:
                self.faults["evictions"] += 1
                del node.pool[nonce]
        if self.spike_left == 0 and dice.random() < trouble.spike:
            self.faults["fee spikes"] += 1
            self.spike_left = dice.randint(5, 40)
        self.base_fee = USUAL_BASE_FEE * (20 if self.spike_left else 1)
        self.spike_left = max(0, self.spike_left - 1)
        if dice.random() < trouble.reorg:
            self._reorganise()
        self._mine()

    def _reorganise(self) -> None:
        depth = min(self.dice.randint(1, DEEPEST), len(self.blocks) - 1)
        if not depth:
            return
        self.faults["re-organisations"] += 1
        self.faults["deepest"] = max(self.faults["deepest"], depth)
        dropped, self.blocks = self.blocks[-depth:], self.blocks[:-depth]
        for tx in (tx for block in dropped for tx in block.txs):
            if self.dice.random() >= self.trouble.drop_in_reorg:
                self.nodes[0].pool.setdefault(tx.nonce, tx)
        for _ in range(depth):
            self._mine()

    def _mine(self) -> None:
        taken: list[Tx] = []
        nonce = self.nonce_at(len(self.blocks) - 1)
        while len(taken) < 3:
            offers = [node.pool[nonce] for node in self.nodes if nonce in node.pool]
            offers = [tx for tx in offers if tx.bid.max_fee_wei >= self.base_fee + min(tx.bid.max_priority_wei, 1)]
            if not offers or self.dice.random() < 0.2:
                break
            taken.append(self.dice.choice(offers))
            nonce += 1
        self._append(tuple(taken))
        for node in self.nodes:
            for tx in taken:
                if node.pool.get(tx.nonce) == tx or self.dice.random() < 0.8:
                    node.pool.pop(tx.nonce, None)

    # --- what nodes say

    def nonce_at(self, height: int) -> int:
        """How many transactions the wallet has made up to a block."""
        return self.blocks[height].so_far

    def _height(self, node: Node) -> int:
        return len(self.blocks) - 1 - node.lag

    def _up(self) -> list[Node]:
        up = [node for node in self.nodes if not node.down]
        if not up:
            raise VendorDown(vendor="ethereum")
        return up

    def receipts(self, hashes: Sequence[str]) -> Receipts:
        """Receipts that any answering node has."""
        found: dict[str, Receipt] = {}
        up = self._up()
        for node in up:
            for number in range(self._height(node), max(-1, self._height(node) - 60), -1):
                for tx in self.blocks[number].txs:
                    if tx.tx_hash in hashes:
                        found[tx.tx_hash] = Receipt(
                            tx.tx_hash,
                            number,
                            self.blocks[number].block_hash,
                            succeeded=True,
                            gas_used=21_000,
                            gas_price_wei=self.base_fee,
                            sender=WALLET,
                            transfers=(),
                        )
        return Receipts(found, complete=len(up) == len(self.nodes))

    def has_block(self, number: int, block_hash: str) -> bool:
        """Whether a block is on the chain."""
        return number < len(self.blocks) and self.blocks[number].block_hash == block_hash

    def finalized(self) -> int:
        """The most careful node's final block."""
        return max(0, min(self._height(node) for node in self._up()) - FINAL_AFTER)

    def nonce(self, *, final: bool = False) -> int:
        """The wallet's count at the newest, or the final, block."""
        return self.nonce_at(self.finalized() if final else self._height(self._up()[0]))

    def fees(self) -> Fees:
        """What the next block asks for."""
        self._up()
        return Fees(self.base_fee, TIP)

    def send(self, tx: Tx) -> Outcome:
        """Give a transaction to both nodes; the most telling answer."""
        order = list(Outcome)
        return min((self._send(node, tx) for node in self.nodes), key=order.index)

    def _send(self, node: Node, tx: Tx) -> Outcome:
        if node.down:
            return Outcome.UNKNOWN
        if self.dice.random() < self.trouble.lost:
            self.faults["lost answers"] += 1
            if self.dice.random() < 0.5:
                self._take(node, tx)
            return Outcome.UNKNOWN
        return self._take(node, tx)

    def _take(self, node: Node, tx: Tx) -> Outcome:
        if tx.nonce < self.nonce_at(self._height(node)):
            return Outcome.NONCE_TOO_LOW
        there = node.pool.get(tx.nonce)
        if there is not None and there.tx_hash == tx.tx_hash:
            return Outcome.ALREADY_KNOWN
        if tx.bid.max_fee_wei < self.base_fee and self.dice.random() < self.trouble.refuse_cheap:
            return Outcome.UNDERPRICED
        if there is not None and any(
            new * 10 < old * 11 for new, old in ((tx.bid.max_fee_wei, there.bid.max_fee_wei), (tx.bid.max_priority_wei, there.bid.max_priority_wei))
        ):
            return Outcome.REPLACEMENT_UNDERPRICED
        node.pool[tx.nonce] = tx
        return Outcome.SENT

    # --- the end

    def paid(self) -> dict[int, int]:
        """How often each transfer was paid on the chain as it is now."""
        counts: dict[int, int] = {}
        for block in self.blocks:
            for tx in block.txs:
                counts[tx.transfer] = counts.get(tx.transfer, 0) + 1
        return counts

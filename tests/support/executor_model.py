"""HOSTPAY3 without its database: committed rows in memory, the product's own decisions, a crash wherever one can happen, and workers that are late."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from PGP_COMMON.clients.ethereum_answers import Fees, Outcome, Receipts
from PGP_COMMON.errors import VendorDown
from PGP_HOSTPAY_v1 import signing, watching
from PGP_HOSTPAY_v1.signing import Bid
from PGP_HOSTPAY_v1.watching import Attempt, Decision, Facts, Watched
from tests.support.chain_model import WALLET, Chain, Tx

GAS = 21_000
CAP_WEI = 20 * 10**15
SLOTS = 4
# How often a worker is so slow that others work on the same transfer before he writes.
SLOW = 0.05
START = datetime(2026, 1, 1, tzinfo=UTC)
OVER = ("final", "failed_onchain")
# The guards of the statements that move a transfer.
SOURCES: dict[type, tuple[str, ...]] = {
    watching.InPool: ("signed", "broadcast"),
    watching.Mined: ("signed", "broadcast", "mined"),
    watching.TakenBack: ("mined",),
    watching.Ended: ("mined",),
}


class Crash(BaseException):
    """The process is gone."""


@dataclass
class Row:
    """A transfer as the database has it."""

    id: int
    watched: Watched
    attempts: list[Attempt] = field(default_factory=list)
    ended: int = 0


@dataclass
class Mutant:
    """One mistake that the harness must notice."""

    new_nonce_on_too_low: bool = False
    send_before_commit: bool = False
    newest_hash_only: bool = False
    one_confirmation: bool = False
    mined_is_enough: bool = False
    no_second_look: bool = False


class Executor:
    """One wallet, its transfers, and a process that may die at any point."""

    def __init__(self, chain: Chain, dice: random.Random, *, transfers: int, crash: float, mutant: Mutant | None = None) -> None:
        self.chain, self.dice, self.crash = chain, dice, crash
        self.mutant = mutant or Mutant()
        self.now = START
        self.next_nonce = 0
        self.frozen = ""
        self.crashes = 0
        # What slow workers have decided and not written yet.
        self.late: list[Callable[[], None]] = []
        self.rows = [Row(i, Watched("requested", WALLET, None, "0xb0b", 1, -1, CAP_WEI)) for i in range(transfers)]

    def _point(self) -> None:
        if self.dice.random() < self.crash:
            self.crashes += 1
            raise Crash

    def tick(self) -> None:
        """A slot of the chain, and some of the work that is due."""
        self.chain.advance()
        self.now += timedelta(seconds=12)
        while self.late and self.dice.random() < 0.5:
            self.late.pop(self.dice.randrange(len(self.late)))()
        for row in self.rows:
            if row.watched.state in OVER or self.dice.random() < 0.3:
                continue
            try:
                self._point()
                self._sign(row) if row.watched.state == "requested" else self._watch(row)
                self._point()
            except (Crash, VendorDown):
                continue

    def _in_flight(self) -> int:
        return sum(row.watched.state not in ("requested", *OVER) for row in self.rows)

    def _sign(self, row: Row) -> None:
        fees = self.chain.fees()
        bid = signing.first_bid(fees, gas=GAS, cap_wei=CAP_WEI)
        if self.frozen or self._in_flight() >= SLOTS or bid is None:
            return
        if self.mutant.send_before_commit:
            self.chain.send(Tx(f"{row.id}/{self.next_nonce}/{bid.max_fee_wei}/{bid.max_priority_wei}", row.id, self.next_nonce, bid))
        self._point()
        self._soon(lambda: self._keep_signed(row, bid))

    def _soon(self, commit: Callable[[], None]) -> None:
        """Commit now, or when others have had their turn: the lease of a slow worker may be over before he writes."""
        if self.dice.random() < SLOW * (self.crash > 0):
            self.late.append(commit)
        else:
            commit()

    def _keep_signed(self, row: Row, bid: Bid) -> None:
        """One commit, under the lock: everything or nothing. The unique index on (wallet, nonce) is the database's own."""
        if row.watched.state != "requested" and not self.mutant.no_second_look:
            return
        assert all(other.watched.nonce != self.next_nonce for other in self.rows), "two transfers with one nonce"
        row.watched = replace(row.watched, state="signed", nonce=self.next_nonce)
        row.attempts.append(Attempt(f"{row.id}/{self.next_nonce}/{bid.max_fee_wei}/{bid.max_priority_wei}", GAS, bid, self.now))
        self.next_nonce += 1

    def _watch(self, row: Row) -> None:
        attempts = row.attempts[-1:] if self.mutant.newest_hash_only else row.attempts
        receipts: Receipts = self.chain.receipts([attempt.tx_hash for attempt in attempts])
        on_chain = frozenset(r.block_hash for r in receipts.by_hash.values() if self.chain.has_block(r.block_number, r.block_hash))
        final = self.chain.finalized()
        if self.mutant.one_confirmation:
            final = len(self.chain.blocks) - 1
        facts = Facts(receipts, on_chain, final, 0, 0, Fees(0, 0))
        decision = watching.decide(row.watched, attempts, facts, self.now)
        if isinstance(decision, watching.Send):
            decision = self._send(row, attempts, facts)
        self._point()
        seen = row.watched
        self._soon(lambda: self._commit(row, seen, decision))

    def _send(self, row: Row, attempts: list[Attempt], facts: Facts) -> Decision:
        newest = row.attempts[-1]
        self._point()
        if self.dice.random() < 0.2:
            # Time passes between two questions.
            self.chain.advance()
        sending = self.chain.send(Tx(newest.tx_hash, row.id, row.watched.nonce, newest.bid))
        self._point()
        if sending is Outcome.NONCE_TOO_LOW and self.mutant.new_nonce_on_too_low:
            row.watched = replace(row.watched, state="signed", nonce=self.next_nonce)
            row.attempts.append(Attempt(f"{row.id}/{self.next_nonce}/again", GAS, newest.bid, self.now))
            self.chain.send(Tx(row.attempts[-1].tx_hash, row.id, self.next_nonce, newest.bid))
            self.next_nonce += 1
            return watching.Wait("mutant")
        if sending is Outcome.NONCE_TOO_LOW:
            facts = replace(facts, sending=sending, nonce_finalized=self.chain.nonce(final=True))
        else:
            facts = replace(facts, sending=sending, nonce_latest=self.chain.nonce(), fees=self.chain.fees())
        return watching.decide(row.watched, attempts, facts, self.now)

    def _commit(self, row: Row, seen: Watched, decision: Decision) -> None:
        """Write a decision, if the row still is as it was when the decision was made; the database refuses illegal moves in any case."""
        watched = row.watched
        moved = (watched.state, watched.missing, watched.mined_block_hash) != (seen.state, seen.missing, seen.mined_block_hash)
        if (moved and not self.mutant.no_second_look) or watched.state not in SOURCES.get(type(decision), (watched.state,)):
            return
        match decision:
            case watching.InPool():
                row.watched = replace(watched, state="broadcast", missing=0)
            case watching.Mined(receipt):
                done = self.mutant.mined_is_enough
                row.watched = replace(watched, state="final" if done else "mined", missing=0, mined_hash=receipt.tx_hash, mined_block_hash=receipt.block_hash)
            case watching.TakenBack():
                row.watched = replace(watched, state="broadcast", missing=0, mined_hash=None, mined_block_hash=None)
            case watching.Count():
                row.watched = replace(watched, missing=watched.missing + 1)
            case watching.StillThere():
                row.watched = replace(watched, missing=0)
            case watching.Ended(_, done):
                row.watched = replace(watched, state="final" if done else "failed_onchain")
                row.ended += 1
            case watching.Bump(bid):
                row.attempts.append(Attempt(f"{row.id}/{watched.nonce}/{bid.max_fee_wei}/{bid.max_priority_wei}", GAS, bid, self.now))
            case watching.Freeze(reason):
                self.frozen = reason


@dataclass(frozen=True)
class Result:
    """How one world ended."""

    paid: dict[int, int]
    unfinished: int
    frozen: str
    attempts: int
    nonces: list[int]
    faults: Counter[str]

    @property
    def harm(self) -> str:
        """What went wrong in the end, or nothing."""
        if any(times > 1 for times in self.paid.values()):
            return "paid twice"
        if self.frozen:
            return "frozen for nothing"
        if self.unfinished:
            return "unfinished"
        return "unpaid" if any(times == 0 for times in self.paid.values()) else ""


def play(seed: int, trouble: object, *, transfers: int = 8, crash: float = 0.05, mutant: Mutant | None = None, storm: int = 80, calm: int = 160) -> Result:
    """A storm of faults, then calm weather until everything is over; reproducible by its seed."""
    from tests.support.chain_model import CALM

    dice = random.Random(seed)
    chain = Chain(dice, trouble)  # type: ignore[arg-type]
    executor = Executor(chain, dice, transfers=transfers, crash=crash, mutant=mutant)
    for _ in range(storm):
        executor.tick()
    chain.trouble, executor.crash = CALM, 0.0
    for _ in range(calm):
        if all(row.watched.state in OVER for row in executor.rows):
            break
        executor.tick()
    # What a re-organisation took back from under a transfer that was called final too early stays away.
    for _ in range(3):
        chain.advance()
    paid = chain.paid()
    return Result(
        {row.id: paid.get(row.id, 0) for row in executor.rows},
        sum(row.watched.state not in OVER for row in executor.rows),
        executor.frozen,
        max((len(row.attempts) for row in executor.rows), default=0),
        sorted(row.watched.nonce for row in executor.rows),
        chain.faults + Counter(crashes=executor.crashes),
    )

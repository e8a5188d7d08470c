"""One performance: every act in its order, what is still missing while one waits, and the proof at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from deploy.local.demo import acts, people, proof
from deploy.local.demo.people import Buyer, Owner
from deploy.local.demo.proof import Payout
from deploy.local.demo.telling import Telling
from deploy.local.demo.world import PlayError, World
from PGP_COMMON.database import BaseDatabaseManager
from PGP_COMMON.errors import Busy
from PGP_COMMON.money import from_units, plain
from PGP_COMMON.money_machines import standing

# How often a schedule is rung while its outcome is waited for; in life it is every few minutes.
RING_EVERY_S = 2.0
LOOK_EVERY_S = 0.3
ALARM_EVERY_S = 1.0
# What left our wallet is always USDT on Ethereum.
USDT_DECIMALS = 6


class Play:
    """Four owners and their buyers on a running fleet."""

    def __init__(self, world: World, db: BaseDatabaseManager, telling: Telling) -> None:
        """Make new people; what is wrong already is said, since the play will not end well with it."""
        self.db, self.telling = db, telling
        self.world = replace(world, alarm=self._alarm)
        self.owners: list[Owner] = people.owners()
        self.buyers: list[Buyer] = people.buyers(self.owners)
        self.known_letters = set(self._letters())
        self.next_alarm = 0.0
        for obstacle in (*self.known_letters, *self._obstacles()):
            telling.line(f"beforehand: {obstacle}")

    def run(self, examine: Callable[[], list[str]]) -> None:
        """Every act in order, then the comparison with what `examine` finds. Raises PlayError when something does not come true."""
        world, act = self.world, self.telling.act
        with act("four owners register, connect channels, name wallets"):
            acts.together(acts.found_channel, world, self.owners)
        with act("buyers open the bot and get payment links"):
            acts.together(acts.order, world, self.buyers)
        with act("they pay, and the vendor says so"):
            acts.together(acts.pay, world, self.buyers)
        with act("subscribers are invited, ask to join, are let in"):
            acts.together(acts.enter, world, [buyer for buyer in self.buyers if not buyer.donates])
        with act("owners are told"):
            self._owners_told()
        with act("the ETH arrives and is converted to USDT") as tell:
            self._wait_for("check-threshold", "the conversion", self._unconverted, tell)
        with act("every owner is paid in his own coin") as tell:
            self._wait_for("process", "the payouts", self._unpaid, tell)
            for owner in self.owners:
                world.until(f"{owner.name} to hear of the payout", partial(acts.heard, world, owner, "payout has arrived"))
        with act("the vendors' books, the chain and ours are compared"):
            self._compare(examine)

    def _owners_told(self) -> None:
        for owner in self.owners:
            self.world.until(f"{owner.name} to hear of the sale", partial(acts.heard, self.world, owner, "subscribed"))
        self.world.until(f"{self.owners[0].name} to hear of the donation", partial(acts.heard, self.world, self.owners[0], "donated"))

    def _wait_for(self, schedule: str, what: str, missing: Callable[[], list[str]], tell: Callable[[str], None]) -> None:
        """Ring a schedule every few seconds, as a short interval would, until nothing is missing any more.

        Raises PlayError with everything that still is, when that takes too long or a person is needed.
        """
        deadline, next_ring, left = time.monotonic() + self.world.patience_s, 0.0, ["nothing was seen yet"]
        while left := self._looked(missing, left):
            tell(left[0] if len(left) == 1 else f"{len(left)} to go: {left[0]}")
            if time.monotonic() > deadline:
                raise PlayError("\n  ".join([f"waited {self.world.patience_s:.0f} s for {what}, and:", *left, *self._obstacles(), *self._letters()]))
            if time.monotonic() >= next_ring:
                acts.ring(self.world, schedule)
                # What was under way in a process that was killed is woken by this one.
                acts.ring(self.world, "sweep")
                next_ring = time.monotonic() + RING_EVERY_S
            self._alarm(left)
            time.sleep(LOOK_EVERY_S)

    @staticmethod
    def _looked(missing: Callable[[], list[str]], before: list[str]) -> list[str]:
        """What is missing now; a database that is just being started again cannot say."""
        try:
            return missing()
        except Busy:
            return before

    def _unconverted(self) -> list[str]:
        with self.db.reading() as tx:
            return proof.unconverted(tx, [buyer.payment_id for buyer in self.buyers])

    def _unpaid(self) -> list[str]:
        return proof.unpaid(self.payouts(), self.owners)

    def payouts(self) -> list[Payout]:
        """The owners' payouts as they are now."""
        with self.db.reading() as tx:
            return proof.payouts_of(tx, [owner.email for owner in self.owners])

    def _letters(self) -> list[str]:
        """What the fleet itself has given up and left to a person."""
        with self.db.reading() as tx:
            return [f"dead letter: {letter.source} {letter.subject}: {letter.reason}" for letter in standing.open_letters(tx)]

    def _obstacles(self) -> list[str]:
        """What an operator holds back."""
        with self.db.reading() as tx:
            pauses = [f"{pause.source} is paused: {pause.reason}" for pause in standing.pauses(tx)]
            return pauses + [f"wallet {wallet.subject} is frozen: {wallet.reason}" for wallet in standing.frozen_wallets(tx)]

    def _alarm(self, left: Sequence[str] = ()) -> None:
        """Raises PlayError when a dead letter has been written during the play: waiting is in vain then."""
        if time.monotonic() < self.next_alarm:
            return
        self.next_alarm = time.monotonic() + ALARM_EVERY_S
        try:
            new = [letter for letter in self._letters() if letter not in self.known_letters]
        except Busy:
            return
        if new:
            raise PlayError("\n  ".join(["the play cannot go on without a person (`pgp dead list`):", *new, *left]))

    def _compare(self, examine: Callable[[], list[str]]) -> None:
        with self.db.reading() as tx:
            found = list(proof.problems(self.world, tx, self.owners, self.buyers))
        found += examine()
        if found:
            raise PlayError("\n  ".join(["the books do not agree:", *found]))

    def show(self) -> None:
        """Say who was paid what, with the transactions."""
        by_email = {payout.owner_email: payout for payout in self.payouts()}
        for owner in self.owners:
            payout = by_email[owner.email]
            sent = f"{plain(from_units(int(payout.units), USDT_DECIMALS))} USDT"
            got = f"{plain(from_units(int(payout.paid_out_units or payout.units), payout.decimals))} {payout.payout_asset.upper()}"
            self.telling.line(f"\npayout {payout.id}: {owner.name} ({owner.email})")
            if payout.tx_hash == payout.funded_by:
                self.telling.line(f"  we sent {sent} straight to {owner.name}'s wallet\n    {payout.funded_by}")
            else:
                self.telling.line(f"  we sent {sent} to be swapped\n    {payout.funded_by}")
                self.telling.line(f"  {owner.name} got {got}\n    {payout.tx_hash}")

"""One run: owners begin, buyers come, the storm goes over them, everybody heals, and all books are compared."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.local.demo.world import PlayError
from PGP_COMMON.cli import doctor
from PGP_COMMON.errors import Busy
from tests.chaos import letters, owners, snapshot, terminal
from tests.chaos.buyers import Crowd
from tests.chaos.fleet import Fleet
from tests.chaos.owners import Shop
from tests.chaos.plan import Plan
from tests.chaos.shapes import Shape
from tests.chaos.storm import Storm
from tests.chaos.telling import Result, Telling

LOOK_S: Final = 2.0
# Twice in a row nothing is left: between two looks a schedule has planned again.
LOOKS: Final = 3
# How long the last buyer may still need after the storm, and how long everything may take to heal afterwards.
CROWD_PATIENCE_S: Final = 900.0
HEAL_PATIENCE_S: Final = 900.0
# How long somebody who asks to join waits at the door when nothing is wrong any more.
ENTRANCE_PATIENCE_S: Final = 30.0
SHOWN: Final = 40


class Run:
    """Plays a plan on a fleet."""

    def __init__(self, fleet: Fleet, plan: Plan, telling: Telling) -> None:
        """Take the fleet, what is to happen, and who tells it."""
        self.fleet, self.plan, self.telling = fleet, plan, telling
        self.result = Result(plan.seed, owners=len(plan.owners), buyers=len(plan.buyers))
        self.shops: list[Shop] = []
        self.storm = Storm(fleet, plan.troubles)

    def go(self) -> Result:
        """Play it to the end; what is wrong is in the result."""
        with self.telling.act(f"{len(self.plan.owners)} owners register, connect channels, name wallets") as tell:
            self.shops = owners.found_all(self.fleet.world, self.plan.owners, lambda ready: tell(f"{ready} are ready"))
        crowd = Crowd(self.fleet, self.shops, self.plan.buyers, seed=self.plan.seed)
        try:
            self._play(crowd)
        finally:
            crowd.close()
        return self.result

    def _play(self, crowd: Crowd) -> None:
        began = time.monotonic()
        with self.telling.act(f"the storm, {self.plan.storm_s:.0f} s") as tell:
            crowd.open()
            self.storm.begin()
            while time.monotonic() < began + self.plan.storm_s:
                tell(self._progress(crowd))
                time.sleep(LOOK_S)
            self.storm.end()
        self.result.storm_s, calm = time.monotonic() - began, time.monotonic()
        with self.telling.act("the last buyers, without faults") as tell:
            self._await_crowd(crowd, tell)
        with self.telling.act("everything heals by itself") as tell:
            left = self._await_end(tell)
        self.result.calm_s = time.monotonic() - calm
        self._await_entrance()
        with self.telling.act("the books of everybody are compared"):
            self._judge(crowd, left)

    def _progress(self, crowd: Crowd) -> str:
        counted = self._counts()
        words = [f"{crowd.counts['payments']}/{self.plan.payments} payments", *(f"{name.replace('_', ' ')} {value}" for name, value in counted.items())]
        down = [name.removeprefix("pgp-").removesuffix("-v1") for name in self.fleet.down]
        words += [f"kills {sum(self.storm.killed.values())}", f"down: {' '.join(down) or 'nothing'}"]
        return ", ".join(words)

    def _counts(self) -> dict[str, int]:
        try:
            with self.fleet.db.reading() as tx:
                return terminal.counts(tx)
        except Busy:
            return {}

    def _await_crowd(self, crowd: Crowd, tell: Callable[[str], None]) -> None:
        until = time.monotonic() + CROWD_PATIENCE_S
        while crowd.left and time.monotonic() < until:
            tell(f"{crowd.left} buyers are still busy; {self._progress(crowd)}")
            time.sleep(LOOK_S)

    def _await_end(self, tell: Callable[[str], None]) -> list[str]:
        """Wait until nothing is left; gives back what is."""
        until, quiet, left = time.monotonic() + HEAL_PATIENCE_S, 0, ["nothing was seen"]
        while quiet < LOOKS and time.monotonic() < until:
            try:
                with self.fleet.db.reading() as tx:
                    left = terminal.look(tx)
            except Busy:
                left = ["the database is away"]
            quiet = 0 if left else quiet + 1
            tell(f"{len(left)} left: {left[0]}" if left else "nothing left")
            time.sleep(LOOK_S)
        return left

    def _await_entrance(self) -> None:
        """Whoever has paid and was not let in asks once more, with everything well."""
        with self.fleet.db.reading() as tx:
            outside = tx.all(Outside, OUTSIDE)
        for one in outside:
            try:
                self.fleet.world.control("telegram", "updates", {"user": {"id": one.buyer_id}, "join": one.link}, repeatable=True)
            except PlayError:
                continue
        self.result.asked_again, until = len(outside), time.monotonic() + ENTRANCE_PATIENCE_S
        while outside and time.monotonic() < until:
            time.sleep(LOOK_S)
            with self.fleet.db.reading() as tx:
                outside = tx.all(Outside, OUTSIDE)
        self.result.problems += [f"buyer {one.buyer_id} has paid, asked to be let in, and was not" for one in outside]

    def _judge(self, crowd: Crowd, left: Sequence[str]) -> None:
        """Hold everything against everything."""
        result, storm = self.result, self.storm
        shapes = {payment: made.purchase.shape for made in crowd.made for payment in made.payments if _counts_as(made.purchase.shape, made.payments, payment)}
        result.shapes = Counter(made.purchase.shape.value for made in crowd.made)
        result.payments, result.killed, result.troubles, result.missed = crowd.counts["payments"], storm.killed, storm.done, storm.missed
        result.met = Counter()
        for (name, _, mode), times in storm.met.items():
            result.met[f"{name} {mode}"] += times
        result.counts = self._counts()
        result.stuck = len(left)
        result.problems += [f"stuck: {line}" for line in left[:SHOWN]]
        result.problems += [f"buyer: {made.problem}" for made in crowd.made if made.problem]
        with self.fleet.db.reading() as tx:
            waiting = letters.open_letters(tx)
        bad = letters.unexplained(waiting, shapes=shapes, met=storm.met)
        result.letters = len(waiting) - len(bad)
        result.problems += [f"letter: {letter}" for letter in bad] + letters.missing(waiting, shapes=shapes)
        findings = [finding for finding in doctor.examine(self.fleet.known) if finding.area != "dead letter"]
        result.problems += [f"doctor: {finding.area}: {finding.sentence}" for finding in findings]
        differences = snapshot.compare(self.fleet, self.shops)
        result.lost = sum(line.startswith("lost:") for line in differences)
        result.doubled = sum(line.startswith("doubled:") for line in differences)
        result.problems += differences


def _counts_as(shape: Shape, payments: Sequence[str], payment: str) -> bool:
    """Only the first payment of a purchase ends in its shape's letter; the others are ordinary."""
    return payment == payments[0] or shape not in {Shape.REFUNDED, Shape.WORTHLESS}


@dataclass(frozen=True)
class Outside:
    """A buyer who has paid and is not in, with his way in."""

    buyer_id: int
    link: str


OUTSIDE: Final = """
SELECT m.buyer_id, max(coalesce(i.link, h.join_link)) AS link
  FROM membership m JOIN channel h ON h.id = m.channel_id JOIN entitlement e ON e.membership_id = m.id JOIN invite i ON i.entitlement_id = e.id
 WHERE NOT m.present AND e.revoked_at IS NULL AND e.ends_at > pgp_now() AND coalesce(i.link, h.join_link) IS NOT NULL
 GROUP BY m.id
"""

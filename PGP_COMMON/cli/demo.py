"""Plays the main job on this machine: buyers subscribe, pay and are let in; owners are told and paid out on chain."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from PGP_COMMON.cli.operator import database, settings
from PGP_COMMON.cli.place import StateOption, state_dir
from PGP_COMMON.errors import BrokenRule

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.local.demo.people import Buyer, Owner
    from deploy.local.demo.proof import Payout
    from deploy.local.demo.world import World
    from deploy.local.files import StateDir


def demo(state: StateOption = None) -> None:
    """Play four owners and their buyers; exit 0 only if every payout is final, the books agree and the doctor is content."""
    from deploy.local import book, progress, report, switch

    place = state_dir(state)
    started = time.monotonic()
    ran_before = report.is_ready(book.read(place.fleet))
    if not ran_before:
        from deploy.local import secrets

        secrets.init(place)
        with progress.shown() as show:
            switch.up(place, on_change=show)
        typer.echo(f"the fleet is ready after {time.monotonic() - started:.1f} s")
    try:
        played = time.monotonic()
        Play(place, state).run()
        typer.echo(f"✅ played in {time.monotonic() - played:.1f} s, {time.monotonic() - started:.1f} s with the start")
    finally:
        if not ran_before:
            typer.echo("stopping the fleet that was started for this ...")
            switch.down(place)


class Play:
    """One performance, with live progress."""

    def __init__(self, place: StateDir, state: Any) -> None:
        """Find the fleet and make new people."""
        from deploy.local import book, report
        from deploy.local.demo import people
        from deploy.local.demo.world import World

        self.known = settings(state)
        self.db = database(self.known)
        self.world: World = World.of(report.as_json(place, book.read(place.fleet)), self.known)
        self.owners: list[Owner] = people.owners()
        self.buyers: list[Buyer] = people.buyers(self.owners)
        self.started = time.monotonic()

    def act(self, what: str, do: Callable[[], Any]) -> Any:
        """Do one thing and say how long it took."""
        begun = time.monotonic()
        typer.echo(f"  {begun - self.started:6.1f} s  {what} ...", nl=False)
        result = do()
        typer.echo(f" {time.monotonic() - begun:.1f} s")
        return result

    def run(self) -> None:
        """Every act in order; raises PlayError or BrokenRule when something does not come true."""
        from deploy.local.demo import acts

        world, readers = self.world, [buyer for buyer in self.buyers if not buyer.donates]
        self.act(
            "four owners register, link Telegram, connect channels and say where they are paid", lambda: acts.together(acts.found_channel, world, self.owners)
        )
        self.act("buyers open the bot and get payment links", lambda: acts.together(acts.order, world, self.buyers))
        self.act("they pay, and the vendor says so", lambda: acts.together(acts.pay, world, self.buyers))
        self.act("subscribers get invites, ask to join and are let in", lambda: acts.together(acts.enter, world, readers))
        self.act("owners are told", self._owners_told)
        self.act("the ETH arrives, and is converted to USDT", self._converted)
        payouts = self.act("every owner is paid in his own coin", self._paid_out)
        self.act("the vendors' books, the chain and ours are compared", self._compared)
        self._show(payouts)

    def _owners_told(self) -> None:
        from deploy.local.demo import acts
        from deploy.local.demo.world import until

        for owner in self.owners:
            until(f"{owner.name} to hear of the sale", partial(acts.heard, self.world, owner, "subscribed"))
        until(f"{self.owners[0].name} to hear of the donation", partial(acts.heard, self.world, self.owners[0], "donated"))

    def _converted(self) -> None:
        self._ring_until("check-threshold", "the conversion", self._all_converted)

    def _all_converted(self) -> bool:
        from deploy.local.demo import proof

        with self.db.reading() as tx:
            return proof.all_converted(tx, [buyer.payment_id for buyer in self.buyers])

    def _paid_out(self) -> list[Payout]:
        from deploy.local.demo import acts
        from deploy.local.demo.world import until

        self._ring_until("process", "the payouts", lambda: all(p.state == "settled" for p in self._payouts()) and len(self._payouts()) == len(self.owners))
        for owner in self.owners:
            until(f"{owner.name} to hear of the payout", partial(acts.heard, self.world, owner, "payout has arrived"))
        return self._payouts()

    def _payouts(self) -> list[Payout]:
        from deploy.local.demo import proof

        with self.db.reading() as tx:
            return proof.payouts_of(tx, [owner.email for owner in self.owners])

    def _ring_until(self, schedule: str, what: str, done: Callable[[], bool]) -> None:
        """Ring a schedule every few seconds, as a short interval would, until something is so."""
        from deploy.local.demo import acts
        from deploy.local.demo.world import PlayError

        deadline, next_ring = time.monotonic() + 120, 0.0
        while not done():
            if time.monotonic() > deadline:
                raise PlayError(f"waited two minutes for {what}; see `pgp doctor` and `pgp dead list`")
            if time.monotonic() >= next_ring:
                acts.ring(self.world, schedule)
                next_ring = time.monotonic() + 2
            time.sleep(0.3)

    def _compared(self) -> None:
        from deploy.local.demo import proof
        from PGP_COMMON.cli.doctor import examine

        with self.db.reading() as tx:
            found = list(proof.problems(self.world, tx, self.owners, self.buyers))
        found += [f"{finding.area}: {finding.sentence}" for finding in examine(self.known)]
        if found:
            raise BrokenRule("the books do not agree:\n  " + "\n  ".join(found))

    def _show(self, payouts: list[Payout]) -> None:
        """The payouts, and the journey of the first payment."""
        from rich.console import Console
        from rich.table import Table

        from PGP_COMMON.cli import trace
        from PGP_COMMON.money import from_units, plain
        from PGP_COMMON.money_machines import standing

        table = Table("owner", "USDT sent", "got", "our transaction", "the owner's transaction", title="Payouts", box=None)
        for payout in payouts:
            got = plain(from_units(int(payout.paid_out_units or payout.units), payout.decimals))
            table.add_row(
                payout.owner_email,
                plain(from_units(int(payout.units), 6)),
                f"{got} {payout.payout_asset.upper()}",
                payout.funded_by or "",
                payout.tx_hash or "",
            )
        Console(width=max(Console().width, 220)).print(table)
        typer.echo(f"\nThe journey of payment {self.buyers[0].payment_id} (`pgp trace {self.buyers[0].payment_id}`):")
        with self.db.reading() as tx:
            ids = standing.find(tx, self.buyers[0].payment_id)
            if ids is not None:
                trace.show(standing.events(tx, ids))

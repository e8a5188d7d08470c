"""The processes of conversions and payouts stop at every place where one can, and the money ends where it would have."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from PGP_COMMON import failpoints
from PGP_COMMON.directory import service_of
from tests.support.earnings import DOLLAR, ETHER, Town, a_town


class Crash(BaseException):
    """The process is gone."""


@pytest.fixture
def town(database_url: str) -> Iterator[Town]:
    with a_town(database_url) as made:
        yield made


def places(town: Town) -> list[str]:
    """Every failpoint that the steps of these services pass."""
    engines = [runtime.engine for runtime in town.services.values()]
    points = [(step, point) for engine in engines for step, flow in engine.flows.items() for point in flow]
    claims = [f"{step}.claim.{where}" for step, _ in points for where in ("before", "after")]
    commits = [f"{step}.{point}.{where}" for step, point in points for where in ("before_commit", "after_commit")]
    # A third order whose answer is lost would be one too many.
    calls = [f"swap.create.{where}" for where in ("start.http.changenow.sent", "confirm.http.changenow.sent", "confirm.http.changenow.answered")]
    return [*dict.fromkeys(claims), *commits, *calls, "payout.quote.start.http.cryptocompare.answered"]


def crash_once(name: str, fired: set[str]) -> Callable[[], None]:
    def action() -> None:
        if name not in fired:
            fired.add(name)
            raise Crash

    return action


def work_on(town: Town) -> None:
    """Run what is due; a process that is gone is followed by another once its lease is over."""
    for _ in range(200):
        try:
            town.settle_down()
        except Crash:
            with town.db.reading() as tx:
                tx.run("UPDATE work SET lease_until = pgp_now() - interval '1 second' WHERE state = 'open' AND lease_until IS NOT NULL")
        else:
            return
    raise AssertionError("it never ends")


def live(town: Town) -> None:
    """A conversion that is shared out; one payout through the exchange, one without and one that is too dear; a late word about an old quote."""
    ann, ben, cat = town.owner(), town.owner(asset="usdterc20", address="0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"), town.owner(cap="0")
    town.earn(ann, ETHER // 10)
    for owner in (ben, cat):
        town.earn(owner, 60 * DOLLAR, asset="usdterc20")
    town.fire("conversion.plan", "first")
    work_on(town)
    swap = int(town.value("SELECT id FROM swap WHERE conversion_id IS NOT NULL AND state = 'created'"))
    town.send_coins(swap)
    bought = int(town.value("SELECT to_units FROM swap WHERE id = :id", id=swap))
    town.see(town.finish_swap(swap, bought), "usdterc20", bought)
    town.fire("conversion.finish", str(swap))
    work_on(town)
    town.fire("payout.plan", "second")
    work_on(town)
    town.fire("payout.requote", str(town.value("SELECT min(id) FROM quote WHERE payout_id IS NOT NULL")))
    work_on(town)


def test_a_process_that_stops_anywhere_loses_and_doubles_nothing(town: Town) -> None:
    fired: set[str] = set()
    wanted = places(town)
    failpoints.arm({name: crash_once(name, fired) for name in wanted})
    live(town)
    # Only a refund has a second point to stop at when a conversion ends.
    assert set(wanted) - fired == {"conversion.finish.cost.before_commit", "conversion.finish.cost.after_commit"}
    assert town.rows("SELECT state FROM batch_conversions") == [("done",)]
    assert town.rows("SELECT state FROM split_payout_que ORDER BY owner_id") == [("swap_ready",), ("quoted",), ("released",)]
    assert town.rows("SELECT step, count(*) FROM work WHERE state = 'open' GROUP BY step ORDER BY step") == [
        ("notify.send", 1),
        ("payout.direct", 1),
        ("swap.fund", 2),
    ]
    assert town.count("failed_transactions") == 0
    assert {service_of(name.split(".claim")[0])[0].name for name in fired if ".claim" in name} == set(town.services)
    before = town.picture()
    town.do_everything_again()
    assert town.picture() == before

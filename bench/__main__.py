"""`make bench`: how much the fleet takes in and carries through, what a payment costs, and what the services weigh."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench import counting, fleet, intake, payments, sizes, tables
from bench.fleet import Fleet, Start
from bench.tables import Machine, Measured
from PGP_COMMON.database import BaseDatabaseManager

# Of the orders that are made, so many are paid to warm up, one after another at a steady pace, and while questions are counted; the rest all at once.
WARM_UP, STEADY, COUNTED = 60, 100, 60
STEADY_PER_SECOND, COUNTED_PER_SECOND = 20, 15


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and show."""
    asked = _flags(arguments)
    with nullcontext((fleet.given(asked.state_dir), Start())) if asked.state_dir else fleet.temporary() as (found, start):
        measured = measure(found, start, orders=asked.payments, notices=asked.notices)
    if asked.json:
        print(json.dumps(asdict(measured), indent=1, default=str))
    else:
        tables.show(measured)
    if asked.write:
        tables.write(measured)
        print(f"written: {tables.PAGE.relative_to(tables.ROOT)}", file=sys.stderr)


def measure(found: Fleet, start: Start, *, orders: int, notices: int) -> Measured:
    """Everything, in one run, on the warm fleet."""
    _say("orders are made in the bot")
    shop = payments.Shop(found)
    per_second = shop.order(orders)
    ours = shop.open_payments()
    _say("notices are taken in")
    secret = found.known["NOWPAYMENTS_IPN_SECRET"]
    way_in = intake.measure(found, intake.Notices(shop.notices(), secret), count=notices, settled=shop.settle)
    _say("payments are carried through, all at once")
    shop.pay(_take(ours, WARM_UP))
    steady, counted = _take(ours, STEADY), _take(ours, COUNTED)
    at_once = shop.pay(ours)
    _say(f"payments are carried through, {STEADY_PER_SECOND} a second")
    calm = shop.pay(steady, per_second=STEADY_PER_SECOND)
    _say("questions are counted")
    questions = counting.count(found, COUNTED, lambda: shop.pay(counted, per_second=COUNTED_PER_SECOND))
    return Measured(_machine(found.db), start, per_second, way_in, at_once, calm, questions, sizes.weigh(found))


def _take(waiting: list[str], count: int) -> list[str]:
    taken = waiting[:count]
    del waiting[:count]
    return taken


def _machine(db: BaseDatabaseManager) -> Machine:
    with db.reading() as tx:
        server = str(tx.value("SHOW server_version"))
    return Machine(
        datetime.now(UTC).strftime("%Y-%m-%d"), len(os.sched_getaffinity(0)), platform.machine(), platform.python_version(), server.split(maxsplit=1)[0]
    )


def _say(what: str) -> None:
    print(f"{what} ...", file=sys.stderr, flush=True)


def _flags(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--state-dir", type=Path, help="a fleet that runs; without it one is started in a temporary directory and ended")
    parser.add_argument("--payments", type=int, default=600, help="orders to make and pay (600)")
    parser.add_argument("--notices", type=int, default=1000, help="notices a burst (1000)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md as well")
    asked = parser.parse_args(arguments)
    if asked.payments < 2 * (WARM_UP + STEADY + COUNTED):
        parser.error(f"fewer than {2 * (WARM_UP + STEADY + COUNTED)} payments say little")
    return asked


if __name__ == "__main__":
    main()

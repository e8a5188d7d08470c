"""`make chaos`: a thousand payments over forty owners while everything is killed and every vendor fails; exit 0 only if every cent is where it belongs."""

from __future__ import annotations

import argparse
import json
import logging
import random
import re
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from deploy.local import switch
from PGP_COMMON.cli import trace
from PGP_COMMON.errors import PgpError
from tests.chaos import fleet, plan
from tests.chaos.plan import Plan
from tests.chaos.run import Run
from tests.chaos.telling import Result, Telling, table

# Buyers come so densely that the fleet is busy and the machine is not drowned.
PAYMENTS_A_MINUTE = 60
SHORTEST_MINUTES = 1.5
INTERRUPTED = 130


def flags(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="draw this plan again; without it a new one")
    parser.add_argument("--payments", type=int, default=1000)
    parser.add_argument("--owners", type=int, default=40)
    parser.add_argument("--minutes", type=float, help=f"how long the storm lasts; without it one for every {PAYMENTS_A_MINUTE} payments")
    parser.add_argument("--plan", action="store_true", help="print the plan and do nothing")
    parser.add_argument("--json", action="store_true", help="print the plan, or the result, for a machine")
    parser.add_argument("--state-dir", type=Path, help="where the fleet keeps its data; without it a temporary directory")
    parser.add_argument("--keep", action="store_true", help="keep that directory although everything went well")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 0 only if nothing was lost, doubled or left, and all books agree."""
    asked = flags(arguments)
    # The pool tells of every connection that was torn away, and clients of every answer; here only what is wrong matters.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    seed = random.SystemRandom().randrange(2**32) if asked.seed is None else asked.seed
    minutes = asked.minutes or max(SHORTEST_MINUTES, asked.payments / PAYMENTS_A_MINUTE)
    drawn = plan.draw(seed, payments=asked.payments, owners=asked.owners, storm_s=round(60 * minutes, 1))
    if asked.plan:
        print(plan.as_json(drawn) if asked.json else "\n".join(plan.lines(drawn)))
        return 0
    signal.signal(signal.SIGTERM, _interrupt)
    telling = Telling(quiet=asked.json)
    try:
        result = _run(drawn, telling, root=asked.state_dir, keep=asked.keep)
    except KeyboardInterrupt:
        telling.line("broken off by hand; the fleet has ended")
        return INTERRUPTED
    if asked.json:
        print(json.dumps(result.as_dict(), indent=1))
    return 0 if result.is_good else 1


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _run(drawn: Plan, telling: Telling, *, root: Path | None, keep: bool) -> Result:
    """Play the plan on a fleet of its own, and show what came of it."""
    telling.line(f"seed {drawn.seed}: {drawn.payments} payments of {len(drawn.buyers)} buyers to {len(drawn.owners)} owners, {len(drawn.troubles)} troubles")
    result = Result(drawn.seed)
    try:
        with fleet.running(root, keep=lambda: keep or not result.is_good) as found:
            telling.line(f"the fleet runs in {found.state.root}")
            try:
                result = Run(found, drawn, telling).go()
            except PgpError as error:
                result.problems.append(f"broken off: {error}")
            except BaseException as error:
                result.problems.append(f"broken off: {type(error).__name__}: {error}")
                raise
            finally:
                result.run_s = time.monotonic() - telling.began
                _show(telling, result, found)
    except switch.UpError as error:
        result.problems.append(f"the fleet did not start: {error}")
        telling.line(result.problems[-1])
    return result


def _show(telling: Telling, result: Result, found: fleet.Fleet) -> None:
    """The table; on failure everything that is wrong, the way of the first payment that it names, and where to look."""
    telling.console.print(table(result))
    if result.is_good:
        return
    for problem in result.problems:
        telling.console.print(f"❌ {problem}", highlight=False, markup=False, soft_wrap=True)
    for name in _named(result.problems):
        try:
            telling.console.print(f"\n`pgp trace {name}`:", highlight=False)
            trace.show(trace.journey(found.db, name), full=True)
            break
        except PgpError:
            continue
    telling.console.print(f"\nkept: {found.state.root}; again: python -m tests.chaos --seed {result.seed}", highlight=False, soft_wrap=True)


def _named(problems: Sequence[str]) -> list[str]:
    """Names in the problems that `pgp trace` may know."""
    return re.findall(r"\b(?:payout:?\s?\d+|\d{10}|0x[0-9a-f]{64}|[0-9A-Z]{26})\b", "\n".join(problems))


if __name__ == "__main__":
    sys.exit(main())

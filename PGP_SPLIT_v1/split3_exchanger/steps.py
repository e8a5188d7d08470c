"""Makes the exchange's order for a payout, and says what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from PGP_COMMON.clients.changenow import ChangeNow
from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import Commit, Done, Job, Outcome
from PGP_COMMON.money_machines import swap_desk, swaps
from PGP_COMMON.money_machines.swap_desk import Desk, Follow
from PGP_COMMON.money_machines.swaps import Swap, SwapRow


@dataclass(frozen=True)
class Clients:
    """Whom ordering asks."""

    exchange: ChangeNow


def order(job: Job[Clients]) -> Commit:
    """Make the order."""
    return swap_desk.create(job, _desk(job))


def confirm_order(job: Job[Clients]) -> Commit:
    """Look at the order again before any coin leaves for it."""
    return swap_desk.confirm(job, _desk(job))


def _desk(job: Job[Clients]) -> Desk:
    return Desk(job.clients.exchange, job.config.integer("SWAP_DEADLINE_MARGIN_S"), Follow(created=_ready, lapsed=_lapsed))


def _ready(tx: Transaction, swap: SwapRow, deadline: datetime) -> Outcome:
    swaps.lock(tx, swap.id)
    if not swaps.mark_created(tx, swap.id, deadline=deadline):
        return Done("somebody was first")
    tx.send("payout.swap_ready", swap.id)
    return Done()


def _lapsed(tx: Transaction, swap: SwapRow, reason: str) -> Outcome:
    """Give the order up; SPLIT1 takes the payout back and asks for a new price."""
    swaps.lock(tx, swap.id)
    if not swaps.abandon(tx, swap.id, source=Swap.PLANNED, reason=reason):
        return Done("somebody was first")
    tx.send("payout.requote", swap.quote_id)
    return Done(reason)

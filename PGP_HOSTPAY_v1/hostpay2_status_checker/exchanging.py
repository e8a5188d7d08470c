"""Compares our swaps with the exchange: amounts, addresses and status of those that live, and orders that nobody may fund."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from PGP_COMMON import addresses
from PGP_COMMON.clients.changenow import ChangeNow, Seen, Standing
from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import Commit, Done, Job, Outcome, bury
from PGP_COMMON.errors import BadAnswer, Lost, Refused, TryAgain
from PGP_COMMON.money import floor_units
from PGP_COMMON.money_machines import coins, reconciliations, swap_rounds, swaps
from PGP_COMMON.money_machines.coins import Coin
from PGP_COMMON.money_machines.swaps import Swap, SwapRow
from PGP_HOSTPAY_v1.hostpay2_status_checker.steps import Clients

# More orders than this in one run are left to the next one: each is a question to the exchange.
AT_ONCE: Final = 20
# What the exchange says of an order that has our coins, or somebody's.
MOVING: Final = frozenset({Standing.WAIT, Standing.FINISHED, Standing.REFUNDED})


@dataclass(frozen=True, slots=True)
class Compared:
    """A swap, and the first thing that the exchange says otherwise; nothing when it agrees."""

    swap: SwapRow
    differs: str


def look_at_exchanges(job: Job[Clients]) -> Commit:
    """Hold live swaps against the exchange; look for money at orders that nobody may fund, and for swaps that nobody follows."""
    with job.db.reading() as tx:
        living = [(swap, coins.coin(tx, swap.from_asset), coins.coin(tx, swap.to_asset)) for swap in swap_rounds.live(tx, turn=job.subject, limit=AT_ONCE)]
        unpaid = swap_rounds.never_to_be_paid(tx, limit=AT_ONCE)
        neglected = swap_rounds.neglected(tx, limit=AT_ONCE)
    exchange = job.clients.exchange
    try:
        funded = [order for order in unpaid if _has_money(exchange, order)]
        compared = [Compared(swap, _compare(exchange, swap, gives, gets)) for swap, gives, gets in living]
    except (TryAgain, Lost) as error:
        away = {"exchange": error.reason}
        return partial(_record, compared=[], away=away, funded=[], neglected=neglected, looks=0)
    return partial(_record, compared=compared, away=None, funded=funded, neglected=neglected, looks=len(unpaid) + len(living))


def _has_money(exchange: ChangeNow, order: str) -> bool:
    try:
        seen = exchange.exchange(order)
    except (Refused, BadAnswer):
        # The exchange forgets orders that were never paid.
        return False
    return seen.received is not None or seen.standing in MOVING


def _compare(exchange: ChangeNow, swap: SwapRow, gives: Coin, gets: Coin) -> str:
    try:
        seen = exchange.exchange(str(swap.provider_id))
    except (Refused, BadAnswer) as error:
        return f"the exchange cannot be asked about it: {error.reason}"
    return difference(swap, seen, gives=gives, gets=gets)


def difference(swap: SwapRow, seen: Seen, *, gives: Coin, gets: Coin) -> str:
    """The first word of a live order that is not what was agreed or sent; nothing when all of them are. Pure.

    What a status means after funding is the follower's to judge (money.md 7); here it only matters that nobody else has paid.
    """
    gives_family, gets_family = gives.address_family or "", gets.address_family or ""
    if not addresses.same(gives_family, seen.payin_address, str(swap.payin_address)):
        return "another pay-in address"
    if not addresses.same(gets_family, seen.payout_address, swap.payout_address):
        return "another payout address"
    if seen.expected_from is not None and floor_units(seen.expected_from, gives.decimals) != swap.from_units:
        return f"it wants {seen.expected_from} {gives.ticker}"
    if seen.expected_to is not None and floor_units(seen.expected_to, gets.decimals) < swap.to_units:
        return f"it promises only {seen.expected_to} {gets.ticker}"
    if swap.state == Swap.CREATED and (seen.received is not None or seen.standing in MOVING):
        return f"it says {seen.status}, and we have paid nothing"
    if seen.received is not None and floor_units(seen.received, gives.decimals) != swap.from_units:
        return f"it has received {seen.received} {gives.ticker}"
    return ""


def _record(tx: Transaction, *, compared: list[Compared], away: dict[str, Any] | None, funded: list[str], neglected: list[int], looks: int) -> Outcome:
    # What has moved on since the exchange was asked is compared at the next turn.
    differing = [one for one in compared if one.differs and swaps.get(tx, one.swap.id).state == one.swap.state]
    breaks: list[dict[str, Any]] = [] if away is None else [away]
    breaks += [{"swap": one.swap.id, "found": one.differs} for one in differing]
    breaks += [{"order": order, "found": "money at an order that nobody may fund"} for order in funded]
    breaks += [{"swap": swap_id, "found": "it is not followed"} for swap_id in neglected]
    reconciliations.keep(tx, "exchanges", compared=looks + len(neglected), breaks=breaks)
    for one in differing:
        detail = {"exchange": one.swap.provider_id, "found": one.differs, "next": "stop signing if an address differs, and ask the exchange"}
        bury(tx, source="swap.compare", subject=str(one.swap.id), reason="differs_at_the_exchange", detail=detail)
    for order in funded:
        bury(tx, source="swap.orphan", subject=order, reason="orphan_has_money", detail={"next": "ask the exchange for it back"})
    for swap_id in neglected:
        bury(tx, source="swap.follow", subject=str(swap_id), reason="not_followed", detail={"next": "`pgp dead retry` its swap.follow"})
    return Done()

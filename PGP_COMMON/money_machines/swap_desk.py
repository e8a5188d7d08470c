"""This is the desk: asks the exchange for a price, and makes an order there whose every word is checked (money.md 9).

SPLIT2, SPLIT3 and MICROBATCH share it; what follows from an order is theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from PGP_COMMON import addresses, log
from PGP_COMMON.clients import changenow
from PGP_COMMON.clients.changenow import ChangeNow, Exchange, Seen, Standing
from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import Commit, Dead, Done, Job, Next, Outcome, bury
from PGP_COMMON.errors import Refused, TryAgain
from PGP_COMMON.http import was_not_done
from PGP_COMMON.money import floor_units, from_units
from PGP_COMMON.money_machines import coins, quotes, swaps
from PGP_COMMON.money_machines.coins import Coin
from PGP_COMMON.money_machines.payouts import Release
from PGP_COMMON.money_machines.swaps import Swap, SwapRow

logger = log.get(__name__)

# The vendor's codes for an address that it does not take: no new quote changes that.
ADDRESS_REFUSED = frozenset({"not_valid_address", "not_valid_refund_address"})


# --- asking for a price


@dataclass(frozen=True)
class Offer:
    """What the exchange gives, in base units, for how long, and what that costs against the market."""

    to_units: int
    rate_id: str
    valid_until: datetime
    cost_bps: int


@dataclass(frozen=True)
class NoOffer:
    """Why the exchange names no price, and its limits in whole coins where it said them."""

    reason: Release
    detail: dict[str, Any]


@dataclass(frozen=True)
class Market:
    """USD for one whole coin on either side."""

    gives_usd: Decimal
    gets_usd: Decimal


def ask(exchange: ChangeNow, market: Market, *, gives: Coin, gets: Coin, units: int) -> Offer | NoOffer:
    """Ask for a fixed rate for so many units of `gives`; raises what the client raises for an exchange in trouble."""
    amount = from_units(units, gives.decimals)
    try:
        limits = exchange.range(named(gives), named(gets))
        if amount < limits.minimum:
            return NoOffer(Release.BELOW_MINIMUM, {"minimum": limits.minimum})
        if limits.maximum is not None and amount > limits.maximum:
            return NoOffer(Release.ABOVE_MAXIMUM, {"maximum": limits.maximum})
        estimate = exchange.estimate(named(gives), named(gets), amount=amount)
    except Refused as error:
        return _no_offer(error, amount)
    to_units = floor_units(estimate.to_amount, gets.decimals)
    if to_units == 0:
        return NoOffer(Release.BELOW_MINIMUM, {})
    received = from_units(to_units, gets.decimals)
    cost = quotes.cost_bps(gives=amount, gets=received, gives_usd=market.gives_usd, gets_usd=market.gets_usd)
    return Offer(to_units, estimate.rate_id, estimate.valid_until, cost)


def _no_offer(error: Refused, amount: Decimal) -> NoOffer:
    """A refusal about the amount says which end of the range it is; any other is about the pair."""
    minimum, maximum = error.data.get("minimum"), error.data.get("maximum")
    if error.code in changenow.OUT_OF_RANGE:
        is_above = maximum is not None and amount > maximum
        return NoOffer(Release.ABOVE_MAXIMUM if is_above else Release.BELOW_MINIMUM, {"minimum": minimum, "maximum": maximum})
    return NoOffer(Release.PAIR_REFUSED, {"code": error.code})


def named(coin: Coin) -> changenow.Coin:
    """A coin of the catalogue under the exchange's names."""
    return changenow.Coin(coin.ticker, coin.network, coin.decimals)


# --- making the order: two recovery points, `start` and `confirm`


@dataclass(frozen=True)
class Follow:
    """What a service does next. Both run in the transaction of the outcome, and lock in the one order.

    `created` moves the swap to `created` with its deadline; `lapsed` abandons it (with a reason) and sees to a new quote.
    """

    created: Callable[[Transaction, SwapRow, datetime], Outcome]
    lapsed: Callable[[Transaction, SwapRow, str], Outcome]


@dataclass(frozen=True)
class Desk:
    """What making an order needs. `margin_s` of the rate must be left, or nobody would fund it."""

    exchange: ChangeNow
    margin_s: int
    follow: Follow


def create(job: Job[Any], desk: Desk) -> Commit:
    """Make the order. Each call is counted before it is made, because one that may have been done leads to another (money.md 9: at most three)."""
    with job.db.reading() as tx:
        swap = swaps.get(tx, job.id)
        if swap.state != Swap.PLANNED:
            return _nothing_to_do
        if swap.provider_id is not None:
            return _go_to("confirm")
        if swaps.lapses(tx, swap.id, margin_s=desk.margin_s):
            return partial(_lapse, swap=swap, desk=desk, reason="rate_lapsed")
        gives, gets = coins.coin(tx, swap.from_asset), coins.coin(tx, swap.to_asset)
        is_counted = swaps.count_create(tx, swap.id)
    if not is_counted:
        return partial(_stop_creating, swap=swap, desk=desk, step=job.step)
    try:
        made = _order(job, desk, swap, gives, gets)
    except Refused as error:
        if error.code in ADDRESS_REFUSED:
            raise
        logger.warning("the exchange does not take the order", swap=swap.id, code=error.code)
        return partial(_lapse, swap=swap, desk=desk, reason=f"refused: {error.code}"[:100])
    problem = echo_problem(swap, made, gives=gives, gets=gets)
    kept_rate = floor_units(made.to_amount, gets.decimals) >= swap.to_units
    return partial(_keep, swap=swap, desk=desk, made=made, problem=problem, kept_rate=kept_rate, family=gives.address_family or "")


def confirm(job: Job[Any], desk: Desk) -> Commit:
    """Look a second time: only an order that the exchange describes as it promised it becomes `created`."""
    with job.db.reading() as tx:
        swap = swaps.get(tx, job.id)
        if swap.state != Swap.PLANNED:
            return _nothing_to_do
        if swap.provider_id is None:
            return _go_to("start")
        if swaps.lapses(tx, swap.id, margin_s=desk.margin_s):
            return partial(_lapse, swap=swap, desk=desk, reason="rate_lapsed")
        gives, gets = coins.coin(tx, swap.from_asset), coins.coin(tx, swap.to_asset)
    try:
        seen = desk.exchange.exchange(swap.provider_id)
    except Refused as error:
        if error.code != "not_found":
            raise
        raise TryAgain("the exchange does not know its own order yet", swap=swap.id) from error
    problem = second_look_problem(swap, seen, gives=gives, gets=gets)
    if problem:
        return partial(_contradiction, swap_id=swap.id, problem=problem)
    deadline = min(swap.deadline, seen.valid_until or swap.deadline)
    return lambda tx: desk.follow.created(tx, swap, deadline)


def _order(job: Job[Any], desk: Desk, swap: SwapRow, gives: Coin, gets: Coin) -> Exchange:
    """One call that makes an exchange; it is not counted when it is certain that none was made."""
    with job.db.reading() as tx:
        rate_id = quotes.get(tx, swap.quote_id).rate_id
    try:
        return desk.exchange.create_exchange(
            named(gives),
            named(gets),
            amount=from_units(swap.from_units, gives.decimals),
            rate_id=rate_id or "",
            address=swap.payout_address,
            refund_address=swap.refund_address,
        )
    except TryAgain as error:
        if was_not_done(error):
            with job.db.reading() as tx:
                swaps.uncount_create(tx, swap.id)
        raise


def _nothing_to_do(_tx: Transaction) -> Outcome:
    return Done("somebody was first")


def _go_to(point: str) -> Commit:
    return lambda _tx: Next(point)


def _lapse(tx: Transaction, *, swap: SwapRow, desk: Desk, reason: str) -> Outcome:
    return desk.follow.lapsed(tx, swap, reason)


def _stop_creating(tx: Transaction, *, swap: SwapRow, desk: Desk, step: str) -> Outcome:
    """Three orders may have been made, and none is known: a person is told, and the money goes on with a new quote."""
    outcome = desk.follow.lapsed(tx, swap, "creates_spent")
    detail = {"creates": swap.creates, "next": "a new quote is on its way; are orders piling up at the exchange?"}
    bury(tx, source=step, subject=str(swap.id), reason="creates_spent", detail=detail)
    return outcome


def _keep(tx: Transaction, *, swap: SwapRow, desk: Desk, made: Exchange, problem: str | None, kept_rate: bool, family: str) -> Outcome:
    """Keep the order that was made, unless it is not what was asked for, or another one was kept before."""
    payin = addresses.canonical(family, made.payin_address) if problem is None else made.payin_address
    if problem is None and swaps.is_known_address(tx, swap.id, payin):
        problem = "payin_address is known: ours, an owner's or an earlier order's"
    if problem is not None:
        swaps.disown(tx, swap.id, provider_id=made.id, payin_address=payin)
        return _contradiction(tx, swap_id=swap.id, problem=problem)
    if not kept_rate:
        swaps.disown(tx, swap.id, provider_id=made.id, payin_address=payin)
        return desk.follow.lapsed(tx, swap, "less_than_quoted")
    swaps.remember(tx, swap.id, provider_id=made.id, payin_address=payin)
    return Next("confirm")


def _contradiction(_tx: Transaction, *, swap_id: int, problem: str) -> Outcome:
    logger.error("the exchange's answer is not what was asked for", swap=swap_id, problem=problem)
    return Dead(
        "bad_answer",
        {"sentence": f"the exchange's order is not ours: {problem}", "next": "nothing was sent; ask the vendor, then retry: an order is made anew"},
    )


# --- the checks


def echo_problem(swap: SwapRow, made: Exchange, *, gives: Coin, gets: Coin) -> str | None:
    """The first word of a new order that is not what was asked for, or None. Pure."""
    if (made.from_ticker, made.from_network) != (gives.ticker, gives.network):
        return "from_asset"
    if (made.to_ticker, made.to_network) != (gets.ticker, gets.network):
        return "to_asset"
    if made.from_amount != from_units(swap.from_units, gives.decimals):
        return "from_amount"
    return _places_problem(swap, made, gives=gives, gets=gets)


def second_look_problem(swap: SwapRow, seen: Seen, *, gives: Coin, gets: Coin) -> str | None:
    """The first word of the order, looked up again, that is not what was agreed, or None. Pure."""
    if seen.standing is not Standing.FUNDABLE:
        return f"status {seen.status}"
    if (seen.from_ticker, seen.from_network) != (gives.ticker, gives.network):
        return "from_asset"
    if (seen.to_ticker, seen.to_network) != (gets.ticker, gets.network):
        return "to_asset"
    if seen.expected_from != from_units(swap.from_units, gives.decimals):
        return "from_amount"
    if seen.expected_to is None or floor_units(seen.expected_to, gets.decimals) < swap.to_units:
        return "to_amount"
    if not addresses.same(gives.address_family or "", seen.payin_address, swap.payin_address or ""):
        return "payin_address"
    return _places_problem(swap, seen, gives=gives, gets=gets)


def _places_problem(swap: SwapRow, order: Exchange | Seen, *, gives: Coin, gets: Coin) -> str | None:
    """Where our coins go, where they come out and where they would come back."""
    from_family, to_family = gives.address_family or "", gets.address_family or ""
    if not addresses.same(to_family, order.payout_address, swap.payout_address):
        return "payout_address"
    if not addresses.same(from_family, order.refund_address or "", swap.refund_address):
        return "refund_address"
    if order.payin_extra_id is not None:
        return "payin_extra_id: our wallet cannot send a memo"
    fault = addresses.problem(from_family, order.payin_address)
    if fault is not None:
        return f"payin_address: {fault}"
    if any(addresses.same(from_family, order.payin_address, other) for other in (swap.refund_address, swap.payout_address)):
        return "payin_address is ours or the receiver's"
    return None

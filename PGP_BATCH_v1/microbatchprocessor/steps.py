"""From pending accumulations to a swap that waits for its ETH: planning, pricing, ordering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial

from PGP_BATCH_v1 import thresholds
from PGP_BATCH_v1.microbatchprocessor import retries
from PGP_COMMON import log
from PGP_COMMON.clients.changenow import ChangeNow
from PGP_COMMON.clients.ethereum import PLAIN_GAS, Ethereum
from PGP_COMMON.clients.prices import Prices
from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import Commit, Done, Job, Later, Next, Outcome, bury
from PGP_COMMON.errors import Refused
from PGP_COMMON.money import floor_units
from PGP_COMMON.money_machines import accumulations, coins, conversions, ledger, quotes, spending, swap_desk, swaps, wallet
from PGP_COMMON.money_machines.accumulations import AccumulationRow
from PGP_COMMON.money_machines.coins import Coin
from PGP_COMMON.money_machines.conversions import Conversion
from PGP_COMMON.money_machines.quotes import QuoteRow
from PGP_COMMON.money_machines.spending import Limits
from PGP_COMMON.money_machines.swap_desk import Desk, Follow, Market, NoOffer, Offer
from PGP_COMMON.money_machines.swaps import SwapRow

logger = log.get(__name__)

# The route of money (money.md 5): the vendor pays out ETH, owners are owed USDT.
FROM, TO = "eth", "usdterc20"
PAIR = f"{FROM}/{TO}"
# Rows of one conversion: its transactions stay short, and what is left waits for the next.
MOST_ROWS = 1000
# So often in a row the exchange may send our coins back before a person is asked.
MOST_REFUNDS = 2
# An exchange that takes more than a tenth is not used: the price is absurd, or the amount too small for its fees.
MOST_COST_BPS = 1000
PRICE_WAIT_S = 60


@dataclass(frozen=True)
class Clients:
    """Whom planning asks."""

    exchange: ChangeNow
    prices: Prices
    chain: Ethereum


@dataclass(frozen=True)
class Terms:
    """What a conversion must come to, in base units of the coin that it gives."""

    least_units: int
    most_units: int | None
    because: str
    largest_units: int | None = None

    def within(self, limits: Limits, room: int) -> Terms:
        """No more than what one transfer may carry today. `largest_units` is what any day's transfer could carry: more than that waits for a person."""
        largest = limits.most_units if self.most_units is None else min(limits.most_units, self.most_units)
        return Terms(self.least_units, min(largest, room), self.because, largest)


# --- conversion.plan


def keep_usdt(job: Job[Clients]) -> Commit:
    """What the vendor paid out in USDT is what owners are owed: it needs no exchange, only its place in the books."""
    while job.db.rerun(_keep_one):
        pass
    return lambda _tx: Next("convert")


def _keep_one(tx: Transaction) -> bool:
    rows = accumulations.collect_pending(tx, TO, limit=1)
    for row in rows:
        accumulations.convert_as_is(tx, rows)
        lines = [ledger.debit(ledger.owed(row.owner_id, "pending", TO), row.units), ledger.credit(ledger.owed(row.owner_id, "available", TO), row.units)]
        ledger.post(tx, "accumulation.keep", row.id, lines)
    return bool(rows)


def plan_conversion(job: Job[Clients]) -> Commit:
    """Collect what has arrived and is worth converting into one conversion."""
    with job.db.reading() as tx:
        assets = accumulations.pending_assets(tx)
        strangers = [asset for asset in assets if asset not in {FROM, TO}]
        obstacle = _obstacle(tx, job) if FROM in assets else "nothing waits"
        gives, gets = coins.coin(tx, FROM), coins.coin(tx, TO)
        limits = spending.limits(job.config, tx, FROM)
        room = spending.room(tx, limits, asset=FROM)
    if obstacle is not None:
        return partial(_wait, reason=obstacle, strangers=strangers)
    terms = _terms(job, gives, gets)
    if isinstance(terms, str):
        return partial(_wait, reason=terms, strangers=strangers)
    return partial(_collect, terms=terms.within(limits, room), strangers=strangers)


def _obstacle(tx: Transaction, job: Job[Clients]) -> str | None:
    """Why nothing is converted now, or None."""
    if _refunds(tx) >= MOST_REFUNDS:
        bury(
            tx,
            source="conversion.plan",
            subject=f"refunds {PAIR}",
            reason="refunded_twice",
            detail={"next": "ask the exchange; resolving this lets conversions begin again"},
        )
        return "the exchange sent our coins back twice"
    ours = wallet.find(tx, job.config.text("HOST_WALLET_ETH_ADDRESS"))
    return "the wallet is not opened" if ours is None else wallet.obstacle(tx, ours)


def _refunds(tx: Transaction) -> int:
    return conversions.refusals(tx, from_asset=FROM, to_asset=TO, source="conversion.plan", subject=f"refunds {PAIR}")


def _terms(job: Job[Clients], gives: Coin, gets: Coin) -> Terms | str:
    """The least that a conversion must come to: worth the threshold, above the exchange's minimum, and gas a small part of it."""
    price = job.clients.prices.usd(gives.priced)
    if price is None:
        return "no price for ETH"
    try:
        limits = job.clients.exchange.range(swap_desk.named(gives), swap_desk.named(gets))
    except Refused as error:
        logger.warning("the exchange does not trade the pair", pair=PAIR, code=error.code)
        return f"the exchange refuses {PAIR}: {error.code}"
    fees = job.clients.chain.fees()
    floors = {
        "worth the threshold": thresholds.units_worth(job.config.decimal("MICRO_BATCH_THRESHOLD_USD"), price_usd=price, decimals=gives.decimals),
        "above the exchange's minimum": thresholds.units_above_minimum(limits.minimum, decimals=gives.decimals),
        "worth its gas": thresholds.units_for_gas(PLAIN_GAS * (fees.base_fee_wei + fees.tip_wei), share_percent=job.config.decimal("GAS_SHARE_PERCENT")),
    }
    because = max(floors, key=lambda name: floors[name])
    most = None if limits.maximum is None else floor_units(limits.maximum, gives.decimals)
    return Terms(floors[because], most, because)


def _wait(tx: Transaction, *, reason: str, strangers: Sequence[str]) -> Outcome:
    _name_strangers(tx, strangers)
    logger.info("no conversion now", reason=reason)
    return Done(reason)


def _name_strangers(tx: Transaction, strangers: Sequence[str]) -> None:
    """Money in a coin that no conversion is for stays pending, and a person is told once."""
    for asset in strangers:
        bury(
            tx,
            source="conversion.plan",
            subject=f"asset {asset}",
            reason="no_conversion_for_asset",
            detail={"next": "set the vendor's pay-out coin to ETH; this money stays pending"},
        )


def _name_too_large(tx: Transaction, rows: Sequence[AccumulationRow], terms: Terms) -> None:
    """Money of one payment that no transfer may carry, or no order at the exchange, cannot be divided: a person raises the limit or asks."""
    for row in thresholds.too_large(rows, most_units=terms.largest_units) if terms.largest_units is not None else ():
        detail = {"units": row.units, "limit": terms.largest_units, "next": "raise TRANSFER_LIMIT_ETH and DAILY_LIMIT_ETH; or the exchange takes no more"}
        bury(tx, source="conversion.plan", subject=f"accumulation {row.id}", reason="above_transfer_limit", detail=detail)


def _collect(tx: Transaction, *, terms: Terms, strangers: Sequence[str]) -> Outcome:
    """Lock the rows, sum exactly those, and begin their conversion."""
    waiting = accumulations.collect_pending(tx, FROM, limit=MOST_ROWS)
    _name_too_large(tx, waiting, terms)
    rows = thresholds.fitting(waiting, most_units=terms.most_units)
    total = sum(row.units for row in rows)
    if total < terms.least_units:
        return _wait(tx, reason=f"{total} of {terms.least_units} units, which would be {terms.because}", strangers=strangers)
    _name_strangers(tx, strangers)
    conversion_id = conversions.plan(tx, from_asset=FROM, from_units=total, to_asset=TO, correlation=log.correlation.get() or log.new_correlation())
    accumulations.begin_conversion(tx, rows, conversion_id=conversion_id)
    tx.send("conversion.quote", quotes.ask_for_conversion(tx, conversion_id))
    lines = []
    for owner_id, units in accumulations.per_owner(rows).items():
        lines.append(ledger.debit(ledger.owed(owner_id, "pending", FROM), units))
        lines.append(ledger.credit(ledger.owed(owner_id, "converting", FROM), units))
    ledger.post(tx, "conv.start", conversion_id, lines)
    logger.info("a conversion begins", conversion=conversion_id, accumulations=len(rows), units=total)
    return Done(f"conversion {conversion_id}")


# --- conversion.quote


def ask_for_price(job: Job[Clients]) -> Commit:
    """Ask what the collected ETH buys; without a market price to compare with, it waits."""
    with job.db.reading() as tx:
        quote = quotes.get(tx, job.id)
        if quote.is_answered or quote.conversion_id is None or conversions.get(tx, quote.conversion_id).state != Conversion.PLANNED:
            return lambda _tx: Done("somebody was first")
        gives, gets = coins.coin(tx, quote.from_asset), coins.coin(tx, quote.to_asset)
    market = _market(job.clients.prices, gives, gets)
    if market is None:
        return lambda _tx: Later(PRICE_WAIT_S, "no price")
    offer = swap_desk.ask(job.clients.exchange, market, gives=gives, gets=gets, units=quote.from_units)
    if isinstance(offer, NoOffer):
        return partial(_refuse, quote=quote, conversion_id=quote.conversion_id, reason=offer.reason.value)
    if offer.cost_bps > MOST_COST_BPS:
        logger.warning("the exchange asks too much", pair=PAIR, cost_bps=offer.cost_bps)
        return partial(_refuse, quote=quote, conversion_id=quote.conversion_id, reason=f"it would cost {Decimal(offer.cost_bps) / 100} %")
    address = job.config.text("HOST_WALLET_ETH_ADDRESS")
    return partial(_agree, quote=quote, conversion_id=quote.conversion_id, offer=offer, wallet_address=address)


def _market(prices: Prices, gives: Coin, gets: Coin) -> Market | None:
    gives_usd, gets_usd = prices.usd(gives.priced), prices.usd(gets.priced)
    return None if gives_usd is None or gets_usd is None else Market(gives_usd, gets_usd)


def _refuse(tx: Transaction, *, quote: QuoteRow, conversion_id: int, reason: str) -> Outcome:
    """No price to agree to: everybody's money is pending again, and a later plan tries with more."""
    rows = accumulations.lock_of_conversion(tx, conversion_id)
    conversion = conversions.lock(tx, conversion_id)
    if conversion.state != Conversion.PLANNED or not quotes.refuse(tx, quote.id, reason=reason):
        return Done("somebody was first")
    retries.give_up(tx, conversion, rows, reason=reason)
    return Done(reason)


def _agree(tx: Transaction, *, quote: QuoteRow, conversion_id: int, offer: Offer, wallet_address: str) -> Outcome:
    """Keep the price and plan the swap that it is for; what it buys, and what comes back, comes to our wallet."""
    conversion = conversions.lock(tx, conversion_id)
    if conversion.state != Conversion.PLANNED or not quotes.is_latest(tx, quote):
        return Done("somebody was first")
    kept = quotes.answer(tx, quote.id, to_units=offer.to_units, rate_id=offer.rate_id, valid_until=offer.valid_until, cost_bps=offer.cost_bps)
    if not kept:
        return Done("somebody was first")
    conversions.agree(tx, conversion.id)
    tx.send("conversion.swap", swaps.plan(tx, quote.id, payout_address=wallet_address, payout_extra_id=None, refund_address=wallet_address))
    return Done()


# --- conversion.swap


def order(job: Job[Clients]) -> Commit:
    """Make the exchange's order."""
    return swap_desk.create(job, _desk(job))


def confirm_order(job: Job[Clients]) -> Commit:
    """Look at the order again before any coin leaves for it."""
    return swap_desk.confirm(job, _desk(job))


def _desk(job: Job[Clients]) -> Desk:
    return Desk(job.clients.exchange, job.config.integer("SWAP_DEADLINE_MARGIN_S"), Follow(created=_begin_swap, lapsed=retries.abandon))


def _begin_swap(tx: Transaction, swap: SwapRow, deadline: datetime) -> Outcome:
    """The exchange waits for our ETH: HOSTPAY1 takes over."""
    if swap.conversion_id is None:
        return Done("not a conversion's")
    conversion = conversions.lock(tx, swap.conversion_id)
    swaps.lock(tx, swap.id)
    if conversion.state != Conversion.QUOTED or not swaps.mark_created(tx, swap.id, deadline=deadline):
        return Done("somebody was first")
    conversions.begin_swap(tx, conversion.id)
    tx.send("swap.fund", swap.id)
    return Done()

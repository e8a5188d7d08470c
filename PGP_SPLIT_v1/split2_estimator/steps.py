"""Asks the exchange what a payout's USDT buys in the owner's coin."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from PGP_COMMON import log
from PGP_COMMON.clients.changenow import ChangeNow
from PGP_COMMON.clients.prices import Prices
from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import Commit, Done, Job, Later, Outcome
from PGP_COMMON.money_machines import coins, payouts, quotes, swap_desk
from PGP_COMMON.money_machines.payouts import Payout
from PGP_COMMON.money_machines.swap_desk import Market, NoOffer, Offer

logger = log.get(__name__)

# Without a market price there is nothing to compare the exchange's with: a payout waits (product.md 7.15).
PRICE_WAIT_S = 60


@dataclass(frozen=True)
class Clients:
    """Whom pricing asks."""

    exchange: ChangeNow
    prices: Prices


def ask_for_estimate(job: Job[Clients]) -> Commit:
    """Ask for a fixed rate, and what it costs against the market; a refusal is an answer too."""
    with job.db.reading() as tx:
        quote = quotes.get(tx, job.id)
        if quote.is_answered or quote.payout_id is None or payouts.get(tx, quote.payout_id).state != Payout.RESERVED:
            return lambda _tx: Done("somebody was first")
        gives, gets = coins.coin(tx, quote.from_asset), coins.coin(tx, quote.to_asset)
    gives_usd, gets_usd = job.clients.prices.usd(gives.priced), job.clients.prices.usd(gets.priced)
    if gives_usd is None or gets_usd is None:
        return lambda _tx: Later(PRICE_WAIT_S, "no price")
    offer = swap_desk.ask(job.clients.exchange, Market(gives_usd, gets_usd), gives=gives, gets=gets, units=quote.from_units)
    return partial(_record, quote_id=quote.id, offer=offer)


def _record(tx: Transaction, *, quote_id: int, offer: Offer | NoOffer) -> Outcome:
    if isinstance(offer, NoOffer):
        logger.info("the exchange names no price", quote=quote_id, reason=offer.reason.name, **{k: str(v) for k, v in offer.detail.items()})
        kept = quotes.refuse(tx, quote_id, reason=offer.reason.value)
    else:
        kept = quotes.answer(tx, quote_id, to_units=offer.to_units, rate_id=offer.rate_id, valid_until=offer.valid_until, cost_bps=offer.cost_bps)
    if kept:
        tx.send("payout.quoted", quote_id)
    return Done()

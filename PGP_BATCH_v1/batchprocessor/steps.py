"""Gives every owner who has earned enough one payout: each in a transaction of his own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from PGP_BATCH_v1 import store, thresholds
from PGP_BATCH_v1.store import Candidate, Details, Owner
from PGP_COMMON import addresses, log
from PGP_COMMON.clients.prices import Prices
from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import Commit, Done, Job, bury
from PGP_COMMON.errors import Busy, PgpError, TryAgain
from PGP_COMMON.money_machines import accumulations, coins, ledger, owners, payouts, spending, wallet
from PGP_COMMON.money_machines.accumulations import AccumulationRow
from PGP_COMMON.money_machines.coins import Coin

logger = log.get(__name__)

# What owners are owed, and what payouts are funded with (money.md 5).
ASSET = "usdterc20"
# Accumulations of one payout: its transactions stay short, and what is left waits for the next.
MOST_ROWS = 2000
# So often in a row the exchange may send one owner's money back before a person is asked.
MOST_REFUNDS = 2
REFUSED = "the exchange sent your payouts back twice"
# After a release the money is tried again when it has grown by a tenth, or after a day.
GROWN = Decimal("1.1")
# A run ends well within its lease; whoever is left is first in the next.
LONGEST_RUN_S = 45.0


@dataclass(frozen=True)
class Clients:
    """Whom planning asks."""

    prices: Prices


@dataclass(frozen=True)
class Terms:
    """What holds for everybody: the price of a whole coin, the settings, and the most that one payout may come to."""

    coin: Coin
    price_usd: Decimal
    instant_usd: Decimal
    fee_cap_percent: Decimal
    most_units: int

    def is_enough(self, owner: Candidate | Owner, units: int) -> bool:
        """Whether so many units are worth what the owner asks for before he is paid."""
        least = self.instant_usd if owner.payout_strategy == "instant" else owner.payout_threshold_usd
        return units > 0 and thresholds.usd_of(units, price_usd=self.price_usd, decimals=self.coin.decimals) >= least


def plan_payouts(job: Job[Clients]) -> Commit:
    """Plan for one owner after the other; one that fails does not stop the others."""
    with job.db.reading() as tx:
        coin = coins.coin(tx, ASSET)
        waiting = store.candidates(tx, asset=ASSET)
        most_units = spending.limits(job.config, tx, ASSET).most_units
    price = job.clients.prices.usd(coin.priced) if waiting else None
    if price is None:
        reason = "no price for USDT" if waiting else "nobody waits"
        logger.info("no payouts now", reason=reason)
        return lambda _tx: Done(reason)
    terms = Terms(coin, price, job.config.decimal("INSTANT_PAYOUT_MIN_USD"), job.config.decimal("PAYOUT_FEE_CAP_PERCENT"), most_units)
    planned, last = 0, time.monotonic() + LONGEST_RUN_S
    for candidate in waiting:
        if time.monotonic() > last:
            logger.warning("more owners than one run can plan for", owners=len(waiting))
            break
        if terms.is_enough(candidate, candidate.units):
            planned += _plan_for(job, candidate.owner_id, terms)
    return lambda _tx: Done(f"{planned} payouts")


def _plan_for(job: Job[Clients], owner_id: int, terms: Terms) -> bool:
    """Plan one owner's payout; a failure becomes a dead letter about him."""
    held = log.correlation.set(log.new_correlation())
    try:
        outcome = job.db.rerun(lambda tx: reserve(tx, owner_id, terms))
    except Busy:
        raise
    except TryAgain as error:
        logger.info("an owner is left to the next run", owner=owner_id, error=error.reason)
        return False
    except Exception as error:
        # Whatever is wrong with one owner may not keep the others from their money.
        logger.exception("an owner's payout cannot be planned", owner=owner_id)
        reason = error.reason if isinstance(error, PgpError) else "bug"
        with job.db.reading() as tx:
            bury(tx, source="payout.plan", subject=f"owner {owner_id}", reason=reason, detail={"sentence": str(error)[:500]})
        return False
    finally:
        log.correlation.reset(held)
    logger.info("planned for an owner", owner=owner_id, outcome=outcome)
    return outcome == "planned"


def reserve(tx: Transaction, owner_id: int, terms: Terms) -> str:
    """Set an owner's converted money aside for one payout, with everything it needs written down; says in a word what came of it."""
    owner = store.lock_owner(tx, owner_id)
    if owner is None or payouts.has_open(tx, owner_id):
        return "open"
    details = store.usable_details(tx, owner_id)
    if details is None:
        return "no_address"
    if obstacle := _obstacle(tx, owner, details):
        return obstacle
    waiting = accumulations.collect_converted(tx, owner_id, asset=ASSET, limit=MOST_ROWS)
    _name_too_large(tx, waiting, terms)
    # What one transfer does not carry waits for the next payout.
    rows = thresholds.fitting(waiting, most_units=terms.most_units, units=thresholds.CONVERTED)
    units = sum(row.converted_units or 0 for row in rows)
    if not terms.is_enough(owner, units):
        return "not_enough"
    refused = store.refused_units(tx, owner_id, details)
    if refused is not None and units < refused * GROWN:
        return "refused_lately"
    payout_id = payouts.reserve(
        tx,
        owner_id=owner_id,
        details_id=details.id,
        asset=ASSET,
        units=units,
        fee_cap_percent=terms.fee_cap_percent if owner.fee_cap_percent is None else owner.fee_cap_percent,
        correlation=log.correlation.get() or log.new_correlation(),
    )
    accumulations.attach(tx, rows, payout_id=payout_id)
    tx.send("payout.start", payout_id)
    lines = [ledger.debit(ledger.owed(owner_id, "available", ASSET), units), ledger.credit(ledger.owed(owner_id, "reserved", ASSET), units)]
    ledger.post(tx, "payout.reserve", payout_id, lines)
    return "planned"


def _name_too_large(tx: Transaction, rows: Sequence[AccumulationRow], terms: Terms) -> None:
    """Money of one payment that no transfer may carry cannot be divided: a person raises the limit."""
    for row in thresholds.too_large(rows, most_units=terms.most_units, units=thresholds.CONVERTED):
        detail = {"owner": row.owner_id, "units": row.converted_units, "limit": terms.most_units, "next": "raise TRANSFER_LIMIT_USDT and DAILY_LIMIT_USDT"}
        bury(tx, source="payout.plan", subject=f"accumulation {row.id}", reason="above_transfer_limit", detail=detail)


def _obstacle(tx: Transaction, owner: Owner, details: Details) -> str | None:
    """Why nothing is planned for an owner, or None: stopped, an address that cannot be right, or money that came back twice."""
    subject = f"refunds {owner.id}/{details.asset}/{details.address}"
    if store.refusals(tx, owner.id, details, source="payout.plan", subject=subject) >= MOST_REFUNDS:
        owners.stop_payouts(tx, owner.id, reason=REFUSED)
        next_ = "ask the exchange and the owner; resolving this, or a new address, lets payouts begin again"
        bury(tx, source="payout.plan", subject=subject, reason="refunded_twice", detail={"owner": owner.id, "next": next_})
        return "stopped"
    settled = owner.payouts_stopped_reason == owners.PAID_BEFORE and not store.has_letter(tx, source=owners.PAID_BEFORE_LETTER, subject=f"owner {owner.id}")
    if owner.payouts_stopped_reason == REFUSED or settled:
        owners.allow_payouts(tx, owner.id)
    elif owner.payouts_stopped_reason is not None:
        return "stopped"
    coin = coins.coin(tx, details.asset)
    fault = addresses.problem(coin.address_family or "", details.address) if coin.can_pay_out else "this coin is not paid out"
    if fault is None and wallet.is_ours(tx, details.address):
        fault = "it is our own address, or a coin's contract"
    if fault is None and details.extra_id is not None:
        # The exchange is given addresses alone: without its memo the money would be somebody else's, or nobody's.
        fault = "it needs a memo, and coins that do are not paid out"
    if fault is not None:
        bury(tx, source="payout.plan", subject=f"address {details.id}", reason="bad_address", detail={"owner": owner.id, "sentence": fault})
        return "bad_address"
    return None

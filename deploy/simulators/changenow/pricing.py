"""What a swap costs at ChangeNOW: rate, spread, withdrawal fee, limits, and quotes that hold for a while."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_UP, Decimal, localcontext

from deploy.simulators.changenow import store
from deploy.simulators.changenow.reading import RefusedError
from deploy.simulators.changenow.store import Vendor
from deploy.simulators.market import Coin

# The vendor writes at most eight decimals.
PLACES = 8
PRECISION = 60


@dataclass(frozen=True)
class Price:
    """Both sides of a swap, exact, and the fee that is in the second."""

    from_amount: Decimal
    to_amount: Decimal
    withdrawal_fee: Decimal


def rate(vendor: Vendor, source: Coin, target: Coin) -> Decimal:
    """Give how much of the target one unit of the source is worth; raises RefusedError when the pair is off."""
    row = vendor.books.one("SELECT rate FROM rates WHERE source = ? AND target = ?", (source.key, target.key))
    back = vendor.books.one("SELECT rate FROM rates WHERE source = ? AND target = ?", (target.key, source.key))
    if source.key == target.key or (row is not None and row["rate"] is None):
        raise RefusedError(400, "pair_is_inactive", "Pair is inactive")
    with localcontext() as context:
        context.prec = PRECISION
        if row is not None:
            return Decimal(row["rate"])
        if back is not None and back["rate"] is not None:
            return 1 / Decimal(back["rate"])
        return source.usd / target.usd


def least(vendor: Vendor, source: Coin) -> Decimal:
    """Give the smallest amount the vendor swaps."""
    return _cut(vendor.terms.least_usd / source.usd, source, up=True)


def price(vendor: Vendor, source: Coin, target: Coin, *, from_amount: Decimal | None, to_amount: Decimal | None) -> Price:
    """Price a swap from either side; raises RefusedError below the minimum."""
    fee = _cut(vendor.terms.withdrawal_usd / target.usd, target, up=True)
    with localcontext() as context:
        context.prec = PRECISION
        net = rate(vendor, source, target) * (1 - vendor.terms.spread_percent / 100)
        if to_amount is not None:
            from_amount = _cut((to_amount + fee) / net, source, up=True)
        elif from_amount is not None:
            to_amount = _cut(max(from_amount * net - fee, Decimal(0)), target)
    if from_amount is None or to_amount is None:
        raise RefusedError(400, "not_valid_params", "fromAmount or toAmount is required")
    if from_amount < least(vendor, source) or to_amount <= 0:
        raise RefusedError(400, "deposit_too_small", "Out of min amount", {"range": limits(vendor, source)})
    return Price(from_amount, to_amount, fee)


def limits(vendor: Vendor, source: Coin) -> dict[str, Decimal | None]:
    """Give the range of a swap; the vendor has no upper end for us."""
    return {"minAmount": least(vendor, source), "maxAmount": None}


def keep(vendor: Vendor, source: Coin, target: Coin, priced: Price) -> tuple[str, int]:
    """Hold a price for a while; gives the rate's id and until when, in milliseconds."""
    rate_id, until = secrets.token_urlsafe(24), store.now_ms() + int(vendor.terms.rate_ttl_s * 1000)
    row = {
        "rate_id": rate_id,
        "source": source.key,
        "target": target.key,
        "from_amount": format(priced.from_amount, "f"),
        "to_amount": format(priced.to_amount, "f"),
        "valid_until_ms": until,
    }
    store.insert(vendor.books, "quotes", row)
    return rate_id, until


def kept(vendor: Vendor, rate_id: str, source: Coin, target: Coin, amount: Decimal | None) -> tuple[Price, int]:
    """Find a held price again; raises RefusedError when it is not for this pair and amount, or has lapsed."""
    row = vendor.books.one("SELECT * FROM quotes WHERE rate_id = ?", (rate_id,))
    if row is None or (row["source"], row["target"]) != (source.key, target.key) or row["valid_until_ms"] < store.now_ms():
        raise RefusedError(400, "not_valid_params", "Rate ID is not valid or has expired")
    priced = Price(Decimal(row["from_amount"]), Decimal(row["to_amount"]), Decimal(0))
    if amount is not None and amount not in {priced.from_amount, priced.to_amount}:
        raise RefusedError(400, "not_valid_params", "Amount does not match the rate ID")
    return priced, int(row["valid_until_ms"])


def _cut(amount: Decimal, coin: Coin, *, up: bool = False) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-min(PLACES, coin.decimals)), ROUND_UP if up else ROUND_DOWN)

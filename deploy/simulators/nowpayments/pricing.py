"""What a coin is worth at NOWPayments, and what a payment needs and yields."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_UP, Decimal, localcontext

from deploy.simulators.books import Books
from deploy.simulators.market import BY_CODE, FIAT

# The vendor's amounts have eight decimals.
PLACES = 8
# Below this the vendor would lose money on its own fees; the real figure moves with the networks.
LEAST_USD = Decimal(1)


class UnknownCurrencyError(LookupError):
    """The vendor does not know this currency, or does not trade it now."""


def usd_price(books: Books, currency: str) -> Decimal:
    """Give what one unit is worth in USD; raises UnknownCurrencyError."""
    row = books.one("SELECT usd FROM rates WHERE coin = ?", (currency,))
    if row is not None and row["usd"] is None:
        raise UnknownCurrencyError(currency)
    if row is not None:
        return Decimal(row["usd"])
    if currency in BY_CODE:
        return BY_CODE[currency].usd
    if currency in FIAT:
        return FIAT[currency]
    raise UnknownCurrencyError(currency)


def convert(books: Books, amount: Decimal, currency_from: str, currency_to: str, *, up: bool = False) -> Decimal:
    """Turn an amount into another currency, rounded to what the vendor writes."""
    with localcontext() as context:
        context.prec = 60
        exact = amount * usd_price(books, currency_from) / usd_price(books, currency_to)
    return cut(exact, currency_to, up=up)


def cut(amount: Decimal, currency: str, *, up: bool = False) -> Decimal:
    """Round to eight decimals, or to the coin's own when it has fewer."""
    places = min(PLACES, BY_CODE[currency].decimals) if currency in BY_CODE else PLACES
    return amount.quantize(Decimal(1).scaleb(-places), ROUND_UP if up else ROUND_DOWN)


def service_fee(outcome: Decimal, percent: Decimal, currency: str) -> Decimal:
    """Give the vendor's fee on an outcome before fees."""
    return cut(outcome * percent / 100, currency, up=True)


def least(books: Books, currency: str) -> Decimal:
    """Give the smallest amount the vendor takes."""
    return cut(LEAST_USD / usd_price(books, currency), currency, up=True)

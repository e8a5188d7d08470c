"""Whether a payment that the vendor has confirmed makes sense, and what it is worth: pure arithmetic (money.md 4.2, product.md 7.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, Decimal, localcontext
from typing import Final

from PGP_COMMON.clients import nowpayments
from PGP_COMMON.errors import BadInput
from PGP_COMMON.money import PRECISION, floor_units, from_units
from PGP_COMMON.money_machines.coins import WALLET_ASSETS, Coin
from PGP_COMMON.money_machines.crediting import Worth
from PGP_COMMON.money_machines.orders import Sold
from PGP_COMMON.money_machines.payments import PaymentRow, Sight

# The statuses that mean that money has come to us, and those after which none comes.
PAYABLE: Final = frozenset({"partially_paid", "finished"})
FAILED: Final = frozenset({"failed", "expired"})
REFUNDED: Final = "refunded"
# The one objection that may pass: a repeated deposit whose first payment we have not seen.
UNKNOWN_PARENT: Final = "unknown_parent"
# From here on a status is confirmed with the vendor before anything follows from it; below it is only shown to the buyer.
DECISIVE_RANK: Final = nowpayments.RANKS["partially_paid"]

USD_PLACES: Final = Decimal("0.00000001")
# The database keeps USD below this.
MOST_USD: Final = Decimal(10) ** 12
# The database keeps amounts of whole coins below this; no coin has so many.
MOST_COINS: Final = Decimal(10) ** 30
# How chains write the hash of a buyer's own transaction; what the vendor says otherwise is not kept.
PAYIN_HASH: Final = re.compile(r"[0-9A-Za-z_:+/=-]{1,200}", re.ASCII)
# An outcome worth so many times what was paid is somebody's slipped decimal point. Rates differ by percents.
ABSURD: Final = 20


@dataclass(frozen=True)
class Confirmed:
    """What the vendor confirmed: the sight to keep, the price of the outcome's coin in USD, the least invoice in USD.

    `absurd`: an amount is negative or beyond what can be kept, and is left out of the sight.
    `unknown_coin`: money came in a coin that the catalogue does not have, so it has no units here.
    """

    answer: nowpayments.Payment
    sight: Sight
    coin: Coin | None = None
    price_usd: Decimal | None = None
    least_usd: Decimal | None = None
    absurd: bool = False
    unknown_coin: bool = False

    @property
    def has_money(self) -> bool:
        """Whether anything came, readable or not."""
        return self.sight.outcome_units > 0 or self.absurd or self.unknown_coin

    @property
    def value_usd(self) -> Decimal | None:
        """What the outcome is worth at this moment; None when it has no price."""
        if self.coin is None or self.price_usd is None:
            return None
        with localcontext() as context:
            context.prec = PRECISION
            value = (from_units(self.sight.outcome_units, self.coin.decimals) * self.price_usd).quantize(USD_PLACES, ROUND_DOWN)
        return value if value < MOST_USD else None


def read(answer: nowpayments.Payment, coin: Coin | None, *, parent: str | None = None) -> Confirmed:
    """Read the vendor's answer into what is kept of it; `coin` is the outcome's, None when the catalogue does not have it.

    `parent` is the parent payment that the notice named: the vendor's own answer may leave it out (contracts: 1.4).
    """
    pay_amount, paid = _kept(answer.pay_amount), _kept(answer.actually_paid)
    sight = Sight(
        provider_id=answer.payment_id,
        parent_provider_id=answer.parent_payment_id or parent,
        status=answer.status[:40],
        rank=answer.rank,
        pay_currency=(answer.pay_currency or "")[:40] or None,
        pay_amount=pay_amount,
        actually_paid=paid,
        payin_hash=answer.payin_hash if PAYIN_HASH.fullmatch(answer.payin_hash or "") else None,
    )
    found = Confirmed(answer, sight, coin, absurd=pay_amount != answer.pay_amount or paid != answer.actually_paid)
    if not answer.outcome_amount:
        return found
    if coin is None:
        return replace(found, unknown_coin=True)
    try:
        units = floor_units(answer.outcome_amount, coin.decimals)
    except BadInput:
        return replace(found, absurd=True)
    return replace(found, sight=replace(sight, outcome_asset=coin.asset if units else None, outcome_units=units))


def _kept(amount: Decimal | None) -> Decimal | None:
    return amount if amount is not None and 0 <= amount < MOST_COINS else None


def worth(confirmed: Confirmed, sold: Sold, payment: PaymentRow) -> Worth:
    """What the payment is worth: invoice price × min(1, actually paid / wanted), rounded down, and the outcome at this moment."""
    price = sold.invoice_usd or Decimal(0)
    paid = min(price, _paid_of(price, confirmed.sight, payment))
    return Worth(paid.quantize(USD_PLACES, ROUND_DOWN), confirmed.value_usd, confirmed.least_usd)


def _paid_of(price: Decimal, sight: Sight, payment: PaymentRow) -> Decimal:
    """So much of a price as of what was wanted was paid; over-payment is more than the price.

    A repeated deposit names itself as what was wanted (contracts: 1.7 E): its parent's amount counts.
    """
    wanted = max(sight.pay_amount or Decimal(0), payment.parent_pay_amount or Decimal(0))
    with localcontext() as context:
        context.prec = PRECISION
        return price * (sight.actually_paid or Decimal(0)) / wanted if wanted else Decimal(0)


def is_short(answer: nowpayments.Payment) -> bool:
    """Whether less was paid than was wanted."""
    return answer.actually_paid is not None and answer.pay_amount is not None and answer.actually_paid < answer.pay_amount


def objection(confirmed: Confirmed, sold: Sold, payment: PaymentRow, *, floor: Decimal) -> str | None:
    """Why a person must look before anybody gets anything, or None. `floor` is PAYMENT_MIN_TOLERANCE."""
    answer, sight = confirmed.answer, confirmed.sight
    if sold.invoice_usd is None:
        return "unknown_invoice"
    if answer.price_currency != "usd" or answer.price_amount != sold.invoice_usd:
        return "price_differs"
    if confirmed.absurd:
        return "absurd_amount"
    if confirmed.unknown_coin:
        return "unknown_coin"
    if sight.outcome_asset not in WALLET_ASSETS:
        return "wrong_asset"
    if sight.parent_provider_id is not None and payment.parent_currency is None:
        return UNKNOWN_PARENT
    if any(sight.pay_currency != before for before in (payment.pay_currency, payment.parent_currency) if before is not None):
        return "wrong_asset"
    if not _paid_of(sold.invoice_usd, sight, payment):
        return "nothing_paid"
    return _unlikely(confirmed, sold, payment, floor)


def _unlikely(confirmed: Confirmed, sold: Sold, payment: PaymentRow, floor: Decimal) -> str | None:
    """Compare the outcome's value with what was paid; without a price there is nothing to compare."""
    if confirmed.price_usd is None:
        return None
    price, value = sold.invoice_usd or Decimal(0), confirmed.value_usd
    if value is None or value > ABSURD * max(price, _paid_of(price, confirmed.sight, payment)):
        return "absurd_amount"
    return "below_floor" if value < floor * worth(confirmed, sold, payment).paid_usd else None

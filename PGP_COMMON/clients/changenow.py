"""ChangeNOW: fixed-rate quotes and exchanges, API version 2 (contracts: section 2)."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from PGP_COMMON.clients.fields import Fields
from PGP_COMMON.errors import AnswerLost, BadAnswer, BadInput, Refused, VendorDown
from PGP_COMMON.http import Answer, Http, OnLost, effect, read, refusal
from PGP_COMMON.money import from_units, plain, to_units

VENDOR: Final = "changenow"


class Standing(enum.StrEnum):
    """Where an exchange is, by what we do about it (money.md 7)."""

    FUNDABLE = "fundable"  # it waits for our coins
    WAIT = "wait"  # the exchange has them and works
    FINISHED = "finished"  # paid out
    REFUNDED = "refunded"  # our coins are on their way back
    REVIEW = "review"  # it failed: an operator looks
    HOLD = "hold"  # kept back, or a status that nobody knows: an operator is told


# Total by `standing`: `expired` is sent though the vendor's list lacks it, and a new status is a hold (contracts: 2.5).
STANDINGS: Final[Mapping[str, Standing]] = {
    "new": Standing.FUNDABLE,
    "waiting": Standing.FUNDABLE,
    "confirming": Standing.WAIT,
    "exchanging": Standing.WAIT,
    "sending": Standing.WAIT,
    "finished": Standing.FINISHED,
    "refunded": Standing.REFUNDED,
    "failed": Standing.REVIEW,
    "expired": Standing.REVIEW,
    "verifying": Standing.HOLD,
}

# Refusals that say the amount does not fit; they carry the range.
OUT_OF_RANGE: Final = frozenset({"deposit_too_small", "out_of_range"})

# The list of currencies is the one answer that may be longer than 1 MiB: over a thousand coins of half a kilobyte.
LIST_BYTES: Final = 8 * 1024 * 1024


def standing(status: str) -> Standing:
    """What a vendor's status means for us; never raises."""
    return STANDINGS.get(status, Standing.HOLD)


@dataclass(frozen=True, slots=True)
class Coin:
    """A coin as the exchange names it: USDT on Ethereum is ("usdt", "eth"), with 6 decimals."""

    ticker: str
    network: str
    decimals: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """A fixed rate, good until `valid_until` for whoever creates an exchange with its id. Amounts are whole coins."""

    rate_id: str
    valid_until: datetime
    from_amount: Decimal
    to_amount: Decimal
    deposit_fee: Decimal | None
    withdrawal_fee: Decimal | None


@dataclass(frozen=True, slots=True)
class Range:
    """The amounts that a pair takes at a fixed rate, in whole coins; no maximum is no cap."""

    minimum: Decimal
    maximum: Decimal | None


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange as it was created: every field that must echo what was asked for, and where our coins go."""

    id: str
    from_ticker: str
    from_network: str
    to_ticker: str
    to_network: str
    from_amount: Decimal
    to_amount: Decimal
    payin_address: str
    payin_extra_id: str | None
    payout_address: str
    refund_address: str | None


@dataclass(frozen=True, slots=True)
class Seen:
    """How an exchange is. `received` and `paid` are None until the exchange has, or has sent, the coins."""

    id: str
    status: str
    from_ticker: str
    from_network: str
    to_ticker: str
    to_network: str
    expected_from: Decimal | None
    expected_to: Decimal | None
    received: Decimal | None
    paid: Decimal | None
    payin_address: str
    payin_extra_id: str | None
    payout_address: str
    refund_address: str | None
    payin_hash: str | None
    payout_hash: str | None
    refund_hash: str | None
    refund_amount: Decimal | None
    valid_until: datetime | None

    @property
    def standing(self) -> Standing:
        """What its status means for us."""
        return standing(self.status)


@dataclass(frozen=True, slots=True)
class Listed:
    """A coin of the exchange's list. With `extra_id` an address alone is not enough (a memo or tag)."""

    ticker: str
    network: str
    contract: str | None
    extra_id: bool
    fixed_rate: bool
    legacy_ticker: str | None


class ChangeNow:
    """What we ask of ChangeNOW."""

    def __init__(self, http: Http, *, api_key: Callable[[], str]) -> None:
        """Take the key as a function: each call uses what it is then."""
        self._http = http
        self._api_key = api_key

    @read
    def estimate(self, from_coin: Coin, to_coin: Coin, *, amount: Decimal) -> Estimate:
        """Ask what an amount buys at a fixed rate; raises BadInput for more decimals than the coin has."""
        params = {**_pair(from_coin, to_coin), "fromAmount": _exact(amount, from_coin), "type": "direct", "useRateId": "true"}
        fields = Fields(VENDOR, self._ask("GET", "/exchange/estimated-amount", params=params))
        made = Estimate(
            rate_id=fields.text("rateId"),
            valid_until=_moment(fields, "validUntil"),
            from_amount=fields.number("fromAmount"),
            to_amount=fields.number("toAmount"),
            deposit_fee=fields.number_or_none("depositFee"),
            withdrawal_fee=fields.number_or_none("withdrawalFee"),
        )
        echo = (fields.text("fromCurrency"), fields.text("fromNetwork"), fields.text("toCurrency"), fields.text("toNetwork"))
        asked = (from_coin.ticker, from_coin.network, to_coin.ticker, to_coin.network)
        if echo != asked or made.from_amount != amount or made.to_amount <= 0:
            raise BadAnswer("an estimate for something else", vendor=VENDOR)
        return made

    @read
    def range(self, from_coin: Coin, to_coin: Coin) -> Range:
        """Ask which amounts a pair takes at a fixed rate."""
        fields = Fields(VENDOR, self._ask("GET", "/exchange/range", params=_pair(from_coin, to_coin)))
        return Range(fields.number("minAmount"), fields.number_or_none("maxAmount"))

    @effect(OnLost.REPEAT, reason="creating moves no money: the twin that nobody funds expires")
    def create_exchange(
        self,
        from_coin: Coin,
        to_coin: Coin,
        *,
        amount: Decimal,
        rate_id: str,
        address: str,
        refund_address: str,
        user_id: str = "",
    ) -> Exchange:
        """Create an exchange at a quoted rate; a second call makes a second one. The caller checks what it echoes."""
        body = {
            "fromCurrency": from_coin.ticker,
            "fromNetwork": from_coin.network,
            "toCurrency": to_coin.ticker,
            "toNetwork": to_coin.network,
            "fromAmount": _exact(amount, from_coin),
            "toAmount": "",
            "address": address,
            "extraId": "",
            "refundAddress": refund_address,
            "refundExtraId": "",
            "userId": user_id,
            "contactEmail": "",
            "flow": "fixed-rate",
            "type": "direct",
            "rateId": rate_id,
        }
        return _read_exchange(self._ask("POST", "/exchange", body=body))

    @read
    def exchange(self, exchange_id: str) -> Seen:
        """Ask how an exchange is; raises Refused with code not_found when the vendor does not know it."""
        seen = _read_seen(self._ask("GET", "/exchange/by-id", params={"id": exchange_id}))
        if seen.id != exchange_id:
            raise BadAnswer("another exchange than the one asked for", vendor=VENDOR, exchange_id=exchange_id)
        return seen

    @read
    def validate_address(self, *, network: str, address: str) -> bool:
        """Ask whether an address is one of this network; raises Refused with code bad_params for a network it cannot check."""
        # The vendor calls the network "currency" here (contracts: 2.6).
        answer = self._ask("GET", "/validate/address", params={"currency": network, "address": address})
        return Fields(VENDOR, answer).flag("result")

    @read
    def currencies(self) -> tuple[Listed, ...]:
        """Every coin that the exchange trades now. Rows that make no sense are left out."""
        rows = self._ask("GET", "/exchange/currencies", params={"active": "true", "flow": "fixed-rate"}, max_bytes=LIST_BYTES)
        if not isinstance(rows, list):
            raise BadAnswer("no list of currencies", vendor=VENDOR)
        return tuple(listed for row in rows if (listed := _read_listed(row)) is not None)

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        answer = self._http.call(method, path, headers={"x-changenow-api-key": self._api_key()}, **more)
        # The vendor also refuses with a status that says success (contracts: 2.3).
        if not answer.ok or answer.problem().get("error") is not None:
            raise refused(answer)
        return answer.json()


def _pair(from_coin: Coin, to_coin: Coin) -> dict[str, str]:
    return {
        "fromCurrency": from_coin.ticker,
        "fromNetwork": from_coin.network,
        "toCurrency": to_coin.ticker,
        "toNetwork": to_coin.network,
        "flow": "fixed-rate",
    }


def _exact(amount: Decimal, coin: Coin) -> str:
    """Write an amount without losing or inventing a digit."""
    units = to_units(amount, coin.decimals)
    if units <= 0:
        raise BadInput("an amount to exchange is more than nothing")
    return plain(from_units(units, coin.decimals))


def _moment(fields: Fields, name: str) -> datetime:
    moment = fields.moment_or_none(name)
    if moment is None:
        raise BadAnswer(f"{name} is missing", vendor=VENDOR, field=name)
    return moment


def _read_exchange(body: object) -> Exchange:
    if body in ({}, None):
        # Nothing at all behind a success: the exchange may well exist.
        raise AnswerLost("an empty answer", vendor=VENDOR)
    fields = Fields(VENDOR, body)
    return Exchange(
        id=fields.text("id"),
        from_ticker=fields.text("fromCurrency"),
        from_network=fields.text("fromNetwork"),
        to_ticker=fields.text("toCurrency"),
        to_network=fields.text("toNetwork"),
        from_amount=fields.number("fromAmount"),
        to_amount=fields.number("toAmount"),
        payin_address=fields.text("payinAddress"),
        payin_extra_id=fields.text_or_none("payinExtraId"),
        payout_address=fields.text("payoutAddress"),
        refund_address=fields.text_or_none("refundAddress"),
    )


def _read_seen(body: object) -> Seen:
    fields = Fields(VENDOR, body)
    return Seen(
        id=fields.text("id"),
        status=fields.text("status"),
        from_ticker=fields.text("fromCurrency"),
        from_network=fields.text("fromNetwork"),
        to_ticker=fields.text("toCurrency"),
        to_network=fields.text("toNetwork"),
        expected_from=fields.number_or_none("expectedAmountFrom"),
        expected_to=fields.number_or_none("expectedAmountTo"),
        received=fields.number_or_none("amountFrom"),
        paid=fields.number_or_none("amountTo"),
        payin_address=fields.text("payinAddress"),
        payin_extra_id=fields.text_or_none("payinExtraId"),
        payout_address=fields.text("payoutAddress"),
        refund_address=fields.text_or_none("refundAddress"),
        payin_hash=fields.text_or_none("payinHash"),
        payout_hash=fields.text_or_none("payoutHash"),
        refund_hash=fields.text_or_none("refundHash"),
        refund_amount=fields.number_or_none("refundAmount"),
        valid_until=fields.moment_or_none("validUntil"),
    )


def _read_listed(row: object) -> Listed | None:
    try:
        fields = Fields(VENDOR, row)
        return Listed(
            ticker=fields.text("ticker"),
            network=fields.text("network"),
            contract=fields.text_or_none("tokenContract"),
            extra_id=fields.flag("hasExternalId"),
            fixed_rate=fields.flag("supportsFixedRate"),
            legacy_ticker=fields.text_or_none("legacyTicker"),
        )
    except BadAnswer:
        return None


def refused(answer: Answer) -> Refused | VendorDown:
    """The vendor's refusal with its own code; one about the amount carries `minimum` and `maximum` (whole coins or None)."""
    problem = answer.problem()
    code = problem.get("error") if isinstance(problem.get("error"), str) else None
    if code not in OUT_OF_RANGE:
        return refusal(answer, code=code)
    payload = problem.get("payload")
    limits = Fields(VENDOR, payload["range"]) if isinstance(payload, dict) and isinstance(payload.get("range"), dict) else Fields(VENDOR, {})
    return refusal(answer, code=code, minimum=limits.number_or_none("minAmount"), maximum=limits.number_or_none("maxAmount"))

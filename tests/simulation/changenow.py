"""ChangeNOW in memory: fixed rates that run out, orders that are paid or not, coins that really move; it takes money twice if it is sent twice, and keeps that."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from typing import Any

import httpx

from PGP_COMMON.addresses import checksummed
from PGP_COMMON.http import dumps
from tests.simulation.chain import Chain
from tests.simulation.clock import Clock

ETHER, DOLLAR = 10**18, 10**6
USD = {"eth": Decimal(2500), "usdt": Decimal(1), "btc": Decimal(100_000)}
SPREAD_BPS = 40
# How long a rate holds, and between two steps of an order that was paid: seconds.
VALID_S, STEP_S = 1200, 30
ACCOUNT = "0x00000000000000000000000000000000000c4a01"
# What an order goes through once the deposit is final, by its fate.
FATES = {
    "finish": ("exchanging", "sending", "finished"),
    "refund": ("exchanging", "refunded"),
    "verify": ("verifying", "verifying", "verifying", "exchanging", "finished"),
    "odd": ("thinking", "exchanging", "finished"),
}


@dataclass
class Order:
    """One exchange at the vendor."""

    id: str
    body: dict[str, Any]
    status: str = "waiting"
    valid_until: datetime | None = None
    deposits: list[tuple[str, int]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    due: datetime | None = None
    amount_to: Decimal | None = None
    payout_hash: str | None = None
    refund_hash: str | None = None
    refund_amount: Decimal | None = None

    @property
    def units(self) -> int:
        """What it wants, in base units."""
        return int(Decimal(self.body["fromAmount"]).scaleb(_decimals(self.body["fromCurrency"])))


@dataclass
class ChangeNow:
    """The vendor's books."""

    chain: Chain
    clock: Clock
    dice: random.Random
    valid_s: int = VALID_S
    minimum_usd: Decimal = Decimal(2)
    orders: dict[str, Order] = field(default_factory=dict)
    # What becomes of the next orders that are paid, in turn; `finish` when the list is empty.
    fates: list[str] = field(default_factory=list)
    # What left the vendor for places outside this chain: address, coin, amount.
    paid_elsewhere: list[tuple[str, str, Decimal]] = field(default_factory=list)
    scanned: int = 0

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)

    # --- what we ask

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer as the vendor does."""
        what = f"{request.method} {request.url.path}"
        if what == "POST /exchange":
            return self._create(json.loads(request.content))
        if what == "GET /exchange/by-id":
            return self._look(request.url.params["id"])
        asked = dict(request.url.params)
        pair = {name: asked[name] for name in ("fromCurrency", "fromNetwork", "toCurrency", "toNetwork", "flow")}
        if what == "GET /exchange/range":
            return _answer({**pair, "minAmount": (self.minimum_usd / USD[asked["fromCurrency"]]).quantize(Decimal("1e-8")), "maxAmount": None})
        amount = Decimal(asked["fromAmount"])
        until = self.clock.after(self.valid_s).isoformat()
        rate = {"rateId": f"rate{next(self._numbers)}", "validUntil": until, "toAmount": _buys(asked, amount), "fromAmount": amount}
        return _answer({**pair, **rate, "depositFee": 0, "withdrawalFee": 0})

    def _create(self, asked: dict[str, Any]) -> httpx.Response:
        number = f"{self.dice.getrandbits(56):014x}"
        body = {name: asked[name] for name in ("fromCurrency", "fromNetwork", "toCurrency", "toNetwork", "fromAmount", "refundAddress")}
        body |= {
            "id": number,
            "toAmount": _buys(asked, Decimal(asked["fromAmount"])),
            "payinAddress": checksummed(f"0x{self.dice.getrandbits(160):040x}"),
            "payoutAddress": asked["address"],
        }
        self.orders[number] = Order(number, body, valid_until=self.clock.after(self.valid_s))
        return _answer(body)

    def _look(self, number: str) -> httpx.Response:
        order = self.orders.get(number)
        if order is None:
            return httpx.Response(404, json={"error": "not_found", "message": "Transaction not found"})
        received = sum(units for _, units in order.deposits)
        seen = {
            **order.body,
            "status": order.status,
            "expectedAmountFrom": order.body["fromAmount"],
            "expectedAmountTo": order.body["toAmount"],
            "amountFrom": Decimal(received).scaleb(-_decimals(order.body["fromCurrency"])) if received else None,
            "amountTo": order.amount_to,
            "payinHash": order.deposits[0][0] if order.deposits else None,
            "payoutHash": order.payout_hash,
            "refundHash": order.refund_hash,
            "refundAmount": order.refund_amount,
            "validUntil": order.valid_until.isoformat() if order.valid_until else None,
        }
        return _answer(seen)

    # --- time passes

    def tick(self) -> None:
        """See what was deposited in blocks that are final, and move orders on."""
        payins = {order.body["payinAddress"].lower(): order for order in self.orders.values()}
        for block in self.chain.blocks[self.scanned + 1 : self.chain.final + 1]:
            for mined in block.txs:
                to, units = (mined.moved[1], mined.moved[2]) if mined.moved else (mined.tx.to, mined.tx.value)
                is_coin = "usdt" if mined.moved else "eth"
                if mined.succeeded and units and to in payins and payins[to].body["fromCurrency"] == is_coin:
                    self._deposited(payins[to], mined.tx.tx_hash, units)
        self.scanned = self.chain.final
        for order in self.orders.values():
            self._move(order)

    def _deposited(self, order: Order, tx_hash: str, units: int) -> None:
        order.deposits.append((tx_hash, units))
        if order.status == "waiting" and units == order.units:
            order.left = list(FATES[self.fates.pop(0) if self.fates else "finish"])
            order.status, order.due = "confirming", self.clock.after(STEP_S)
        elif order.status in {"waiting", "expired"}:
            order.status = "failed"

    def _move(self, order: Order) -> None:
        if order.status == "waiting" and order.valid_until and order.valid_until < self.clock.now:
            order.status = "expired"
        if not order.left or order.due is None or order.due > self.clock.now:
            return
        order.status, order.due = order.left.pop(0), self.clock.after(STEP_S)
        if order.status == "finished":
            self._pay_out(order)
        elif order.status == "refunded":
            order.refund_amount = (Decimal(order.body["fromAmount"]) * Decimal("0.998")).quantize(Decimal("1e-6"), ROUND_DOWN)
            order.refund_hash = self._send(order.body["refundAddress"], order.body["fromCurrency"], order.refund_amount)

    def _pay_out(self, order: Order) -> None:
        body = order.body
        order.amount_to = Decimal(body["toAmount"])
        if body["toNetwork"] == "eth" and body["toCurrency"] in {"eth", "usdt"}:
            order.payout_hash = self._send(body["payoutAddress"], body["toCurrency"], order.amount_to)
            return
        order.payout_hash = f"{self.dice.getrandbits(256):064x}"
        self.paid_elsewhere.append((body["payoutAddress"], f"{body['toCurrency']}/{body['toNetwork']}", order.amount_to))

    def _send(self, address: str, coin: str, amount: Decimal) -> str:
        return self.chain.vendor_pays(ACCOUNT, address, int(amount.scaleb(_decimals(coin))), token=coin == "usdt")


def _decimals(coin: str) -> int:
    return {"eth": 18, "usdt": 6, "btc": 8}[coin]


def _buys(asked: dict[str, Any], amount: Decimal) -> Decimal:
    gross = amount * USD[asked["fromCurrency"]] / USD[asked["toCurrency"]]
    places = Decimal(1).scaleb(-min(8, _decimals(asked["toCurrency"])))
    return (gross * (10_000 - SPREAD_BPS) / 10_000).quantize(places, ROUND_DOWN)


def _answer(body: Any) -> httpx.Response:
    return httpx.Response(200, content=dumps(body).encode())

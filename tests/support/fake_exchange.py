"""An exchange, price sources and a chain behind the process edge: they answer from memory and misbehave on request."""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Any

import httpx

from PGP_COMMON.addresses import checksummed
from PGP_COMMON.clients.changenow import ChangeNow
from PGP_COMMON.clients.ethereum import Ethereum
from PGP_COMMON.clients.prices import Prices
from PGP_COMMON.http import Http

Change = Callable[[dict[str, Any]], None]


def an_address() -> str:
    """An Ethereum address that nobody has had before."""
    return checksummed("0x" + secrets.token_hex(20))


@dataclass
class FakeExchange:
    """ChangeNOW in memory. Faults are taken one a call, in order; a change of the answer is one as well.

    Not done: `down`, `unreached`, `throttled`, `locked` (our key is refused), `refused`. Done: `lost` (no answer), `broken` (500).
    """

    usd: dict[str, Decimal] = field(default_factory=lambda: {"ETH": Decimal(3500), "USDT": Decimal(1), "BTC": Decimal(100_000)})
    minimum_usd: Decimal = Decimal(2)
    maximum_usd: Decimal | None = None
    spread_bps: int = 40
    valid_s: int = 1200
    refusal: tuple[int, str] | None = None
    on_create: list[str | Change] = field(default_factory=list)
    on_look: list[str | Change] = field(default_factory=list)
    exchanges: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def client(self) -> ChangeNow:
        """The product's own client, over this exchange."""
        return ChangeNow(Http("changenow", "http://exchange", transport=httpx.MockTransport(self.answer)), api_key=lambda: "key")

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer as the vendor does."""
        what = f"{request.method} {request.url.path}"
        self.asked.append(what)
        if what == "POST /exchange":
            return self._create(json.loads(request.content, parse_float=Decimal))
        if what == "GET /exchange/by-id":
            return self._look(request.url.params["id"])
        asked = dict(request.url.params)
        if self.refusal is not None:
            return httpx.Response(self.refusal[0], json={"error": self.refusal[1], "message": "no"})
        price = self.usd[asked["fromCurrency"].upper()]
        pair = {name: asked[name] for name in ("fromCurrency", "fromNetwork", "toCurrency", "toNetwork", "flow")}
        if what == "GET /exchange/range":
            maximum = None if self.maximum_usd is None else str(self.maximum_usd / price)
            return httpx.Response(200, json={**pair, "minAmount": str(self.minimum_usd / price), "maxAmount": maximum})
        amount = Decimal(asked["fromAmount"])
        return httpx.Response(200, json={**pair, **self._price(asked, amount), "fromAmount": str(amount), "rateId": secrets.token_hex(8)})

    def _price(self, asked: dict[str, str], amount: Decimal) -> dict[str, Any]:
        gross = amount * self.usd[asked["fromCurrency"].upper()] / self.usd[asked["toCurrency"].upper()]
        places = Decimal(1).scaleb(-6 if asked["toCurrency"] == "usdt" else -8)
        net = (gross * (10_000 - self.spread_bps) / 10_000).quantize(places, ROUND_DOWN)
        until = datetime.now(UTC) + timedelta(seconds=self.valid_s)
        return {"toAmount": str(net), "validUntil": until.isoformat(), "depositFee": 0, "withdrawalFee": "0.1"}

    def _create(self, body: dict[str, Any]) -> httpx.Response:
        fault = self.on_create.pop(0) if self.on_create else ""
        if fault == "unreached":
            raise httpx.ConnectError("refused")
        if fault in ("down", "throttled", "locked"):
            return httpx.Response({"down": 503, "throttled": 429, "locked": 401}[fault])
        if fault == "refused":
            return httpx.Response(400, json={"error": "not_valid_params", "message": "Rate ID is not valid or has expired"})
        made = {
            "id": secrets.token_hex(7),
            "fromAmount": body["fromAmount"],
            "payinAddress": an_address(),
            "payoutAddress": body["address"],
            "refundAddress": body["refundAddress"],
            **{name: body[name] for name in ("fromCurrency", "fromNetwork", "toCurrency", "toNetwork")},
        }
        made["toAmount"] = self._price(body, Decimal(body["fromAmount"]))["toAmount"]
        self.exchanges[made["id"]] = dict(made)
        if fault == "lost":
            raise httpx.ReadTimeout("no answer")
        if fault == "broken":
            return httpx.Response(500)
        if callable(fault):
            fault(made)
        return httpx.Response(200, json=made)

    def _look(self, exchange_id: str) -> httpx.Response:
        fault = self.on_look.pop(0) if self.on_look else ""
        if fault == "down":
            return httpx.Response(503)
        made = self.exchanges.get(exchange_id)
        if made is None or fault == "unknown":
            return httpx.Response(404, json={"error": "not_found", "message": "Transaction not found"})
        seen = {**made, "status": "waiting", "expectedAmountFrom": made["fromAmount"], "expectedAmountTo": made["toAmount"]}
        if callable(fault):
            fault(seen)
        return httpx.Response(200, json=seen)

    @property
    def prices(self) -> Prices:
        """The product's price client, over one source that always agrees with the exchange; nothing is cached."""

        def answer(request: httpx.Request) -> httpx.Response:
            price = self.usd.get(request.url.params.get("fsym", ""))
            return httpx.Response(200, json={} if price is None else {"USD": str(price)})

        clock = itertools.count(0, 1000)
        source = Http("cryptocompare", "http://prices", transport=httpx.MockTransport(answer))
        nothing = Http("coingecko", "http://prices", transport=httpx.MockTransport(lambda _request: httpx.Response(200, json={})))
        return Prices(coingecko=nothing, cryptocompare=source, oneinch=nothing, now=lambda: float(next(clock)))


def a_chain(*, base_fee_wei: int = 1_000_000_000) -> Ethereum:
    """A chain of which only the fees are asked."""

    def answer(request: httpx.Request) -> httpx.Response:
        question = json.loads(request.content)
        assert question["method"] == "eth_feeHistory"
        history = {"baseFeePerGas": [hex(base_fee_wei)], "reward": [[hex(10_000_000)]]}
        return httpx.Response(200, json={"jsonrpc": "2.0", "id": question["id"], "result": history})

    return Ethereum(["http://chain"], chain_id=1, tokens={}, transport=httpx.MockTransport(answer))

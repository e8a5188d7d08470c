"""A price is what most sources agree on; without agreement there is none."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from PGP_COMMON.clients.prices import ONEINCH_NATIVE, PricedCoin, Prices, agreed
from PGP_COMMON.http import Http

ETHER = PricedCoin(coingecko_id="ethereum", symbol="eth", token=ONEINCH_NATIVE)
NOW = 1_711_356_300.0
Asked = list[str]


def prices(answers: dict[str, Any], asked: Asked | None = None, **more: Any) -> Prices:
    """Prices over sources that answer by host: a JSON body, a status, or an error to raise."""

    def handle(request: httpx.Request) -> httpx.Response:
        if asked is not None:
            asked.append(request.url.host)
        answer = answers[request.url.host]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer) if isinstance(answer, int) else httpx.Response(200, json=answer)

    def source(vendor: str) -> Http:
        return Http(vendor, f"https://{vendor}", transport=httpx.MockTransport(handle))

    return Prices(
        coingecko=source("gecko"),
        cryptocompare=source("compare"),
        oneinch=source("inch"),
        **{"oneinch_key": lambda: "key", "now": lambda: NOW, **more},
    )


def gecko(usd: Any, age_s: int = 10) -> Any:
    return {"ethereum": {"usd": usd, "last_updated_at": int(NOW) - age_s}}


def inch(usd: str) -> Any:
    return {ONEINCH_NATIVE: usd}


def test_the_middle_of_three_is_the_price():
    assert prices({"gecko": gecko(3000), "compare": {"USD": 3010}, "inch": inch("3020.5")}).usd(ETHER) == 3010


@pytest.mark.parametrize(
    "trouble",
    [500, 429, 401, 404, {}, [], {"USD": None}, {"USD": 0}, {"USD": -1}, {"USD": "NaN"}, {"Response": "Error", "Message": "limit"}, httpx.ReadTimeout("slow")],
)
def test_a_source_in_trouble_is_left_out(trouble: Any):
    assert prices({"gecko": gecko(3000), "compare": trouble, "inch": inch("3002")}).usd(ETHER) == 3001


def test_a_stale_price_is_left_out():
    assert prices({"gecko": gecko(9000, age_s=601), "compare": {"USD": 3000}, "inch": inch("3002")}).usd(ETHER) == 3001
    assert prices({"gecko": gecko(3000, age_s=600), "compare": 500, "inch": 500}).usd(ETHER) == 3000


def test_a_price_without_an_age_is_left_out_where_the_source_knows_it():
    assert prices({"gecko": {"ethereum": {"usd": 3000}}, "compare": 500, "inch": 500}).usd(ETHER) is None


def test_no_source_is_no_price_and_never_an_error():
    assert prices({"gecko": 500, "compare": httpx.ConnectError("x"), "inch": {ONEINCH_NATIVE: "0"}}).usd(ETHER) is None


def test_two_sources_that_contradict_each_other_are_no_price():
    assert prices({"gecko": gecko(3000), "compare": {"USD": 3300}, "inch": 500}).usd(ETHER) is None


def test_a_source_that_is_far_off_is_left_out():
    assert prices({"gecko": gecko(3000), "compare": {"USD": 6000}, "inch": inch("3010")}).usd(ETHER) == 3005


def test_a_source_without_its_key_or_its_name_for_the_coin_is_not_asked():
    asked: Asked = []
    assert prices({"compare": {"USD": 1}}, asked, oneinch_key=str).usd(PricedCoin(coingecko_id=None, symbol="usdt", token="0x1")) == 1
    assert asked == ["compare"]


def test_a_price_is_used_again_for_half_a_minute_and_the_lack_of_one_is_not():
    asked: Asked = []
    times = [NOW]
    source = prices({"gecko": 500, "compare": {"USD": 3000}, "inch": 500}, asked, now=lambda: times[0])
    for seconds, calls in ((0, 3), (29, 3), (30, 6)):
        times[0] = NOW + seconds
        assert source.usd(ETHER) == 3000
        assert len(asked) == calls
    nothing = prices({"gecko": 500, "compare": 500, "inch": 500}, asked)
    for calls in (9, 12):
        assert nothing.usd(ETHER) is None
        assert len(asked) == calls


def test_no_coin_is_taken_to_be_worth_a_dollar():
    tether = PricedCoin(coingecko_id="tether", symbol="usdt", token=None)
    assert prices({"gecko": {"tether": {"usd": 0.97, "last_updated_at": int(NOW)}}, "compare": {"USD": 0.98}}).usd(tether) == Decimal("0.975")


@pytest.mark.parametrize(
    ("found", "price"),
    [
        ([], None),
        (["100"], "100"),
        (["100", "104"], "102"),
        (["100", "106"], None),
        (["100", "101", "200"], "100.5"),
        (["1", "100", "101"], "100.5"),
        (["100", "120", "140"], None),
        (["100", "100", "300", "300"], None),
        (["97", "100", "103"], "100"),
    ],
)
def test_most_must_agree(found: list[str], price: str | None):
    assert agreed(map(Decimal, found)) == (None if price is None else Decimal(price))


@given(st.lists(st.decimals(min_value="0.000001", max_value=10**6, places=6), min_size=1, max_size=5))
def test_a_price_lies_between_its_sources_whatever_their_order(found: list[Decimal]):
    price = agreed(found)
    assert price == agreed(reversed(found))
    assert price is None or min(found) <= price <= max(found)

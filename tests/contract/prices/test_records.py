"""Every price source answers as the records say, and keeps its own price of a coin."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from deploy.simulators.market import COINS
from deploy.simulators.prices.app import Keys, build
from deploy.simulators.prices.names import NAMES
from tests.support.records import compare, read_records

RECORDS = read_records(Path(__file__).parent, "coingecko", "cryptocompare", "oneinch")
COINGECKO = "/coingecko/api/v3/simple/price?ids=ethereum&vs_currencies=usd&include_last_updated_at=true&precision=full"
CRYPTOCOMPARE = "/cryptocompare/data/price?fsym=ETH&tsyms=USD"
ONEINCH = "/oneinch/price/v1.1/1/0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee?currency=USD"
BEARER = {"Authorization": "Bearer right"}


@pytest.fixture
def sources(tmp_path: Path) -> FlaskClient:
    keys = Keys(coingecko="right", cryptocompare="right", oneinch="right")
    return build(tmp_path, keys=keys, tokens={"0x00000000000000000000000000000000000000AA": "usdterc20"}).test_client()


def set_price(sources: FlaskClient, **order: Any) -> None:
    answer = sources.post("/_control/prices", json=order)
    assert answer.status_code == 200, answer.text


def eth(sources: FlaskClient) -> list[Decimal]:
    """Ask all three for the price of one ETH."""
    answers = [json.loads(sources.get(path, headers=headers).data, parse_float=Decimal) for path, headers in ASKED]
    return [Decimal(answers[0]["ethereum"]["usd"]), Decimal(answers[1]["USD"]), Decimal(next(iter(answers[2].values())))]


ASKED: list[tuple[str, dict[str, str]]] = [(COINGECKO, {}), (CRYPTOCOMPARE, {}), (ONEINCH, BEARER)]


@pytest.mark.parametrize("record", RECORDS, ids=[f"{record['request']['path'].split('/')[1]}: {record['name']}" for record in RECORDS])
def test_the_answer_is_the_recorded_one(sources: FlaskClient, record: dict[str, Any]):
    for order in record.get("given", []):
        set_price(sources, **order)
    if "fault" in record:
        assert sources.post("/_control/faults", json=record["fault"]).status_code == 200
    request = record["request"]
    answer = sources.open(request["path"], method=request["method"], headers=request.get("headers"), json=request.get("body"))
    assert answer.status_code == record["answer"]["status"], answer.text
    compare(json.loads(answer.data, parse_float=Decimal), json.loads(json.dumps(record["answer"]["body"]), parse_float=Decimal))


def test_every_record_says_where_it_is_from():
    assert all(record["source"] for record in RECORDS)


def test_every_coin_of_the_market_has_its_names():
    assert {coin.code for coin in COINS} == set(NAMES)


def test_the_sources_agree_until_they_are_told_otherwise(sources: FlaskClient):
    assert eth(sources) == [Decimal(3500)] * 3
    set_price(sources, coin="eth", usd="3456.78")
    assert eth(sources) == [Decimal("3456.78")] * 3


def test_one_source_alone_can_be_wrong(sources: FlaskClient):
    set_price(sources, coin="eth", usd="9", source="cryptocompare")
    assert eth(sources) == [Decimal(3500), Decimal(9), Decimal(3500)]


def test_a_price_can_be_old(sources: FlaskClient):
    set_price(sources, coin="eth", usd="3456.78", age_s=900)
    said = sources.get(COINGECKO).get_json()["ethereum"]["last_updated_at"]
    assert 899 <= time.time() - int(said) <= 902


def test_tether_is_one_coin_on_every_network(sources: FlaskClient):
    set_price(sources, coin="usdttrc20", usd="0.5")
    assert sources.get("/cryptocompare/data/price?fsym=USDT&tsyms=USD").get_json() == {"USD": 0.5}


def test_the_books_say_how_often_each_price_was_asked_for(sources: FlaskClient):
    for _ in range(2):
        sources.get(CRYPTOCOMPARE)
    assert sources.get("/_control/books").get_json()["asked"] == [{"source": "cryptocompare", "asset": "ethereum", "times": 2}]


def test_a_fault_can_answer_anything_with_status_200(sources: FlaskClient):
    body = '{"ethereum":{"usd":null}}'
    sources.post("/_control/faults", json={"operation": "GET " + COINGECKO, "mode": "status", "value": {"status": 200, "body": body}})
    assert sources.get(COINGECKO).text == body


@pytest.mark.parametrize(
    "order",
    [{"coin": "nope", "usd": 1}, {"coin": "eth", "usd": "NaN"}, {"coin": "eth", "usd": "x"}, {"coin": "eth", "usd": 1, "source": "x"}, {}],
)
def test_an_order_that_makes_no_sense_is_refused(sources: FlaskClient, order: dict[str, Any]):
    assert sources.post("/_control/prices", json=order).status_code == 400


def test_prices_outlive_the_program(tmp_path: Path):
    set_price(build(tmp_path).test_client(), coin="eth", usd="1.23")
    assert eth(build(tmp_path).test_client()) == [Decimal("1.23")] * 3

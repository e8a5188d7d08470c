"""The simulator answers as the records say that the vendor answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.answer_shapes import differences, single_records

HERE = Path(__file__).parent
WALLET = "0x00d2f8d8d0cd3ad7cd3cf1f80e3cdd5d0c9b31de"
ETH_TO_USDT = {"fromCurrency": "eth", "fromNetwork": "eth", "toCurrency": "usdt", "toNetwork": "eth"}


@pytest.mark.parametrize("record", single_records(HERE))
def test_the_answer_has_the_recorded_status_keys_and_types(record, vendor):
    request = json.loads(json.dumps(record["request"], default=float))
    if "fill" in record:
        order = {**ETH_TO_USDT, "fromAmount": "0.01", "address": WALLET, "refundAddress": WALLET}
        request["query"]["id"] = vendor.http.post("/v2/exchange", json=order).json()["id"]
    answer = vendor.http.request(request["method"], request["path"], params=request.get("query"), headers=request.get("headers"), json=request.get("body"))
    assert answer.status_code == record["answer"]["status"], answer.text
    recorded, body = record["answer"]["body"], answer.json()
    assert differences(recorded, body, record.get("loose", {})) == []
    for key in record.get("same", ()):
        assert body[key] == (float(recorded[key]) if key in {"fromAmount", "directedAmount"} else recorded[key])


def estimate(vendor, amount="1", **more):
    return vendor.http.get("/v2/exchange/estimated-amount", params={**ETH_TO_USDT, "fromAmount": amount} | more)


def test_the_id_is_no_part_of_the_path(vendor):
    made = vendor.http.post("/v2/exchange", json={**ETH_TO_USDT, "fromAmount": "0.01", "address": WALLET}).json()
    assert vendor.http.get(f"/v2/exchange/by-id/{made['id']}").status_code == 404


def test_a_wrong_key_is_refused(vendor):
    answer = vendor.http.get("/v2/exchange/by-id", params={"id": "00000000"}, headers={"x-changenow-api-key": "another"})
    assert answer.status_code == 403
    assert answer.json()["error"] == "invalid_api_key"


def test_the_estimate_is_the_rate_less_spread_and_fee(vendor):
    answer = estimate(vendor).json()
    # 3500 less 0.4 % less 0.10.
    assert (answer["toAmount"], answer["withdrawalFee"]) == (3485.9, 0.1)


def test_the_cost_of_a_small_payout_stays_under_two_per_cent(vendor):
    answer = estimate(vendor, "50", fromCurrency="usdt", toCurrency="btc", toNetwork="btc").json()
    assert answer["toAmount"] * 100_000 > 49


def test_a_reverse_estimate_says_what_to_send(vendor):
    answer = vendor.http.get("/v2/exchange/estimated-amount", params={**ETH_TO_USDT, "toAmount": "3485.9", "type": "reverse"}).json()
    assert (answer["fromAmount"], answer["toAmount"], answer["type"]) == (1, 3485.9, "reverse")


def test_a_rate_can_be_set_and_the_pair_switched_off(vendor):
    pair = {"fromCurrency": "sol", "fromNetwork": "sol", "toCurrency": "ltc", "toNetwork": "ltc"}
    vendor.control("rates", **{"from": "sol:sol", "to": "ltc", "rate": "2.5"})
    assert estimate(vendor, "10", **pair).json()["toAmount"] == 24.899
    back = {"fromCurrency": "ltc", "fromNetwork": "ltc", "toCurrency": "sol", "toNetwork": "sol"}
    assert estimate(vendor, "25", **back).json()["toAmount"] == pytest.approx(9.959, abs=0.001)
    vendor.control("rates", **{"from": "sol", "to": "ltc", "rate": None})
    assert estimate(vendor, "10", **pair).json()["error"] == "pair_is_inactive"
    vendor.control("rates", **{"from": "sol", "to": "ltc", "rate": 1.6})


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"address": "0x1"}, "not_valid_address"),
        ({"address": "0xDAC17F958D2ee523a2206206994597C13D831ec7"}, "not_valid_address"),
        ({"refundAddress": "nowhere"}, "not_valid_refund_address"),
        ({"fromAmount": "0.0000001"}, "deposit_too_small"),
        ({"fromAmount": "-1"}, "not_valid_params"),
        ({"fromAmount": "NaN"}, "not_valid_params"),
        ({"fromAmount": ""}, "not_valid_params"),
        ({"toCurrency": "klingon"}, "pair_is_inactive"),
        ({"toCurrency": "eth"}, "pair_is_inactive"),
        ({"flow": "fast"}, "not_valid_params"),
        ({"flow": "fixed-rate", "rateId": "made-up"}, "not_valid_params"),
        ({"payload": {str(n): "x" for n in range(6)}}, "not_valid_params"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(vendor, change, error):
    answer = vendor.http.post("/v2/exchange", json={**ETH_TO_USDT, "fromAmount": "1", "address": WALLET} | change)
    assert answer.status_code == 400
    assert answer.json()["error"] == error


def test_a_rate_id_holds_its_price_for_its_amount_and_pair_only(vendor):
    held = estimate(vendor, "2", flow="fixed-rate", useRateId="true").json()
    order = {**ETH_TO_USDT, "fromAmount": "2", "address": WALLET, "flow": "fixed-rate", "rateId": held["rateId"]}
    vendor.control("rates", **{"from": "eth", "to": "usdterc20", "rate": "1000"})
    try:
        assert vendor.http.post("/v2/exchange", json=order).json()["toAmount"] == held["toAmount"]
        assert vendor.http.post("/v2/exchange", json=order | {"fromAmount": "3"}).status_code == 400
        assert vendor.http.post("/v2/exchange", json=order | {"toCurrency": "btc", "toNetwork": "btc"}).status_code == 400
    finally:
        vendor.control("rates", **{"from": "eth", "to": "usdterc20", "rate": "3500"})


def test_a_repeated_order_makes_a_second_exchange_with_another_address(vendor):
    order = {**ETH_TO_USDT, "fromAmount": "2", "address": WALLET, "userId": "u-1"}
    first, second = (vendor.http.post("/v2/exchange", json=order).json() for _ in range(2))
    assert first["id"] != second["id"]
    assert first["payinAddress"] != second["payinAddress"]
    assert vendor.http.get("/v2/exchange/by-id", params={"id": first["id"]}).json()["userId"] == "u-1"


def test_a_lost_answer_leaves_an_exchange_behind(vendor):
    before = len(vendor.book("exchanges"))
    vendor.fault("POST /v2/exchange", "lost_answer")
    with pytest.raises(Exception, match="disconnected"):
        vendor.http.post("/v2/exchange", json={**ETH_TO_USDT, "fromAmount": "2", "address": WALLET})
    assert len(vendor.book("exchanges")) == before + 1


@pytest.mark.parametrize(
    ("network", "address", "good"),
    [
        ("btc", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", True),
        ("btc", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0", True),
        ("btc", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5", False),
        ("btc", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", True),
        ("btc", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb", False),
        ("trx", "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", True),
        ("trx", "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6u", False),
        ("eth", "0xdac17f958d2ee523a2206206994597c13d831ec7", True),
        ("eth", "dac17f958d2ee523a2206206994597c13d831ec7", False),
        ("sol", "So11111111111111111111111111111111111111112", True),
        ("xrp", "rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh", True),
        ("xrp", "rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTi", False),
        ("doge", "D" * 34, False),
        ("ltc", "ü", False),
    ],
)
def test_an_address_is_checked_with_its_checksum(vendor, network, address, good):
    answer = vendor.http.get("/v2/validate/address", params={"currency": network, "address": address}).json()
    assert answer["result"] is good


@pytest.mark.parametrize("network", ["btc", "ltc", "doge", "trx", "xrp", "sol", "bsc", "eth"])
def test_a_pay_in_address_is_an_address_of_its_network(network):
    from deploy.simulators.changenow.addresses import is_address, payin_address

    assert is_address(network, payin_address(network, "seed", "c2036055d1f776"))

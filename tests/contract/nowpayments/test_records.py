"""The simulator answers as the records say that the vendor answers."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from tests.support.answer_shapes import differences, single_records
from tests.support.simulators import eventually

HERE = Path(__file__).parent


@pytest.mark.parametrize("record", single_records(HERE))
def test_the_answer_has_the_recorded_status_keys_and_types(record, vendor, invoice):
    request = fill(record["request"], record.get("fill", {}), vendor, invoice)
    answer = vendor.http.request(request["method"], request["path"], params=request.get("query"), headers=request.get("headers"), json=request.get("body"))
    assert answer.status_code == record["answer"]["status"], answer.text
    recorded, body = record["answer"]["body"], answer.json()
    assert differences(recorded, body, record.get("loose", {})) == []
    for key in record.get("same", ()):
        assert body[key] == (float(recorded[key]) if not isinstance(recorded[key], bool | int | str | None) else recorded[key])


def fill(request, wanted, vendor, invoice):
    """Put real ids and a real token where the record has examples."""
    text = json.dumps(request, default=float)
    if "payment_id" in wanted:
        text = text.replace(wanted["payment_id"], str(vendor.control(f"invoices/{invoice['id']}/pay")["payment_id"]))
    if "<token>" in text:
        login = {"email": "merchant@example.org", "password": "test-password"}
        text = text.replace("<token>", vendor.http.post("/v1/auth", json=login).json()["token"])
    return json.loads(text)


@pytest.mark.parametrize("capture", json.loads((HERE / "captures.json").read_text()), ids=lambda capture: capture["name"])
def test_a_callback_has_the_keys_and_types_of_the_captured_ones(capture, vendor, ear, invoice):
    vendor.control(f"invoices/{invoice['id']}/pay", statuses=["finished"])
    (body,) = ear.wait_for(1)
    loose = {"nullable": ["order_description"], "extra": ["updated_at"]}
    assert differences(json.loads(capture["body"]), body, loose) == []


def test_a_list_needs_the_token_as_well_as_the_key(vendor):
    assert vendor.http.get("/v1/payment/").status_code == 401
    assert vendor.http.get("/v1/payment/", headers={"Authorization": "Bearer no"}).status_code == 401


def test_a_wrong_password_gives_no_token(vendor):
    answer = vendor.http.post("/v1/auth", json={"email": "merchant@example.org", "password": "wrong"})
    assert answer.status_code == 403
    assert "token" not in answer.json()


@pytest.mark.parametrize(
    "change",
    [
        {"price_amount": "much"},
        {"price_amount": 0},
        {"price_amount": True},
        {"price_currency": "klingon"},
        {"price_currency": None},
        {"ipn_callback_url": "shop"},
    ],
)
def test_an_invoice_that_makes_no_sense_is_refused(vendor, change):
    answer = vendor.http.post("/v1/invoice", json={"price_amount": 1, "price_currency": "usd"} | change)
    assert answer.status_code == 400
    assert answer.json()["code"] == "BAD_REQUEST"


def test_a_repeated_request_makes_a_second_invoice(vendor, ear):
    body = {"price_amount": 35, "price_currency": "usd", "order_id": "same"}
    assert vendor.http.post("/v1/invoice", json=body).json()["id"] != vendor.http.post("/v1/invoice", json=body).json()["id"]


def test_the_list_filters_by_invoice_and_pages(vendor, ear, invoice):
    paid = [vendor.control(f"invoices/{invoice['id']}/pay", statuses=["finished"])["payment_id"] for _ in range(3)]
    token = vendor.http.post("/v1/auth", json={"email": "merchant@example.org", "password": "test-password"}).json()["token"]

    def page(**query):
        query = {"invoiceId": invoice["id"], "orderBy": "asc"} | query
        return vendor.http.get("/v1/payment/", params=query, headers={"Authorization": f"Bearer {token}"}).json()

    assert sorted(row["payment_id"] for row in page()["data"]) == sorted(paid)
    assert (page(limit=2)["pagesCount"], page(limit=2)["total"]) == (2, 3)
    assert len(page(limit=2, page=1)["data"]) == 1
    assert page(dateTo="2020-01-01")["data"] == []
    assert len(page(dateFrom="2020-01-01", dateTo="2099-01-01")["data"]) == 3
    # The same moment in another zone is the same moment.
    hour_ago = datetime.now(timezone(timedelta(hours=5))) - timedelta(hours=1)
    assert len(page(dateFrom=hour_ago.isoformat())["data"]) == 3
    assert page(dateFrom=(hour_ago + timedelta(hours=2)).isoformat())["data"] == []
    assert page(dateFrom="yesterday")["code"] == "BAD_REQUEST"


def test_the_page_lets_the_payer_choose_a_coin_and_sends_him_back_with_the_payments_id(vendor, ear):
    invoice = vendor.http.post(
        "/v1/invoice",
        json={"price_amount": 35, "price_currency": "usd", "ipn_callback_url": ear.url, "success_url": "https://shop.example/done?a=b"},
    ).json()
    sheet = vendor.http.get(invoice["invoice_url"])
    assert "<form" in sheet.text
    assert 'value="btc"' in sheet.text
    answer = vendor.http.post(invoice["invoice_url"], data={"pay_currency": "btc", "actually_paid": ""})
    assert answer.status_code == 303
    where, _, payment_id = answer.headers["location"].rpartition("NP_id=")
    assert where == "https://shop.example/done?a=b&"
    assert vendor.http.get(f"/v1/payment/{payment_id}").json()["pay_currency"] == "btc"
    assert eventually(lambda: [body["payment_status"] for body in ear.bodies()][-1:] == ["finished"])


def test_nobody_pays_an_invoice_that_is_not_there(vendor):
    assert vendor.http.get("/payment/?iid=1").status_code == 404
    assert vendor.http.post("/_control/invoices/1/pay", json={}).status_code == 404

"""A payment lives at the simulator as it does at the vendor, and every step of it is called back."""

from __future__ import annotations

import hashlib
import hmac
import time
from decimal import Decimal

import pytest

from tests.contract.nowpayments.conftest import SECRET, make_invoice, nowpayments
from tests.support.simulators import eventually


def test_paying_in_full_goes_through_every_status_with_one_signed_callback_each(vendor, ear, invoice):
    paid = vendor.control(f"invoices/{invoice['id']}/pay")
    bodies = ear.wait_for(5)
    assert [body["payment_status"] for body in bodies] == ["waiting", "confirming", "confirmed", "sending", "finished"]
    for headers, raw in ear.heard:
        assert headers["x-nowpayments-sig"] == hmac.new(SECRET.encode(), raw, hashlib.sha512).hexdigest()
    last = bodies[-1]
    assert (last["payment_id"], last["invoice_id"], last["order_id"]) == (paid["payment_id"], int(invoice["id"]), "PGP-1|-2|a")
    assert (bodies[0]["actually_paid"], last["actually_paid"], last["pay_amount"]) == (0, 0.01, 0.01)
    # 35 USD less half a per cent, at 3500 USD.
    assert (last["outcome_amount"], last["fee"]["serviceFee"]) == (0.00995, 0.00005)
    assert vendor.http.get(f"/v1/payment/{paid['payment_id']}").json()["payment_status"] == "finished"


def test_the_price_of_a_coin_can_be_set(vendor, ear, invoice):
    vendor.control("rates", coin="ltc", usd="70")
    assert vendor.control(f"invoices/{invoice['id']}/pay", pay_currency="ltc")["pay_amount"] == 0.5
    vendor.control("rates", coin="ltc", usd=None)
    assert vendor.http.post(f"/_control/invoices/{invoice['id']}/pay", json={"pay_currency": "ltc"}).status_code == 400


def test_paying_less_ends_partially_paid_with_the_outcome_in_proportion(vendor, ear, invoice):
    paid = vendor.control(f"invoices/{invoice['id']}/pay", actually_paid="0.004")
    assert paid["payment_status"] == "partially_paid"
    assert paid["outcome_amount"] == 0.00398


def test_a_partly_paid_payment_can_be_finished_by_hand_with_its_amounts(vendor, ear, invoice):
    paid = vendor.control(f"invoices/{invoice['id']}/pay", actually_paid="0.004")
    done = vendor.control(f"payments/{paid['payment_id']}/pay", statuses=["finished"])
    assert (done["payment_status"], done["actually_paid"], done["outcome_amount"]) == ("finished", 0.004, 0.00398)


def test_a_second_deposit_becomes_a_child_without_invoice(vendor, ear, invoice):
    first = vendor.control(f"invoices/{invoice['id']}/pay", statuses=["finished"])["payment_id"]
    child = vendor.control(f"payments/{first}/deposit", actually_paid="0.002", statuses=["finished"])
    again = vendor.control(f"payments/{child['payment_id']}/deposit", actually_paid="5", pay_currency="usdtbsc", statuses=["finished"])
    for one in (child, again):
        assert (one["parent_payment_id"], one["invoice_id"], one["origin_type"]) == (first, None, "REPEATED")
    bodies = {body["payment_id"]: body for body in ear.wait_for(3)}
    assert bodies[child["payment_id"]]["order_id"] == "PGP-1|-2|a"
    assert bodies[again["payment_id"]]["parent_payment_id"] == first
    assert bodies[again["payment_id"]]["pay_currency"] == "usdtbsc"
    assert vendor.http.get(f"/v1/payment/{first}").json()["payment_extra_ids"] == [child["payment_id"], again["payment_id"]]


def test_a_payment_made_through_the_api_waits_until_it_is_paid(vendor, ear):
    body = {"price_amount": 35, "price_currency": "usd", "pay_currency": "eth", "ipn_callback_url": ear.url, "order_id": "x"}
    made = vendor.http.post("/v1/payment", json=body).json()
    assert [heard["payment_status"] for heard in ear.wait_for(1)] == ["waiting"]
    vendor.control(f"payments/{made['payment_id']}/pay")
    assert ear.wait_for(5)[-1]["payment_status"] == "finished"


def test_statuses_can_take_their_time(vendor, ear, invoice):
    paid = vendor.control(f"invoices/{invoice['id']}/pay", pace_s=0.3)
    assert paid["payment_status"] == "waiting"
    eventually(lambda: vendor.http.get(f"/v1/payment/{paid['payment_id']}").json()["payment_status"] == "finished")
    assert len(ear.wait_for(5)) == 5


def test_a_callback_that_is_not_taken_is_repeated_and_then_given_up(vendor, ear, invoice):
    ear.answers = [500, 404, 503, 503]
    vendor.control(f"invoices/{invoice['id']}/pay", statuses=["finished"])
    eventually(lambda: vendor.book("ipns")[-1]["state"] == "given up")
    assert [attempt["answer"] for attempt in vendor.book("ipns")[-1]["answers"]] == [500, 404, 503]
    time.sleep(0.4)
    assert len(ear.heard) == 3


def test_a_callback_can_be_asked_for_again(vendor, ear, invoice):
    paid = vendor.control(f"invoices/{invoice['id']}/pay", statuses=["finished"])["payment_id"]
    vendor.control(f"payments/{paid}/resend")
    first, second = ear.wait_for(2)
    assert first == second


def test_any_body_can_be_signed_and_sent(vendor, ear):
    vendor.control("ipns", url=ear.url, body={"payment_id": 1, "amount": 0.0000001, "b": {"z": 1, "a": None}, "a": [1, 2]})
    ear.wait_for(1)
    assert ear.heard[0][1] == b'{"a":{"0":1,"1":2},"amount":1e-7,"b":{"a":null,"z":1},"payment_id":1}'


def test_a_body_can_be_bent(vendor, ear, invoice):
    vendor.control(f"invoices/{invoice['id']}/pay", statuses=["finished"], ipn_overrides={"actually_paid": "0.01", "price_amount": 1})
    (body,) = ear.wait_for(1)
    assert (body["actually_paid"], body["price_amount"]) == ("0.01", 1)


def test_callbacks_can_come_in_reverse(vendor, ear, invoice):
    vendor.fault("ipn", "reorder", 0.1, times=5)
    vendor.control(f"invoices/{invoice['id']}/pay")
    statuses = [body["payment_status"] for body in ear.wait_for(5)]
    assert statuses == ["finished", "sending", "confirmed", "confirming", "waiting"]


def test_a_callback_can_come_many_times_at_once(vendor, ear, invoice):
    vendor.fault("ipn", "duplicate", 10)
    vendor.control(f"invoices/{invoice['id']}/pay", statuses=["finished"])
    assert len({body for _, body in ear.heard}) == 1 if ear.wait_for(10) else False


def test_a_callback_whose_answer_is_lost_comes_again(vendor, ear, invoice):
    vendor.fault("ipn", "lost_answer")
    vendor.control(f"invoices/{invoice['id']}/pay", statuses=["finished"])
    assert len(ear.wait_for(2)) == 2


def test_a_callback_can_stay_away_for_good(vendor, ear, invoice):
    vendor.fault("ipn", "timeout", times=3)
    vendor.control(f"invoices/{invoice['id']}/pay", statuses=["finished"])
    eventually(lambda: vendor.book("ipns")[-1]["state"] == "given up")
    assert ear.heard == []


@pytest.mark.parametrize("bad", [{"actually_paid": "much"}, {"outcome_amount": "NaN"}, {"outcome_amount": "0.0000000000000000001"}])
def test_an_order_to_pay_that_makes_no_sense_is_refused(vendor, invoice, bad):
    assert vendor.http.post(f"/_control/invoices/{invoice['id']}/pay", json=bad).status_code == 400


def test_without_a_secret_no_callback_is_sent(tmp_path, ear):
    with nowpayments(tmp_path, "--ipn-secret", "") as vendor:
        vendor.control(f"invoices/{make_invoice(vendor, ear)['id']}/pay")
        time.sleep(0.5)
        assert (ear.heard, vendor.book("ipns")) == ([], [])


def test_a_waiting_payment_expires(tmp_path, ear):
    with nowpayments(tmp_path, "--expiry-s", "0.3") as vendor:
        vendor.control(f"invoices/{make_invoice(vendor, ear)['id']}/pay", statuses=["waiting"])
        assert [body["payment_status"] for body in ear.wait_for(2)] == ["waiting", "expired"]


def test_what_was_due_when_it_was_killed_is_delivered_afterwards(tmp_path, ear):
    ear.answers = [500]
    with nowpayments(tmp_path) as vendor:
        invoice = make_invoice(vendor, ear)
        paid = vendor.control(f"invoices/{invoice['id']}/pay", statuses=["finished"])["payment_id"]
        ear.wait_for(1)
        vendor.kill()
    with nowpayments(tmp_path) as vendor:
        assert {body["payment_id"] for body in ear.wait_for(2)} == {paid}
        assert vendor.http.get(f"/v1/payment/{paid}").json()["payment_status"] == "finished"


@pytest.fixture
def paying_flags(chain):
    """What makes the vendor pay out on the chain: a funded hot wallet, and the merchant's fresh wallet."""
    wallet, merchant = chain.account(10**20), chain.account().address
    return merchant, ("--rpc-url", chain.url, "--from-key", "0x" + bytes(wallet.key).hex(), "--payout-address", merchant)


def test_the_outcome_is_really_paid_to_the_wei(chain, tmp_path, ear, paying_flags):
    merchant, flags = paying_flags
    with nowpayments(tmp_path, *flags) as vendor:
        paid = vendor.control(f"invoices/{make_invoice(vendor, ear)['id']}/pay", outcome_amount="0.0123456789")["payment_id"]
        eventually(lambda: chain.node.balance(merchant) == int(Decimal("0.0123456789") * 10**18))
        tx_hash = eventually(lambda: vendor.http.get(f"/v1/payment/{paid}").json()["payout_hash"])
        assert chain.node.receipt(tx_hash)["to"] == merchant.lower()


def test_a_payment_without_payout_has_no_hash(chain, tmp_path, ear, paying_flags):
    merchant, flags = paying_flags
    with nowpayments(tmp_path, *flags) as vendor:
        paid = vendor.control(f"invoices/{make_invoice(vendor, ear)['id']}/pay", payout=False)["payment_id"]
        time.sleep(0.5)
        assert vendor.http.get(f"/v1/payment/{paid}").json()["payout_hash"] is None
        assert chain.node.balance(merchant) == 0


def test_kills_in_the_middle_of_payouts_neither_lose_nor_double_one(chain, tmp_path, ear, paying_flags):
    merchant, flags = paying_flags
    for _ in range(4):
        with nowpayments(tmp_path, *flags) as vendor:
            invoice = make_invoice(vendor, ear)
            for _ in range(5):
                vendor.control(f"invoices/{invoice['id']}/pay", statuses=["finished"], outcome_amount="0.001")
            vendor.kill()
    with nowpayments(tmp_path, *flags) as vendor:
        eventually(lambda: all(row["payout_hash"] for row in vendor.book("payments")))
        eventually(lambda: chain.node.balance(merchant) == 20 * 10**15)
        time.sleep(0.5)
        assert chain.node.balance(merchant) == 20 * 10**15
        assert len(vendor.book("payouts")) == 20

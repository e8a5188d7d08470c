"""The webhook's door, the payment page, and the way back from the vendor."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest

from PGP_COMMON.database import BaseDatabaseManager
from PGP_COMMON.errors import Misconfigured
from PGP_COMMON.money_machines import access
from PGP_COMMON.tokens import BaseTokenManager
from PGP_COMMON.web import create_app
from PGP_NP_IPN_v1 import fence
from PGP_ORCHESTRATOR_v1 import finding
from tests.support.sales import Order, Shop
from tests.support.signing import ring


@pytest.fixture
def shop(database_url: str, settings: dict[str, str]) -> Iterator[Shop]:
    """A shop of its own."""
    made = Shop(database_url, settings)
    yield made
    made.close()


# --- the door


def test_a_signed_notice_is_kept_with_its_work_in_one_statement(shop: Shop) -> None:
    payment = shop.order().payment()
    before = BaseDatabaseManager.statements
    assert shop.notify(payment).status_code == 200
    assert BaseDatabaseManager.statements == before + 1
    ((kind, times),) = shop.rows("SELECT kind, times_seen FROM inbox")
    assert (kind, times) == ("ipn", 1)
    assert shop.sent("payment.settle") == [shop.value("SELECT encode(body_sha256, 'hex') FROM inbox")]
    assert shop.value("SELECT correlation ~ '^[0-9a-f]{16}$' FROM work")


@pytest.mark.parametrize("secret", ["", "wrong", " "])
def test_a_notice_with_a_bad_signature_is_refused_and_leaves_nothing_but_a_count(shop: Shop, secret: str) -> None:
    before = fence.refusals.count
    answer = shop.notify(shop.order().payment("finished"), secret=secret)
    assert (answer.status_code, answer.mimetype) == (401, "application/problem+json")
    assert fence.refusals.count == before + 1
    assert shop.value("SELECT (SELECT count(*) FROM inbox) + (SELECT count(*) FROM work) + (SELECT count(*) FROM failed_transactions)") == 0


def test_both_secrets_are_good_while_one_replaces_the_other(database_url: str, settings: dict[str, str]) -> None:
    made = Shop(database_url, settings | {"NOWPAYMENTS_IPN_SECRET": "old-secret, new-secret"})
    assert [made.notify(b'{"a":1}', secret=secret).status_code for secret in ("old-secret", "new-secret", "old-secret, new-secret")] == [200, 200, 401]
    made.close()


def test_the_public_path_is_the_same_door(shop: Shop) -> None:
    raw = b'{"payment_id":1}'
    signature = hmac.new(shop.settings["NOWPAYMENTS_IPN_SECRET"].encode(), raw, hashlib.sha512).hexdigest()
    answer = shop.ipn.test_client().post("/webhooks/nowpayments-ipn", data=raw, headers={"X-NOWPAYMENTS-SIG": signature.upper()})
    assert answer.status_code == 200
    assert shop.value("SELECT count(*) FROM inbox") == 1


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "text/plain", "", "application/x-www-form-urlencoded"])
def test_what_is_signed_is_kept_whatever_its_type_says(shop: Shop, content_type: str) -> None:
    raw = b'{"payment_id":1}'
    signature = hmac.new(shop.settings["NOWPAYMENTS_IPN_SECRET"].encode(), raw, hashlib.sha512).hexdigest()
    answer = shop.ipn.test_client().post("/", data=raw, headers={"x-nowpayments-sig": signature, "Content-Type": content_type})
    assert (answer.status_code, shop.value("SELECT count(*) FROM inbox")) == (200, 1)


def test_a_body_beyond_the_limit_is_refused_unread_and_one_at_the_limit_is_kept(shop: Shop) -> None:
    assert shop.notify(b'"' + b"x" * (64 * 1024 - 1) + b'"').status_code == 413
    assert shop.notify(b'"' + b"x" * (64 * 1024 - 2) + b'"').status_code == 200


def test_a_signed_notice_without_a_word_is_parked(shop: Shop) -> None:
    assert shop.notify(b"").status_code == 200
    assert [reason for _, reason in shop.letters()] == ["bad_input"]


def test_only_known_addresses_may_call_when_that_fence_is_up(database_url: str, settings: dict[str, str]) -> None:
    made = Shop(database_url, settings | {"ALLOWED_IPS": "51.89.194.21/32, 10.0.0.0/8, 2001:db8::/32", "TRUSTED_PROXY_HOPS": "1"})
    raw = b'{"payment_id":1}'
    signature = hmac.new(settings["NOWPAYMENTS_IPN_SECRET"].encode(), raw, hashlib.sha512).hexdigest()

    def call(forwarded: str) -> int:
        headers = {"x-nowpayments-sig": signature, "X-Forwarded-For": forwarded}
        return made.ipn.test_client().post("/", data=raw, headers=headers).status_code

    assert [call("51.89.194.21"), call("1.1.1.1, 10.2.3.4"), call("2001:db8::1")] == [200] * 3
    assert [call("51.89.194.22"), call("10.2.3.4, 1.1.1.1"), call("nonsense")] == [403] * 3
    made.close()


def test_ranges_that_cannot_be_read_stop_the_service_from_starting(settings: dict[str, str]) -> None:
    with pytest.raises(Misconfigured, match="ALLOWED_IPS"):
        create_app("pgp-np-ipn-v1", settings | {"ALLOWED_IPS": "51.89.194.21/33"})


def test_a_database_that_is_away_makes_the_vendor_send_again(shop: Shop, settings: dict[str, str]) -> None:
    away = create_app("pgp-np-ipn-v1", settings | {"DATABASE_URL": "postgresql+pg8000://a:b@127.0.0.1:9/c"})
    raw = b'{"payment_id":1}'
    signature = hmac.new(settings["NOWPAYMENTS_IPN_SECRET"].encode(), raw, hashlib.sha512).hexdigest()
    answer = away.test_client().post("/", data=raw, headers={"x-nowpayments-sig": signature})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]


def test_a_connection_that_was_cut_costs_no_notice(shop: Shop) -> None:
    payment = shop.order().payment()
    assert shop.notify(payment).status_code == 200
    shop.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgp-np-ipn-v1'")
    assert shop.notify(payment | {"payment_status": "confirming"}).status_code == 200
    assert shop.value("SELECT count(*) FROM inbox") == 2


# --- the page and what it asks


def status(shop: Shop, order: Order) -> dict[str, str | None]:
    """What the page is told."""
    answer = shop.ipn.test_client().get(f"/api/payment-status/{order.view_token}")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    return dict(answer.get_json())


def test_the_page_follows_a_payment_to_its_end(shop: Shop) -> None:
    order = shop.order()
    payment = order.payment()
    seen = [status(shop, order)["state"]]
    for step in ("waiting", "confirming", "confirmed", "finished"):
        shop.pay(payment, step)
        seen.append(status(shop, order)["state"])
    assert seen == ["waiting", "waiting", "seen", "confirming", "paid"]
    assert status(shop, order)["link"] is None


def test_a_part_payment_shows_the_link_for_the_rest(shop: Shop) -> None:
    order = shop.order()
    payment = order.payment()
    shop.pay(payment | {"actually_paid": payment["pay_amount"] / 2, "outcome_amount": payment["outcome_amount"] / 2}, "partially_paid")
    assert status(shop, order) == {"state": "part_paid", "link": None}
    rest = shop.rest_of(order)
    assert status(shop, order) == {"state": "part_paid", "link": f"https://pay.test/?iid={rest.invoice}"}
    shop.pay(rest.payment(), "confirming")
    assert status(shop, order) == {"state": "seen", "link": None}


def test_a_blocked_invite_is_shown_to_whoever_holds_the_view_token(shop: Shop) -> None:
    order = shop.order()
    shop.pay(order.payment(), "finished")
    with shop.db.transaction() as tx:
        (invite_id,) = shop.sent("invite.send")
        assert access.mark_linked(tx, int(invite_id), link="https://t.me/+abc", lifetime_s=None)
        assert access.mark_blocked(tx, int(invite_id))
    assert status(shop, order) == {"state": "paid", "link": "https://t.me/+abc"}


@pytest.mark.parametrize("state", ["expired", "cancelled"])
def test_an_order_that_is_over_says_so(shop: Shop, state: str) -> None:
    order = shop.order()
    with shop.db.reading() as tx:
        tx.run("UPDATE orders SET state = :state WHERE id = :id", state=state, id=order.id)
    assert status(shop, order) == {"state": "expired", "link": None}


@pytest.mark.parametrize("token", ["x" * 22, "x" * 21, "x" * 65, "%00" * 22, "' OR 1=1 --".ljust(22, "x"), "PGP-1"])
def test_a_token_that_nobody_was_given_shows_nothing(shop: Shop, token: str) -> None:
    shop.order()
    answer = shop.ipn.test_client().get(f"/api/payment-status/{token}")
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


def test_too_many_looks_from_one_address_have_to_wait(database_url: str, settings: dict[str, str]) -> None:
    made = Shop(database_url, settings | {"STATUS_PER_MINUTE": "3"})
    order = made.order()
    client = made.ipn.test_client()
    answers = [client.get(f"/api/payment-status/{order.view_token}") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 3 + [429] * 2
    assert answers[-1].headers["Retry-After"]
    made.close()


def test_the_page_is_one_file_that_asks_nobody_else(shop: Shop) -> None:
    answer = shop.ipn.test_client().get("/payment-processing?order=<script>alert(1)</script>")
    page = answer.get_data(as_text=True)
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    assert "alert(1)" not in page
    assert "src=" not in page
    assert "https://t.me/paygate_test_bot" in page
    assert page.count("http") == page.count("https://t.me") + page.count("https?:")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Frame-Options"] == "DENY"


# --- the way back from the vendor


def success_link(shop: Shop, order: Order, *, lifetime_s: int = 60, purpose: str = "success") -> str:
    """The token that the vendor sends the buyer's browser back with."""
    return BaseTokenManager(lambda: shop.settings["SUCCESS_URL_SIGNING_KEY"]).seal(purpose, order.unique_id, lifetime_s=lifetime_s)


@pytest.mark.parametrize("path", ["/", "/webhooks/success"])
def test_the_way_back_leads_to_the_page_and_changes_nothing(shop: Shop, path: str) -> None:
    order = shop.order()
    before = BaseDatabaseManager.statements
    answer = shop.orchestrator.test_client().get(path, query_string={"t": success_link(shop, order), "NP_id": "5745459419", "next": "https://evil.test"})
    assert answer.status_code == 303
    target = urlsplit(answer.headers["Location"])
    assert (target.netloc, target.path) == ("pgp-np-ipn-v1.test", "/payment-processing")
    assert parse_qs(target.query) == {"order": [order.view_token]}
    assert BaseDatabaseManager.statements == before + 1
    assert order.state == "invoiced"


def test_the_way_back_leads_through_the_edge_where_there_is_one(database_url: str, settings: dict[str, str]) -> None:
    made = Shop(database_url, settings | {"BASE_URL": "https://pay.example.test/"})
    answer = made.orchestrator.test_client().get("/webhooks/success", query_string={"t": success_link(made, made.order())})
    assert answer.headers["Location"].startswith("https://pay.example.test/payment-processing?order=")
    made.close()


def test_a_way_back_that_is_forged_old_or_somebody_elses_is_refused(shop: Shop) -> None:
    order = shop.order()
    good = success_link(shop, order)
    stranger = replace(order, unique_id="0" * 26)
    bad = ["", "x", good[:-1], good + "A", good.replace(".", "", 1), success_link(shop, order, lifetime_s=-1), success_link(shop, order, purpose="mail")]
    for token in bad:
        assert shop.orchestrator.test_client().get("/", query_string={"t": token}).status_code == 422
    assert shop.orchestrator.test_client().get("/", query_string={"t": success_link(shop, stranger)}).status_code == 404
    assert shop.orchestrator.test_client().get("/").status_code == 422


# --- what notices missed


def reconcile(shop: Shop, at: str = "2026-03-01T09:30:00Z") -> None:
    """Run the comparison with the vendor as the scheduler does."""
    assert ring(shop.orchestrator, "/reconcile", "payments-reconcile", at).status_code == 200
    shop.settle()


def test_a_payment_whose_last_notice_was_lost_is_found_by_asking(shop: Shop) -> None:
    order = shop.order()
    payment = order.payment()
    shop.pay(payment, "waiting")
    shop.vendor.payments[str(payment["payment_id"])] = payment | {"payment_status": "finished"}
    reconcile(shop)
    assert order.state == "paid"
    assert shop.rows("SELECT kind FROM inbox ORDER BY id") == [("ipn",), ("found",)]
    assert shop.rows("SELECT compared, jsonb_array_length(breaks) FROM reconciliation WHERE job = 'payments'") == [(1, 1)]
    reconcile(shop, "2026-03-01T09:40:00Z")
    assert shop.rows("SELECT compared, jsonb_array_length(breaks) FROM reconciliation WHERE job = 'payments' ORDER BY id") == [(1, 1), (0, 0)]


def test_a_payment_that_no_notice_told_of_is_found_in_the_vendors_list(shop: Shop) -> None:
    first, second, third = (shop.order(buyer_id=number) for number in (1, 2, 3))
    missed, known, waiting = first.payment("finished"), second.payment("finished"), third.payment("waiting")
    shop.pay(known, "finished")
    for payment in (missed, known, waiting):
        number = str(payment["payment_id"])
        shop.vendor.payments[number] = payment
        shop.vendor.listed.append(number)
    reconcile(shop)
    assert (first.state, third.state) == ("paid", "invoiced")
    assert shop.rows("SELECT compared, jsonb_array_length(breaks) FROM reconciliation WHERE job = 'payments'") == [(3, 1)]


def test_the_same_find_is_the_same_work(shop: Shop) -> None:
    payment = shop.order().payment("finished", order_id="somebody else's shop")
    shop.vendor.payments[str(payment["payment_id"])] = payment
    shop.vendor.listed.append(str(payment["payment_id"]))
    reconcile(shop)
    reconcile(shop, "2026-03-01T09:40:00Z")
    assert shop.rows("SELECT kind, times_seen FROM inbox") == [("found", 2)]
    assert shop.letters() == [("payment.settle", "unknown_order")]


def test_without_the_accounts_password_only_known_payments_are_asked_for(database_url: str, settings: dict[str, str]) -> None:
    made = Shop(database_url, settings | {"NOWPAYMENTS_EMAIL": "", "NOWPAYMENTS_PASSWORD": ""})
    made.pay(made.order().payment(), "waiting")
    made.vendor.asked.clear()
    reconcile(made)
    assert len(made.vendor.asked) == 1
    made.close()


def test_a_wrong_password_keeps_nobody_off_the_vendor(shop: Shop) -> None:
    order = shop.order()
    payment = order.payment()
    shop.pay(payment, "waiting")
    shop.vendor.payments[str(payment["payment_id"])] = payment | {"payment_status": "finished"}
    shop.vendor.password_is_good = False
    reconcile(shop)
    assert order.state == "paid"
    assert shop.value("SELECT count(*) FROM vendor_pause") == 0


def test_amounts_come_through_a_find_to_the_last_digit(shop: Shop) -> None:
    order = shop.order()
    payment = order.payment("finished", outcome_amount=Decimal("0.007920000000000001"))
    shop.vendor.payments[str(payment["payment_id"])] = payment
    shop.vendor.listed.append(str(payment["payment_id"]))
    reconcile(shop)
    assert shop.balance("np_transit") == 7920000000000001


def read_list(shop: Shop, at: str = "2026-03-01T03:53:00Z") -> None:
    """Run the daily comparison with the vendor's whole list."""
    assert ring(shop.orchestrator, "/list-payments", "payments-list", at).status_code == 200
    for _ in range(10):
        shop.settle(within_s=5)


def test_the_whole_list_is_read_page_by_page_and_gone_on_with_where_it_stopped(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = [shop.order(buyer_id=number) for number in range(1, 6)]
    for order in orders:
        payment = order.payment("finished")
        shop.vendor.payments[str(payment["payment_id"])] = payment
        shop.vendor.listed.append(str(payment["payment_id"]))
    shop.vendor.page_size = 2
    monkeypatch.setattr(finding, "RUN_S", 0.0)
    read_list(shop)
    assert {order.state for order in orders} == {"paid"}
    runs = shop.rows("SELECT compared, jsonb_array_length(breaks), seen FROM reconciliation WHERE job = 'payments-list' ORDER BY id")
    assert runs == [(2, 2, {"next_page": 1}), (4, 4, {"next_page": 2}), (5, 5, {})]
    read_list(shop, "2026-03-02T03:53:00Z")
    assert shop.rows("SELECT compared, breaks FROM reconciliation WHERE job = 'payments-list' ORDER BY id DESC LIMIT 1") == [(5, [])]


def test_a_larger_outcome_that_no_notice_told_of_is_found_in_the_list(shop: Shop) -> None:
    payment = shop.order().payment()
    shop.pay(payment, "finished")
    before = shop.balance("np_transit")
    shop.vendor.payments[str(payment["payment_id"])] |= {"outcome_amount": payment["outcome_amount"] * 2}
    shop.vendor.listed.append(str(payment["payment_id"]))
    read_list(shop)
    assert shop.balance("np_transit") == 2 * before


def test_a_top_up_that_no_notice_told_of_is_found_by_asking_until_the_vendor_calls_it_finished(shop: Shop) -> None:
    payment = shop.order().payment(actually_paid=Decimal("0.004"), outcome_amount=Decimal("0.00396"))
    shop.pay(payment, "partially_paid")
    before = shop.balance("np_transit")
    reconcile(shop)
    # What says nothing new changes nothing.
    assert shop.rows("SELECT compared, jsonb_array_length(breaks) FROM reconciliation WHERE job = 'payments'") == [(1, 0)]
    shop.vendor.payments[str(payment["payment_id"])] |= {"outcome_amount": payment["outcome_amount"] * 2, "payment_status": "finished"}
    reconcile(shop, "2026-03-01T09:40:00Z")
    assert shop.balance("np_transit") == 2 * before
    reconcile(shop, "2026-03-01T09:50:00Z")
    assert shop.rows("SELECT compared FROM reconciliation WHERE job = 'payments' ORDER BY id DESC LIMIT 1") == [(0,)]


def test_a_larger_outcome_is_found_by_asking_though_its_status_stays(shop: Shop) -> None:
    payment = shop.order().payment(actually_paid=Decimal("0.004"), outcome_amount=Decimal("0.00396"))
    shop.pay(payment, "partially_paid")
    before = shop.balance("np_transit")
    shop.vendor.payments[str(payment["payment_id"])] |= {"outcome_amount": payment["outcome_amount"] * 2, "actually_paid": Decimal("0.008")}
    reconcile(shop)
    assert shop.balance("np_transit") == 2 * before


def test_a_payment_that_stays_paid_in_part_is_asked_for_no_longer_than_the_vendor_waits(shop: Shop) -> None:
    shop.pay(shop.order().payment(actually_paid=Decimal("0.004"), outcome_amount=Decimal("0.00396")), "partially_paid")
    with shop.db.transaction() as tx:
        tx.run("UPDATE processed_payments SET created_at = created_at - interval '9 days'")
    reconcile(shop)
    assert shop.rows("SELECT compared FROM reconciliation WHERE job = 'payments'") == [(0,)]


def test_a_broken_invariant_is_a_letter(shop: Shop) -> None:
    order = shop.order()
    with shop.db.reading() as tx:
        tx.run("UPDATE orders SET state = 'paid' WHERE id = :id", id=order.id)
    assert ring(shop.orchestrator, "/check-books", "books-check", "2026-03-01T09:30:00Z").status_code == 200
    shop.queue.run()
    assert shop.letters() == [("invariants", "broken")]
    assert shop.value("SELECT count(*) FROM machine_pause") == 0
    assert shop.value("SELECT breaks->0->>'subject' FROM reconciliation WHERE job = 'invariants'") == order.unique_id

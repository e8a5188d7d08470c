"""The bot's messages and payment links when a vendor is away, forgets to answer, or refuses."""

from __future__ import annotations

from PGP_COMMON import deeplinks
from PGP_SERVER_v1 import steps, texts
from tests.support.town import Owner, Person, Town

CREATE = "POST /v1/invoice"


def order(town: Town, owner: Owner, buyer: Person) -> list[str]:
    return buyer.asks(f"/start s_{deeplinks.base36(owner.channel_id)}_{deeplinks.base36(owner.tiers[0])}")


def invoices(town: Town) -> list[tuple[object, ...]]:
    return town.rows("SELECT order_id, price_usd::text, provider_id IS NOT NULL FROM invoice ORDER BY id")


def test_an_invoice_whose_answer_was_lost_is_asked_for_again_and_both_rows_stay(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    town.outside.nowpayments.fault(CREATE, "lost_answer")
    assert order(town, owner, buyer) == [texts.PREPARING]
    town.later(steps.FIRST_TWIN_S)
    town.settle()
    assert len(buyer.read()) == 1
    ((first, *_), (second, *_)) = invoices(town)
    assert first == second
    assert invoices(town) == [(first, "10.00", False), (first, "10.00", True)]
    made = town.outside.nowpayments.book("invoices")
    assert len({invoice["order_id"] for invoice in made}) == 1
    assert len(made) == 2
    assert town.value("SELECT state FROM orders") == "invoiced"
    assert town.letters() == []


def test_a_vendor_that_never_answers_is_not_asked_faster_and_faster(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    town.outside.nowpayments.fault(CREATE, "status", {"status": 502, "body": "<html>bad gateway</html>"}, times=None)
    order(town, owner, buyer)
    assert len(invoices(town)) == 2
    town.settle()
    assert len(invoices(town)) == 2
    for twin in range(steps.TWINS):
        town.later(steps.FIRST_TWIN_S * 2**twin)
        town.settle()
    assert len(invoices(town)) == steps.TWINS
    assert town.letters() == [("invoice.create", "answers_lost")]
    assert buyer.read() == [texts.FAILED]


def test_a_vendor_that_is_down_is_left_alone_and_asked_again_when_it_is_up(town: Town) -> None:
    owner, buyer, other = town.owner(), town.buyer(), town.buyer()
    town.outside.nowpayments.fault(CREATE, "status", 503, times=2)
    assert order(town, owner, buyer) == [texts.PREPARING]
    # Everybody keeps off the vendor for a while.
    assert order(town, owner, other) == [texts.PREPARING]
    assert town.value("SELECT vendor FROM vendor_pause") == "nowpayments"
    for _ in range(3):
        town.later(30)
        town.settle()
    assert [len(person.read()) for person in (buyer, other)] == [1, 1]
    assert [row[2] for row in invoices(town)] == [True, True]
    assert len(town.outside.nowpayments.book("invoices")) == 2
    assert town.value("SELECT count(*) FROM vendor_pause") == 0


def test_a_refused_invoice_is_told_to_the_buyer_and_kept_for_a_person(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    town.outside.nowpayments.fault(CREATE, "status", 400)
    assert order(town, owner, buyer) == [texts.PREPARING, texts.FAILED]
    assert town.letters() == [("invoice.create", "refused")]
    assert "pgp dead retry" in town.value("SELECT detail->>'next' FROM failed_transactions")


def test_an_invoice_is_not_made_while_intake_is_paused(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    town.run("INSERT INTO machine_pause (switch, reason) VALUES ('intake', 'a test')")
    assert order(town, owner, buyer) == [texts.PREPARING]
    assert town.outside.nowpayments.book("invoices") == []
    town.run("DELETE FROM machine_pause")
    town.later(60)
    town.settle()
    assert len(buyer.read()) == 1


def test_every_task_twice_makes_one_invoice_and_says_each_message_once(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    buyer.says(f"/start s_{deeplinks.base36(owner.channel_id)}_{deeplinks.base36(owner.tiers[0])}")
    town.settle(twice=True)
    assert len(town.outside.nowpayments.book("invoices")) == 1
    assert len(buyer.read()) == 2


def test_a_message_whose_answer_was_lost_is_said_at_most_twice_more(town: Town) -> None:
    buyer = town.buyer()
    town.telegram.fault("sendMessage", "lost_answer", times=None)
    buyer.says("hello")
    town.settle()
    for _ in range(5):
        town.later(60)
        town.settle()
    assert buyer.read() == [texts.HELP] * 3
    assert town.value("SELECT count(*) FROM work WHERE state <> 'done'") == 0
    assert town.value("SELECT max(unknown_sends) FROM bot_message") == 3


def test_refusals_and_waits_do_not_count_as_lost_answers(town: Town) -> None:
    buyer = town.buyer()
    town.telegram.fault("sendMessage", "status", {"status": 429, "retry_after": 3}, times=2)
    town.telegram.fault("sendMessage", "status", 502, times=1)
    town.telegram.fault("sendMessage", "lost_answer", times=1)
    buyer.says("hello")
    town.settle()
    for _ in range(8):
        town.later(60)
        town.settle()
    # Telegram's 502 may have delivered; so may the answer that was lost.
    assert buyer.read() == [texts.HELP] * 2
    assert town.letters() == []


def test_who_has_blocked_the_bot_costs_one_try(town: Town) -> None:
    buyer = town.buyer()
    buyer.says("hello")
    town.hear()
    buyer.acts(block=True)
    town.settle()
    assert buyer.read() == []
    assert town.value("SELECT count(*) FROM work WHERE state <> 'done'") == 0
    assert town.letters() == []


def test_a_token_that_telegram_refuses_makes_the_work_wait_for_the_right_one(town: Town) -> None:
    buyer = town.buyer()
    town.telegram.fault("sendMessage", "status", 401, times=1)
    buyer.says("hello")
    town.settle()
    assert buyer.read() == []
    town.later(60)
    town.settle()
    assert buyer.read() == [texts.HELP]

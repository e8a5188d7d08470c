"""What owners and buyers are told, by bot and by mail, and what happens when nobody answers."""

from __future__ import annotations

import re

import pytest

from PGP_COMMON.money_machines import mails, notices
from tests.support.town import Owner, Person, Town

ETHER = 10**18


def payment(town: Town, owner: Owner, buyer: Person, *, price: str = "20", kind: str = "subscription", worth: str | None = "19.8", name: str = "Bea") -> int:
    """A credited payment of 0.0097 ETH to the owner, for an order that is paid."""
    order_id = town.value(
        """
        INSERT INTO orders (unique_id, view_token, kind, owner_id, channel_id, tier_id, buyer_id, buyer_name, price_usd, days, fee_percent,
                            tolerance_bps, correlation, expires_at)
        VALUES (upper(substr(md5(random()::text), 1, 26)), md5(random()::text), :kind, :o, :c, :t, :b, :n, :p, :d, 3, 100, 'town', pgp_now()) RETURNING id
        """,
        kind=kind,
        o=owner.owner_id,
        c=owner.channel_id,
        t=owner.tiers[0] if kind == "subscription" else None,
        b=buyer.id,
        n=name,
        p=price,
        d=30 if kind == "subscription" else None,
    )
    payment_id = town.value(
        """
        INSERT INTO processed_payments (provider_id, order_id, status, status_rank, outcome_asset, outcome_units, owner_units, fee_units, value_usd, correlation)
        VALUES (CAST(CAST(floor(random() * 1e12) AS bigint) AS text), :o, 'finished', 7, 'eth', :all, :owner, :fee, :worth, 'town') RETURNING id
        """,
        o=order_id,
        all=ETHER // 100,
        owner=ETHER // 100 * 97 // 100,
        fee=ETHER // 100 * 3 // 100,
        worth=worth,
    )
    return int(payment_id)


def payout(town: Town, owner: Owner, *, asset: str, units: int | None, tx_hash: str | None, reason: str | None = None) -> int:
    """A payout of 50 USDT."""
    details = town.value(
        "INSERT INTO payout_details (owner_id, asset, address) VALUES (:o, :a, '0x52908400098527886E0F7030069857D2E4169EE7') RETURNING id",
        o=owner.owner_id,
        a=asset,
    )
    return int(
        town.value(
            """
            INSERT INTO split_payout_que (owner_id, details_id, asset, units, payout_asset, address, fee_cap_percent, paid_out_units, tx_hash, reason, correlation)
            VALUES (:o, :d, 'usdterc20', 50000000, :a, 'x', 2, :u, :h, :r, 'town') RETURNING id
            """,
            o=owner.owner_id,
            d=details,
            a=asset,
            u=units,
            h=tx_hash,
            r=reason,
        )
    )


def tell(town: Town, kind: notices.Kind, subject: int, chat_id: int | None) -> None:
    with town.db.transaction() as tx:
        notices.tell(tx, kind, subject, chat_id)
    town.settle()


def told(town: Town) -> list[tuple[object, ...]]:
    return town.rows("SELECT kind, state FROM notification ORDER BY id")


def owner_of(town: Town) -> Owner:
    """An owner who has started the bot."""
    owner = town.owner()
    owner.person.asks("/start")
    return owner


def test_an_owner_hears_of_a_sale_a_donation_and_a_part(town: Town) -> None:
    owner, buyer = owner_of(town), town.buyer()
    tell(town, "sale", payment(town, owner, buyer), owner.person.id)
    tell(town, "donation", payment(town, owner, buyer, kind="donation", price="12.50", name=""), owner.person.id)
    tell(town, "part_paid", payment(town, owner, buyer, worth=None), owner.person.id)
    sale, donation, part = owner.person.read()
    assert sale == f"🎉 Bea subscribed to {owner.title}: 30 days for $20.\nYour share: 0.0097 ETH (payment ≈ $19.80)"
    assert donation == f"💝 Somebody donated $12.5 to {owner.title}.\nYour share: 0.0097 ETH (payment ≈ $19.80)"
    assert part == f"🟡 Bea paid a part of $20 for {owner.title}. He has a link for the rest.\nYour share: 0.0097 ETH (payment value not known right now)"
    assert told(town) == [("sale", "sent"), ("donation", "sent"), ("part_paid", "sent")]


def test_a_part_that_is_told_late_is_still_a_part(town: Town) -> None:
    owner, buyer = owner_of(town), town.buyer()
    first = payment(town, owner, buyer)
    town.run("UPDATE orders SET state = 'invoiced'")
    town.run("UPDATE orders SET state = 'paid'")
    tell(town, "part_paid", first, owner.person.id)
    assert owner.person.read()[-1].startswith("🟡")


def test_an_owner_hears_where_his_payout_is(town: Town) -> None:
    owner = owner_of(town)
    tell(town, "payout_settled", payout(town, owner, asset="eth", units=2 * ETHER, tx_hash="0x" + "a" * 64), owner.person.id)
    town.run("UPDATE split_payout_que SET state = 'released'")
    tell(town, "payout_settled", payout(town, owner, asset="bnbbsc", units=3 * ETHER, tx_hash="0x" + "b" * 64), owner.person.id)
    town.run("UPDATE split_payout_que SET state = 'released' WHERE state <> 'released'")
    tell(town, "payout_settled", payout(town, owner, asset="btc", units=None, tx_hash=None), owner.person.id)
    town.run("UPDATE split_payout_que SET state = 'released' WHERE state <> 'released'")
    tell(town, "payout_released", payout(town, owner, asset="btc", units=None, tx_hash=None, reason="the exchange would cost 3 %"), owner.person.id)
    assert owner.person.read() == [
        f"💸 Your payout has arrived: 2 ETH.\nhttps://etherscan.io/tx/0x{'a' * 64}",
        f"💸 Your payout has arrived: 3 BNBBSC.\nTransaction 0x{'b' * 64} (bsc)",
        "💸 Your payout has arrived: BTC.",
        "↩️ Your payout of 50 USDT was not sent and is back on your balance: the exchange would cost 3 %.",
    ]


def test_an_owner_hears_of_a_changed_address_by_bot_and_mail(town: Town) -> None:
    owner = owner_of(town)
    details = town.value(
        """
        INSERT INTO payout_details (owner_id, asset, address, usable_from)
        VALUES (:o, 'eth', '0x52908400098527886E0F7030069857D2E4169EE7', pgp_now() + interval '48 hours') RETURNING id
        """,
        o=owner.owner_id,
    )
    tell(town, "address_changed", details, owner.person.id)
    (said,) = owner.person.read()
    assert "changed to 0x5290…9EE7 (ETH)" in said
    assert "52908400098527886E0F7030069857D2E4169EE7" not in said


def test_an_address_that_was_taken_back_before_anybody_was_told_is_not_told(town: Town) -> None:
    owner = owner_of(town)
    tell(town, "address_changed", 4711, owner.person.id)
    assert owner.person.read() == []
    assert told(town) == [("address_changed", "undeliverable")]
    assert town.letters() == []


def test_an_owner_without_telegram_breaks_nothing(town: Town) -> None:
    owner, buyer = town.owner(linked=False), town.buyer()
    tell(town, "sale", payment(town, owner, buyer), None)
    assert told(town) == [("sale", "undeliverable")]
    assert town.letters() == []


def test_who_blocked_the_bot_is_noted_and_not_tried_again(town: Town) -> None:
    owner, buyer = owner_of(town), town.buyer()
    owner.person.acts(block=True)
    tell(town, "sale", payment(town, owner, buyer), owner.person.id)
    assert told(town) == [("sale", "undeliverable")]
    assert town.value("SELECT count(*) FROM work WHERE step = 'notify.send' AND state <> 'done'") == 0


def test_the_same_news_is_told_once(town: Town) -> None:
    owner, buyer = owner_of(town), town.buyer()
    paid = payment(town, owner, buyer)
    for _ in range(3):
        tell(town, "sale", paid, owner.person.id)
    town.settle(twice=True)
    assert len(owner.person.read()) == 1


def test_a_notice_without_an_answer_is_told_at_most_twice_more(town: Town) -> None:
    owner, buyer = owner_of(town), town.buyer()
    town.telegram.fault("sendMessage", "lost_answer", times=None)
    tell(town, "sale", payment(town, owner, buyer), owner.person.id)
    for _ in range(4):
        town.later(60)
        town.settle()
    assert len(owner.person.read()) == 3
    assert town.rows("SELECT state, unknown_sends FROM notification") == [("sent", 3)]


def test_a_notice_about_nothing_is_kept_for_a_person(town: Town) -> None:
    tell(town, "sale", 4711, 77)
    assert town.letters() == [("notify.send", "broken_rule")]


@pytest.mark.parametrize("name", ["<b>x</b>", "*x* _y_ [z](http://evil.test)", "{{7*7}} %s", '\n{"severity":"INFO"}', "&amp; @all /start"])
def test_a_name_is_text_and_nothing_else(town: Town, name: str) -> None:
    owner, buyer = owner_of(town), town.buyer()
    tell(town, "sale", payment(town, owner, buyer, name=name), owner.person.id)
    message = owner.person.messages()[-1]
    assert name.strip() in message["text"]
    assert not [entity for entity in message.get("entities", []) if entity["type"] in {"bold", "text_link", "italic"}]


# --- mails


def mail(town: Town, owner: Owner, kind: mails.Kind, token: str | None = None) -> None:
    runtime = town.apps["webapi"].extensions["pgp"]
    with runtime.db.transaction() as tx:
        mails.send(tx, kind, owner.account_id, token=token)
    town.settle()


def test_a_verification_carries_its_token_and_the_row_forgets_it(town: Town) -> None:
    owner = town.owner()
    mail(town, owner, "verify_email", "t" * 32)
    (sent,) = town.outside.sendgrid.book("mails")
    assert sent["to"] == [owner.email]
    assert f"https://pay.test/app#verify={'t' * 32}" in sent["content"]["text/plain"]
    assert town.rows("SELECT token, sent_at IS NOT NULL FROM mail") == [(None, True)]


@pytest.mark.parametrize(("kind", "words"), [("reset_password", "#reset="), ("password_changed", "every session"), ("address_changed", "waiting time")])
def test_every_mail_says_what_to_do(town: Town, kind: mails.Kind, words: str) -> None:
    owner = town.owner()
    mail(town, owner, kind, "x" * 32 if kind == "reset_password" else None)
    (sent,) = town.outside.sendgrid.book("mails")
    assert words in sent["content"]["text/plain"]
    assert "None" not in sent["content"]["text/plain"]
    assert re.search(r"[Ii]f (this was not you|you did not)", sent["content"]["text/plain"])


def test_a_mail_without_an_answer_goes_out_at_most_twice_more(town: Town) -> None:
    owner = town.owner()
    town.outside.sendgrid.fault("POST /v3/mail/send", "lost_answer", times=None)
    mail(town, owner, "verify_email", "t" * 32)
    for _ in range(5):
        town.later(60)
        town.settle()
    assert len(town.outside.sendgrid.book("mails")) == 3
    assert town.rows("SELECT token, unknown_sends FROM mail") == [(None, 3)]


def test_a_mail_waits_while_the_vendor_is_down_or_has_no_credits_left(town: Town) -> None:
    owner = town.owner()
    for status in (503, 401, 429):
        town.outside.sendgrid.fault("POST /v3/mail/send", "status", status)
    mail(town, owner, "verify_email", "t" * 32)
    for _ in range(6):
        town.later(120)
        town.settle()
    assert len(town.outside.sendgrid.book("mails")) == 1
    assert town.letters() == []


def test_a_refused_mail_is_kept_for_a_person(town: Town) -> None:
    owner = town.owner()
    town.outside.sendgrid.fault("POST /v3/mail/send", "status", 400)
    mail(town, owner, "verify_email", "t" * 32)
    assert town.letters() == [("mail.send", "refused")]
    assert "t" * 32 not in str(town.value("SELECT detail FROM failed_transactions"))

"""Who is let into a channel, reminded, seen out and looked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from PGP_COMMON.money_machines import access
from PGP_SERVER_v1 import members_store
from tests.support.simulators import eventually
from tests.support.town import Owner, Person, Town

DAY_S = 86400


def asks_to_join(town: Town, owner: Owner, person: Person) -> None:
    """Follow the channel's link, which everybody may know."""
    person.joins(town.value("SELECT join_link FROM channel WHERE id = :id", id=owner.channel_id))
    town.settle()


def meanwhile(town: Town, method: str, begin: Callable[[], object], act: Callable[[], object]) -> None:
    """Do something while Telegram has a call in its hands that another thread has begun."""
    town.telegram.fault(method, "delay", 0.5)
    thread = threading.Thread(target=begin)
    thread.start()
    eventually(lambda: town.telegram.look("/faults") == [])
    act()
    thread.join()


def invites(town: Town) -> list[str]:
    return [state for (state,) in town.rows("SELECT state FROM invite ORDER BY id")]


# --- the way in


def test_who_has_paid_is_let_in_and_nobody_else(town: Town) -> None:
    owner, buyer, stranger = town.owner(), town.buyer(), town.buyer("Eve")
    town.enter(owner, buyer)
    asks_to_join(town, owner, stranger)
    assert not stranger.is_in(owner)
    # Asking once more, after the first refusal, changes nothing.
    asks_to_join(town, owner, stranger)
    assert not stranger.is_in(owner)
    assert invites(town) == ["joined"]
    assert town.rows("SELECT buyer_id, present FROM membership") == [(buyer.id, True)]
    assert [request["state"] for request in town.telegram.look("/books/joins")] == ["approved", "declined", "declined"]


def test_access_to_one_channel_opens_no_other(town: Town) -> None:
    owner, other, buyer, reader = town.owner(), town.owner(), town.buyer(), town.buyer()
    town.enter(owner, buyer)
    town.enter(other, reader)
    asks_to_join(town, other, buyer)
    assert not buyer.is_in(other)


def test_a_request_that_comes_after_the_end_is_declined(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    town.sell(owner, buyer)
    town.settle()
    town.later(30 * DAY_S + 1)
    asks_to_join(town, owner, buyer)
    assert not buyer.is_in(owner)


def test_a_request_for_a_chat_that_is_not_ours_is_left_to_its_owner(town: Town) -> None:
    town.owner()
    person = town.buyer()
    town.knock({"update_id": 1, "chat_join_request": {"chat": {"id": -5, "type": "channel"}, "from": {"id": person.id, "first_name": "A"}}})
    town.settle()
    assert town.letters() == []


def test_an_approval_whose_answer_was_lost_is_repeated_and_fine(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    town.sell(owner, buyer)
    town.settle()
    town.telegram.fault("approveChatJoinRequest", "lost_answer")
    buyer.joins(buyer.button("Join")["url"])
    town.settle()
    town.later(10)
    town.settle()
    assert buyer.is_in(owner)
    assert invites(town) == ["joined"]
    assert town.letters() == []


def test_a_bot_without_the_right_to_invite_leaves_a_letter_that_says_what_to_do(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    town.sell(owner, buyer)
    town.settle()
    buyer.joins(buyer.button("Join")["url"])
    owner.bot(can_restrict_members=True, can_invite_users=False)
    town.settle()
    assert town.letters() == [("join.decide", "no_rights")]
    assert "right to invite" in town.value("SELECT detail->>'next' FROM failed_transactions")


def test_who_took_his_request_back_is_not_taken_for_a_member(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    town.sell(owner, buyer)
    town.settle()
    body = {"chat": {"id": owner.closed_chat, "type": "channel"}, "from": {"id": buyer.id, "first_name": "B"}}
    town.knock({"update_id": 1, "chat_join_request": body})
    town.settle()
    assert invites(town) == ["sent"]
    assert town.value("SELECT present FROM membership") is False


def test_who_is_let_in_in_the_moment_his_time_ends_is_seen_out_again(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    town.sell(owner, buyer)
    town.settle()
    buyer.joins(buyer.button("Join")["url"])
    town.hear()
    end = "UPDATE entitlement SET starts_at = pgp_now() - interval '30 days', ends_at = pgp_now() - interval '1 second'"
    meanwhile(town, "approveChatJoinRequest", town.queue.run, lambda: town.run(end))
    town.settle()
    assert [request["state"] for request in town.telegram.look("/books/joins")] == ["approved"]
    assert not buyer.is_in(owner)
    assert town.value("SELECT present FROM membership") is False
    assert town.letters() == []


# --- the way back in


def test_who_left_by_mistake_finds_his_way_back_with_start(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    town.enter(owner, buyer)
    (menu,) = buyer.asks("/start")[-1:]
    assert f"✅ {owner.title}: until" in menu
    buyer.acts(leave=owner.closed_chat)
    town.settle()
    assert town.value("SELECT present FROM membership") is False
    assert any(text.startswith(f"🔑 You have access to {owner.title}") for text in buyer.asks("/start"))
    buyer.joins(buyer.button("Join")["url"])
    town.settle()
    assert buyer.is_in(owner)


# --- the end


def test_who_has_not_renewed_is_seen_out_and_told(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    town.enter(owner, buyer)
    town.ring("server", "/expire-subscriptions")
    assert buyer.is_in(owner)
    town.later(30 * DAY_S)
    town.ring("server", "/expire-subscriptions")
    assert not buyer.is_in(owner)
    # He is not banned: he may buy again.
    assert all(member["status"] != "kicked" for member in town.telegram.look(f"/chats/{owner.closed_chat}/members"))
    assert buyer.read()[-1].startswith(f"👋 Your access to {owner.title} has ended")
    assert buyer.button("Renew")["url"].startswith("https://t.me/paygate_test_bot?start=s_")
    assert town.rows("SELECT present, removed_at IS NOT NULL FROM membership") == [(False, True)]
    town.ring("server", "/expire-subscriptions")
    assert buyer.read() == []


def test_every_answer_to_a_removal_may_be_lost(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    town.enter(owner, buyer)
    town.later(30 * DAY_S)
    for method in ("banChatMember", "unbanChatMember"):
        town.telegram.fault(method, "lost_answer")
    town.ring("server", "/expire-subscriptions")
    for _ in range(3):
        town.later(30)
        town.settle()
    assert not buyer.is_in(owner)
    assert all(member["status"] != "kicked" for member in town.telegram.look(f"/chats/{owner.closed_chat}/members"))
    assert town.letters() == []


def test_a_renewal_before_the_end_keeps_him_in_and_loses_no_day(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    town.enter(owner, buyer)
    town.later(29 * DAY_S)
    town.sell(owner, buyer)
    town.settle()
    assert buyer.read()[-1].startswith(f"🔁 Your access to {owner.title} now lasts until")
    town.later(2 * DAY_S)
    town.ring("server", "/expire-subscriptions")
    assert buyer.is_in(owner)
    assert town.rows("SELECT starts_at = lag(ends_at) OVER (ORDER BY id) FROM entitlement ORDER BY id") == [(None,), (True,)]
    town.later(29 * DAY_S)
    town.ring("server", "/expire-subscriptions")
    assert not buyer.is_in(owner)


def test_a_renewal_after_the_end_begins_now_and_invites_again(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    town.enter(owner, buyer)
    town.later(40 * DAY_S)
    town.ring("server", "/expire-subscriptions")
    assert not buyer.is_in(owner)
    town.enter(owner, buyer)
    assert town.value("SELECT max(ends_at) BETWEEN pgp_now() + interval '29 days' AND pgp_now() + interval '31 days' FROM entitlement")


@pytest.mark.parametrize("mode", ["join_request", "single_use"])
def test_a_renewal_that_comes_while_he_is_seen_out_gives_him_a_way_back(town: Town, mode: str) -> None:
    owner, buyer = town.owner(mode=mode), town.buyer()
    town.enter(owner, buyer)
    town.later(30 * DAY_S)
    town.ring("server", "/expire-subscriptions", settle=False)
    town.queue.deliver(town.queue.waiting[-1])
    # The renewal is credited and its invite sent while he is being removed: it takes him for a member.
    meanwhile(town, "banChatMember", town.queue.run, lambda: town.apps["invite"].extensions["pgp"].engine.run("invite.send", str(town.sell(owner, buyer))))
    town.settle()
    assert not buyer.is_in(owner)
    said = buyer.read()
    assert any(text.startswith(f"🔁 Your access to {owner.title}") for text in said)
    assert said[-1].startswith(f"🔑 You have access to {owner.title}")
    assert not any("has ended" in text for text in said)
    buyer.joins(buyer.button("Join")["url"])
    town.settle()
    assert buyer.is_in(owner)


def test_a_renewal_and_the_end_take_turns_at_the_membership(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    town.enter(owner, buyer)
    town.later(30 * DAY_S)
    entitlement = town.value("SELECT id FROM entitlement")
    got: list[access.Ending | None] = []

    def end() -> None:
        with town.db.transaction() as tx:
            got.append(access.lock_ending(tx, entitlement))

    with town.db.transaction() as tx:
        access.lock_membership(tx, channel_id=owner.channel_id, buyer_id=buyer.id)
        waiting = threading.Thread(target=end)
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
    waiting.join()
    assert got[0] is not None
    assert got[0].over


def test_a_bot_without_the_right_to_ban_leaves_a_letter_and_nobody_else_waits(town: Town) -> None:
    stuck, owner, held, buyer = town.owner(), town.owner(), town.buyer(), town.buyer()
    town.enter(stuck, held)
    town.enter(owner, buyer)
    stuck.bot(can_invite_users=True, can_restrict_members=False)
    town.later(30 * DAY_S)
    town.ring("server", "/expire-subscriptions")
    assert town.letters() == [("entitlement.expire", "no_rights")]
    assert "right to ban" in town.value("SELECT detail->>'next' FROM failed_transactions")
    assert held.is_in(stuck)
    assert not buyer.is_in(owner)
    town.ring("server", "/expire-subscriptions")
    assert town.letters() == [("entitlement.expire", "no_rights")]
    assert town.value("SELECT count(*) FROM work WHERE step = 'entitlement.expire'") == 2


def test_who_was_made_an_administrator_stays_and_is_told_nothing(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    town.enter(owner, buyer)
    town.telegram.control(f"/chats/{owner.closed_chat}/members", {"user": buyer.id, "status": "administrator"})
    town.settle()
    buyer.read()
    town.later(30 * DAY_S)
    town.ring("server", "/expire-subscriptions")
    assert town.letters() == []
    assert buyer.read() == []
    assert town.rows("SELECT expired_at IS NOT NULL FROM entitlement") == [(True,)]


def test_who_deleted_his_account_ends_quietly(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    town.enter(owner, buyer)
    buyer.acts(deactivate=True)
    town.later(30 * DAY_S)
    town.ring("server", "/expire-subscriptions")
    assert town.letters() == []
    assert town.rows("SELECT kind, state FROM notification") == [("access_ended", "undeliverable")]


def test_orders_that_nobody_paid_expire(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    buyer.asks("/start")
    buyer.presses(owner.title)
    buyer.presses("Tier 1")
    town.later(7 * DAY_S + 1)
    town.ring("server", "/expire-subscriptions")
    assert town.value("SELECT state FROM orders") == "expired"


# --- reminders


def test_a_buyer_is_reminded_once_and_not_when_he_has_renewed(town: Town) -> None:
    owner, buyer, faithful = town.owner(), town.buyer(), town.buyer()
    town.enter(owner, buyer)
    town.enter(owner, faithful)
    town.sell(owner, faithful)
    town.settle()
    faithful.read()
    buyer.read()
    town.ring("server", "/remind")
    assert buyer.read() == []
    town.later(28 * DAY_S + 60)
    town.ring("server", "/remind")
    town.ring("server", "/remind")
    (said,) = buyer.read()
    ends = town.value("SELECT min(ends_at) FROM entitlement")
    assert said.startswith(f"⏳ Your access to {owner.title} ends on {ends.astimezone(UTC):%d %B %Y, %H:%M} UTC")
    assert faithful.read() == []


def test_who_bought_a_day_is_not_reminded_at_once(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    town.enter(owner, buyer, days=1)
    buyer.read()
    town.ring("server", "/remind")
    assert buyer.read() == []
    town.later(DAY_S // 2 + 60)
    town.ring("server", "/remind")
    assert len(buyer.read()) == 1


# --- comparing with Telegram


def test_a_lost_update_about_a_member_is_made_up_for(town: Town) -> None:
    owner, buyer, gone = town.owner(), town.buyer(), town.buyer()
    town.enter(owner, buyer)
    town.enter(owner, gone)
    town.run("UPDATE membership SET present = false WHERE buyer_id = :id", id=buyer.id)
    gone.acts(leave=owner.closed_chat)
    town._offset = town.telegram.result("getUpdates", offset=town._offset)[-1]["update_id"] + 1
    town.ring("server", "/reconcile")
    assert dict(town.rows("SELECT buyer_id, present FROM membership")) == {buyer.id: True, gone.id: False}
    assert town.rows("SELECT job, compared, breaks FROM reconciliation") == [("members", 2, [])]


def test_whom_an_owner_keeps_in_his_channel_stays_and_is_on_record(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    town.enter(owner, buyer)
    town.later(30 * DAY_S)
    town.ring("server", "/expire-subscriptions")
    town.telegram.control(f"/chats/{owner.closed_chat}/members", {"user": buyer.id, "status": "member"})
    town.settle()
    town.ring("server", "/reconcile")
    assert buyer.is_in(owner)
    assert [found["found"] for found in town.value("SELECT breaks FROM reconciliation")] == ["in without access"]


def test_whoever_has_access_and_is_not_in_is_counted_while_he_has_a_way_in_and_a_break_without(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    town.enter(owner, buyer)
    buyer.acts(leave=owner.closed_chat)
    town.settle()
    town.ring("server", "/reconcile")
    assert town.rows("SELECT compared, breaks, seen FROM reconciliation") == [(1, [], {"on_their_way": 1})]
    town.run("UPDATE invite SET mode = 'single_use', link_used_at = pgp_now()")
    town.ring("server", "/reconcile")
    (found,) = town.value("SELECT breaks FROM reconciliation ORDER BY id DESC LIMIT 1")
    assert found["found"] == "has access, is not in, and has no way in"


def test_a_channel_that_the_bot_cannot_see_changes_nothing_that_is_known(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    town.enter(owner, buyer)
    town.telegram.fault("getChatMember", "status", {"status": 403, "description": "Forbidden: bot was kicked from the channel chat"})
    town.ring("server", "/reconcile")
    assert town.value("SELECT present FROM membership") is True
    assert [found["found"] for found in town.value("SELECT breaks FROM reconciliation")] == ["nobody could be asked"]


def test_what_is_old_is_forgotten_on_the_way(town: Town) -> None:
    town.buyer().asks("hello")
    assert town.value("SELECT count(*) FROM telegram_update") > 0
    town.later(8 * DAY_S)
    town.ring("server", "/reconcile")
    assert town.value("SELECT count(*) FROM telegram_update") == 0
    assert town.value("SELECT count(*) FROM transaction_limits WHERE window_start < pgp_now() - interval '1 day'") == 0


def test_everybody_gets_his_turn_to_be_looked_for(town: Town) -> None:
    owner = town.owner()
    for number in range(12):
        town.run("INSERT INTO membership (channel_id, buyer_id, present) VALUES (:c, :b, true)", c=owner.channel_id, b=1000 + number)
    seen: set[int] = set()
    with town.db.reading() as tx:
        for turn in range(40):
            found = members_store.members(tx, turn=f"{datetime.now(UTC)}{turn}", limit=3)
            assert len(found) == 3
            seen |= {row.buyer_id for row in found}
    assert len(seen) == 12

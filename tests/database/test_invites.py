"""The way in: one link a channel or one a buyer, kept before it is sent, sent at most three times."""

from __future__ import annotations

import pytest

from tests.support.town import Owner, Person, Town

HOUR_S, DAY_S = 3600, 86400


def states(town: Town) -> list[str]:
    return [state for (state,) in town.rows("SELECT state FROM invite ORDER BY id")]


def made_links(town: Town, owner: Owner) -> list[dict[str, object]]:
    return [link for link in town.telegram.look("/books/links") if link["chat_id"] == owner.closed_chat]


def later(town: Town, seconds: int = 60) -> None:
    town.later(seconds)
    town.settle()


def refused_link(town: Town, person: Person, link: str) -> str:
    return town.telegram.refused("/updates", {"user": person.id, "join": link})


# --- join-request links


def test_a_channel_has_one_join_request_link_for_all_its_buyers(town: Town) -> None:
    owner, first, second = town.owner(), town.buyer(), town.buyer()
    town.sell(owner, first)
    town.settle()
    town.sell(owner, second)
    town.settle()
    (link,) = made_links(town, owner)
    assert link["creates_join_request"] == 1
    assert first.button("Join")["url"] == second.button("Join")["url"] == link["link"]
    assert town.value("SELECT join_link FROM channel") == link["link"]
    assert states(town) == ["sent", "sent"]
    assert first.messages()[-1]["has_protected_content"] is True


def test_two_buyers_at_once_are_sent_the_same_link(town: Town) -> None:
    owner, first, second = town.owner(), town.buyer(), town.buyer()
    for buyer in (first, second):
        town.sell(owner, buyer)
    # Both look before either has kept a link.
    invite = town.apps["invite"].extensions["pgp"]
    kept = [invite.engine.flows["invite.send"]["start"](job) for job in _jobs(town, "1", "2")]
    for commit in kept:
        with invite.db.transaction() as tx:
            commit(tx)
    town.settle()
    assert len(made_links(town, owner)) == 2
    assert first.button("Join")["url"] == second.button("Join")["url"]


def _jobs(town: Town, *subjects: str) -> list[object]:
    from PGP_COMMON.engine import Job

    runtime = town.apps["invite"].extensions["pgp"]
    return [Job("invite.send", subject, "start", 1, 1, runtime.db, runtime.config, runtime.clients) for subject in subjects]


def test_a_link_whose_answer_was_lost_is_made_again_and_nobody_has_the_first(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    town.telegram.fault("createChatInviteLink", "lost_answer")
    town.sell(owner, buyer)
    town.settle()
    later(town)
    assert len(made_links(town, owner)) == 2
    assert len(buyer.read()) == 1
    assert states(town) == ["sent"]


def test_a_bot_that_may_not_make_links_leaves_a_letter_and_the_buyer_gets_his_later(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    owner.bot(can_restrict_members=True, can_invite_users=False)
    town.sell(owner, buyer)
    town.settle()
    assert town.letters() == [("invite.send", "no_rights")]
    assert town.value("SELECT detail->>'next' FROM failed_transactions").endswith("make it an administrator who may invite people")
    assert states(town) == ["planned"]
    owner.bot(can_restrict_members=True, can_invite_users=True)
    town.run("UPDATE work SET state = 'open', attempts = 0, done_at = NULL WHERE step = 'invite.send'")
    assert town.apps["invite"].extensions["pgp"].engine.run("invite.send", "1") == "done"
    assert len(buyer.read()) == 1


def test_a_bot_that_was_thrown_out_leaves_a_letter(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    for chat in (owner.open_chat, owner.closed_chat):
        town.telegram.control("/chats", {"id": chat, "bot": {"status": "kicked"}})
    town.sell(owner, buyer)
    town.settle()
    assert [source for source, _ in town.letters()] == ["invite.send"]


# --- sending


def test_an_invite_without_an_answer_is_sent_at_most_twice_more_with_the_same_text(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    town.telegram.fault("sendMessage", "lost_answer", times=None)
    town.sell(owner, buyer)
    town.settle()
    for _ in range(5):
        later(town)
    said = buyer.read()
    assert len(said) == 3
    assert len(set(said)) == 1
    assert states(town) == ["sent"]
    assert town.value("SELECT unknown_sends FROM invite") == 3
    assert len(made_links(town, owner)) == 1


def test_an_invite_waits_as_long_as_telegram_asks(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    town.telegram.fault("sendMessage", "status", {"status": 429, "retry_after": 40})
    town.sell(owner, buyer)
    town.settle()
    later(town, 30)
    assert buyer.read() == []
    later(town, 20)
    assert len(buyer.read()) == 1
    assert states(town) == ["sent"]
    assert town.letters() == []


def test_a_buyer_who_blocked_the_bot_finds_his_link_at_the_next_start(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    buyer.acts(block=True)
    town.sell(owner, buyer)
    town.settle()
    assert states(town) == ["blocked"]
    assert town.letters() == []
    later(town, HOUR_S)
    assert buyer.read() == []
    said = buyer.asks("/start")
    assert said[0].startswith(f"🔑 You have access to {owner.title}")
    buyer.joins(buyer.button("Join")["url"])
    town.settle()
    assert buyer.is_in(owner)
    assert states(town) == ["joined"]
    assert len(buyer.asks("/start")) == 1


def test_who_never_started_the_bot_is_not_written_to_again_and_again(town: Town) -> None:
    owner = town.owner()
    stranger = Person(town, 61_000_000, "Nobody")
    town.sell(owner, stranger)
    town.settle()
    assert states(town) == ["blocked"]
    assert town.letters() == []


def test_an_invite_whose_time_is_over_before_it_could_be_sent_is_not_sent(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    town.run("INSERT INTO machine_pause (switch, reason) VALUES ('invite', 'a test')")
    town.sell(owner, buyer, days=1)
    town.settle()
    town.run("DELETE FROM machine_pause")
    later(town, 2 * DAY_S)
    assert buyer.read() == []
    assert states(town) == ["expired"]
    assert made_links(town, owner) == []


def test_an_invite_that_has_its_link_and_then_runs_out_of_time_is_not_sent(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    town.telegram.fault("sendMessage", "status", {"status": 429, "retry_after": 600})
    town.sell(owner, buyer, days=1)
    town.settle()
    assert states(town) == ["linked"]
    later(town, 2 * DAY_S)
    assert buyer.read() == []
    assert states(town) == ["expired"]


def test_every_task_twice_sends_one_invite(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    town.sell(owner, buyer)
    town.settle(twice=True)
    assert len(buyer.read()) == 1


# --- links that let one person in


def test_a_link_for_one_person_lets_him_in_and_is_worth_nothing_then(town: Town) -> None:
    owner, buyer, friend = town.owner(mode="single_use"), town.buyer(), town.buyer()
    town.sell(owner, buyer)
    town.settle()
    (link,) = made_links(town, owner)
    assert link["member_limit"] == 1
    assert link["name"] == "PGP 1"
    url = buyer.button("Join")["url"]
    buyer.joins(url)
    town.settle()
    assert buyer.is_in(owner)
    # When he leaves, his seat is free again: Telegram would let the next one in.
    buyer.acts(leave=owner.closed_chat)
    town.settle()
    assert refused_link(town, friend, url) == "INVITE_HASH_EXPIRED"
    assert made_links(town, owner)[0]["is_revoked"] == 1


def test_a_stranger_who_comes_by_somebody_elses_link_is_put_out_and_the_buyer_gets_another(town: Town) -> None:
    owner, buyer, thief = town.owner(mode="single_use"), town.buyer(), town.buyer()
    town.sell(owner, buyer)
    town.settle()
    stolen = buyer.button("Join")["url"]
    thief.joins(stolen)
    town.settle()
    assert not thief.is_in(owner)
    assert made_links(town, owner)[0]["is_revoked"] == 1
    assert town.letters() == []
    buyer.asks("/start")
    again = buyer.button("Join")["url"]
    assert again != stolen
    buyer.joins(again)
    town.settle()
    assert buyer.is_in(owner)


def test_a_link_for_one_person_that_was_never_used_is_made_anew_once_an_hour_at_start(town: Town) -> None:
    owner, buyer = town.owner(mode="single_use"), town.buyer()
    town.sell(owner, buyer)
    town.settle()
    buyer.read()
    assert any("🔑" in text for text in buyer.asks("/start"))
    later(town, 49 * HOUR_S)
    for _ in range(3):
        buyer.asks("/start")
    assert len(made_links(town, owner)) == 2
    buyer.joins(buyer.button("Join")["url"])
    town.settle()
    assert buyer.is_in(owner)


def test_a_link_for_one_person_lives_no_longer_than_his_access(town: Town) -> None:
    owner, buyer, keeper = town.owner(mode="single_use"), town.buyer(), town.buyer()
    town.sell(owner, buyer, days=1)
    town.sell(owner, keeper, days=30)
    town.settle()
    day, two_days = made_links(town, owner)
    assert day["expire_date"] - day["created"] <= DAY_S
    assert abs(two_days["expire_date"] - two_days["created"] - 2 * DAY_S) <= 5


def test_an_invite_that_waited_longer_than_its_link_lives_is_sent_with_a_new_one(town: Town) -> None:
    owner, buyer = town.owner(mode="single_use"), town.buyer()
    town.telegram.fault("sendMessage", "status", {"status": 429, "retry_after": 600})
    town.sell(owner, buyer)
    town.settle()
    assert states(town) == ["linked"]
    later(town, 49 * HOUR_S)
    assert len(made_links(town, owner)) == 2
    assert buyer.button("Join")["url"] == made_links(town, owner)[1]["link"]
    assert states(town) == ["sent"]


@pytest.mark.parametrize("mode", ["join_request", "single_use"])
def test_who_is_in_and_renews_hears_until_when_and_gets_no_link_to_give_away(town: Town, mode: str) -> None:
    owner, buyer = town.owner(mode=mode), town.buyer()
    town.enter(owner, buyer)
    buyer.read()
    town.sell(owner, buyer)
    town.settle()
    (said,) = buyer.read()
    assert said.startswith(f"🔁 Your access to {owner.title} now lasts until")
    assert "reply_markup" not in buyer.messages()[-1]

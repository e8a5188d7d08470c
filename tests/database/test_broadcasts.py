"""Posts to channels: what is due once, an owner's own post, and chats that cannot be written to."""

from __future__ import annotations

import threading

from PGP_BROADCAST_v1 import store
from tests.support.town import Owner, Town

DAY_S = 86400
MANUAL = "/api/broadcasts/manual"
NONSENSE = [
    {},
    [],
    "x",
    1,
    {"channel_id": "1", "text": "x"},
    {"channel_id": True, "text": "x"},
    {"channel_id": 1.0, "text": "x"},
    {"channel_id": -1, "text": "x"},
    {"channel_id": 2**63, "text": "x"},
    {"channel_id": 1, "text": None},
    {"channel_id": 1, "text": "x" * 1001},
    {"channel_id": 1, "text": "a\x00b"},
    {"channel_id": 1, "text": "\ud800"},
    {"channel_id": 1, "text": "x", "kind": "scheduled"},
    {"channel_id": 1, "text": "x", "due_at": "2020-01-01"},
]


def posts(town: Town, chat: int) -> list[dict[str, object]]:
    return [message for message in town.telegram.look(f"/chats/{chat}/messages") if message["outgoing"]]


def labels(message: dict[str, object]) -> list[str]:
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])  # type: ignore[attr-defined]
    return [button["text"] for row in rows for button in row]


def by_hand(owner: Owner, text: str = "Hello", *, channel: int | None = None, key: str | None = None) -> tuple[int, dict[str, object]]:
    headers = {"Idempotency-Key": key} if key else {}
    answer = owner.api("POST", MANUAL, {"channel_id": channel or owner.channel_id, "text": text}, service="broadcast", headers=headers)
    return answer.status_code, answer.json


def test_each_channel_gets_one_post_an_interval(town: Town) -> None:
    owner, other = town.owner(tiers=2), town.owner()
    for _ in range(3):
        town.ring("broadcast", "/execute")
    for shop in (owner, other):
        assert len(posts(town, shop.open_chat)) == len(posts(town, shop.closed_chat)) == 1
    (offers,), (donation,) = posts(town, owner.open_chat), posts(town, owner.closed_chat)
    assert labels(offers) == ["Tier 1: 30 days, $10", "Tier 2: 60 days, $20"]
    assert labels(donation) == ["💝 Donate"]
    assert offers["reply_markup"]["inline_keyboard"][0][0]["url"].startswith("https://t.me/paygate_test_bot?start=s_")
    town.later(DAY_S - 60)
    town.ring("broadcast", "/execute")
    assert len(posts(town, owner.open_chat)) == 1
    town.later(120)
    town.ring("broadcast", "/execute")
    assert len(posts(town, owner.open_chat)) == 2
    assert town.letters() == []


def test_a_channel_without_tiers_offers_only_its_donation(town: Town) -> None:
    owner = town.owner(tiers=0)
    town.ring("broadcast", "/execute")
    assert posts(town, owner.open_chat) == []
    assert len(posts(town, owner.closed_chat)) == 1


def test_a_closed_channel_is_left_alone(town: Town) -> None:
    owner = town.owner()
    owner.api("DELETE", f"/api/channels/{owner.channel_id}")
    town.ring("broadcast", "/execute")
    assert posts(town, owner.open_chat) == []
    assert by_hand(owner)[0] == 404


def test_two_schedulers_at_once_plan_once(town: Town) -> None:
    for _ in range(3):
        town.owner()
    ready, planned = threading.Barrier(4), []

    def plan() -> None:
        with town.apps["broadcast"].extensions["pgp"].db.transaction() as tx:
            ready.wait()
            planned.append(len(store.plan_due(tx, hours=24)))  # type: ignore[arg-type]

    def plan_alone() -> None:
        with town.db.transaction() as tx:
            ready.wait()
            planned.append(len(store.plan_due(tx, hours=24)))  # type: ignore[arg-type]

    threads = [threading.Thread(target=plan) for _ in range(2)] + [threading.Thread(target=plan_alone) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(planned) == [0, 0, 0, 3]


def test_a_post_of_an_owner_goes_to_both_chats_and_into_his_history(town: Town) -> None:
    owner, other = town.owner(), town.owner()
    status, body = by_hand(owner, "Only today: <b>everything</b>")
    assert status == 202
    town.settle()
    assert [message["text"] for message in posts(town, owner.open_chat) + posts(town, owner.closed_chat)] == ["Only today: <b>everything</b>"] * 2
    (row,) = owner.api("GET", "/api/broadcasts/history", service="broadcast").json["broadcasts"]
    assert (row["id"], row["kind"], row["posts"], row["sent"], row["undeliverable"]) == (body["id"], "manual", 2, 2, 0)
    assert other.api("GET", "/api/broadcasts/history", service="broadcast").json == {"broadcasts": []}


def test_an_owner_may_post_once_an_interval(town: Town) -> None:
    owner = town.owner()
    assert by_hand(owner)[0] == 202
    status, body = by_hand(owner, "More")
    assert (status, body["code"]) == (429, "too_many")
    answer = owner.api("POST", MANUAL, {"channel_id": owner.channel_id, "text": "More"}, service="broadcast")
    assert 0 < int(answer.headers["Retry-After"]) <= 300
    town.later(301)
    assert by_hand(owner, "More")[0] == 202


def test_two_requests_at_once_are_one_post(town: Town) -> None:
    owner, ready, answers = town.owner(), threading.Barrier(3), []

    def post() -> None:
        ready.wait()
        answers.append(by_hand(owner)[0])

    threads = [threading.Thread(target=post) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [202, 429, 429]


def test_the_same_key_is_the_same_post_and_never_another(town: Town) -> None:
    owner, other = town.owner(), town.owner()
    first = by_hand(owner, "Hello", key="k-1")
    assert by_hand(owner, "Hello", key="k-1") == first
    assert by_hand(owner, "Other", key="k-1")[0] == 409
    assert by_hand(other, "Other", key="k-1")[0] == 202
    town.settle()
    assert len(posts(town, owner.open_chat)) == 1


def test_somebody_elses_channel_is_as_absent_as_none(town: Town) -> None:
    owner, thief = town.owner(), town.owner()
    answers = [by_hand(thief, channel=owner.channel_id), by_hand(thief, channel=987_654)]
    assert [status for status, _ in answers] == [404, 404]
    assert len({str({**body, "instance": ""}) for _, body in answers}) == 1


def test_a_post_that_makes_no_sense_is_refused(town: Town) -> None:
    owner = town.owner()
    for body in NONSENSE:
        assert owner.api("POST", MANUAL, body, service="broadcast").status_code == 422, body
    assert town.value("SELECT count(*) FROM broadcast_manager") == 0


def test_a_key_that_cannot_be_kept_is_refused(town: Town) -> None:
    owner = town.owner()
    for key in ("x" * 65, "ü", "\x7f"):
        assert by_hand(owner, key=key)[0] == 422


def test_only_json_is_read_and_nobody_posts_without_a_token(town: Town) -> None:
    owner = town.owner()
    client = town.apps["broadcast"].test_client()
    assert client.post(MANUAL, json={"channel_id": owner.channel_id}).status_code == 401
    assert client.post(MANUAL, data="x", headers={"Authorization": f"Bearer {owner.token()}", "Content-Type": "text/plain"}).status_code == 415


def test_a_browser_may_ask_whether_it_may_ask(town: Town) -> None:
    client = town.apps["broadcast"].test_client()
    for path in (MANUAL, "/api/broadcasts/history"):
        assert client.options(path).status_code == 200


def test_a_chat_that_cannot_be_written_to_is_noted_and_the_other_one_is_posted_to(town: Town) -> None:
    owner = town.owner()
    town.telegram.control("/chats", {"id": owner.open_chat, "bot": {"status": "kicked"}})
    town.ring("broadcast", "/execute")
    assert town.rows("SELECT part, state FROM broadcast_post ORDER BY part") == [("donate", "sent"), ("subscribe", "undeliverable")]
    (row,) = owner.api("GET", "/api/broadcasts/history", service="broadcast").json["broadcasts"]
    assert (row["sent"], row["undeliverable"]) == (1, 1)
    assert town.letters() == []


def test_a_post_without_an_answer_is_sent_at_most_twice_more(town: Town) -> None:
    owner = town.owner(tiers=0)
    town.telegram.fault("sendMessage", "lost_answer", times=None)
    town.ring("broadcast", "/execute")
    for _ in range(4):
        town.later(60)
        town.settle()
    assert len(posts(town, owner.closed_chat)) == 3
    assert town.rows("SELECT state, unknown_sends FROM broadcast_post") == [("sent", 3)]


def test_a_post_waits_as_long_as_telegram_asks_and_comes_once(town: Town) -> None:
    owner = town.owner(tiers=0)
    town.telegram.fault("sendMessage", "status", {"status": 429, "retry_after": 100})
    town.ring("broadcast", "/execute")
    town.later(50)
    town.settle()
    assert posts(town, owner.closed_chat) == []
    town.later(60)
    town.settle(twice=True)
    assert len(posts(town, owner.closed_chat)) == 1

"""The demonstration's people are plausible, its waiting is honest, and what it says fits into a line."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest
from rich.console import Console

from deploy.local.demo import acts, people, proof
from deploy.local.demo.proof import Payout, Unconverted
from deploy.local.demo.telling import Telling
from deploy.local.demo.world import PlayError, World
from PGP_COMMON.addresses import problem

FAMILIES = {"btc": "btc", "eth": "evm", "usdttrc20": "trx", "usdterc20": "evm"}


def world(answer: Callable[[httpx.Request], httpx.Response], *, patience_s: float = 0.5, **more: Any) -> World:
    transport = httpx.MockTransport(answer)
    services, simulators = {"pgp-webapi-v1": "http://api.test"}, {"telegram": "http://telegram.test"}
    return World(httpx.Client(transport=transport), services, simulators, "http://rpc.test", {}, patience_s=patience_s, **more)


def payout(email: str, state: str, reason: str | None = None) -> Payout:
    return Payout(7, email, state, Decimal(1), "btc", "x", None, None, 8, None, None, reason)


def test_every_owner_is_paid_where_an_address_would_be_accepted() -> None:
    for owner in people.owners():
        assert problem(FAMILIES[owner.asset], owner.address) is None


def test_nobody_plays_twice() -> None:
    first, second = people.owners(), people.owners()
    assert not {owner.email for owner in first} & {owner.email for owner in second}
    buyers = [*people.buyers(first), *people.buyers(second)]
    assert len({buyer.id for buyer in buyers}) == len(buyers)


def test_an_owner_without_a_settled_payout_is_named_with_its_reason() -> None:
    alice, boris, chiara, dao = people.owners()
    rows = [payout(alice.email, "settled"), payout(boris.email, "funding"), payout(chiara.email, "reserved", "waits for gas")]
    assert proof.unpaid(rows, [alice, boris, chiara, dao]) == [
        "payout 7 to Boris is funding",
        "payout 7 to Chiara is reserved: waits for gas",
        "Dao has no payout yet",
    ]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (Unconverted("5", None, None, None, None), "payment 5 is not credited"),
        (Unconverted("5", "pending", None, None, None), "payment 5 is pending"),
        (Unconverted("5", "converting", 3, "review", "refunded too little"), "payment 5 is in conversion 3, which is review: refunded too little"),
    ],
)
def test_a_payment_that_is_not_converted_says_how_far_it_is(row: Unconverted, sentence: str) -> None:
    assert proof.how_far(row) == sentence


def test_waiting_ends_with_what_was_waited_for() -> None:
    with pytest.raises(PlayError, match="waited 0 s for the mail"):
        world(lambda _: httpx.Response(200), patience_s=0).until("the mail", lambda: None)


def test_nobody_waits_when_the_play_is_over() -> None:
    there = world(lambda _: httpx.Response(200), patience_s=60)
    there.over.set()
    with pytest.raises(PlayError, match="nobody waits for the mail"):
        there.until("the mail", lambda: None)


def test_an_alarm_ends_the_waiting() -> None:
    def alarm() -> None:
        raise PlayError("a dead letter")

    with pytest.raises(PlayError, match="a dead letter"):
        world(lambda _: httpx.Response(200), patience_s=60, alarm=alarm).until("the mail", lambda: None)


def test_a_service_that_is_being_started_again_is_asked_again() -> None:
    count = itertools.count()

    def answer(request: httpx.Request) -> httpx.Response:
        if next(count) < 2:
            raise httpx.ConnectError("refused", request=request)
        return httpx.Response(200, json={"id": 1})

    assert world(answer, patience_s=5).api("POST", "/api/channels", {}) == {"id": 1}


def test_a_request_whose_answer_was_lost_is_repeated_only_if_that_cannot_double_anything() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        if asked.count(request.method) == 1:
            raise httpx.ReadError("gone", request=request)
        return httpx.Response(200, json={})

    there = world(answer, patience_s=5)
    there.api("GET", "/api/account")
    with pytest.raises(PlayError, match="no answer"):
        there.api("POST", "/api/channels", {})
    assert asked == ["GET", "GET", "POST"]


def test_a_refusal_is_told_with_its_answer() -> None:
    with pytest.raises(PlayError, match=r"POST /api/channels: 422 .*too short"):
        world(lambda _: httpx.Response(422, text="too short")).api("POST", "/api/channels", {})
    with pytest.raises(PlayError, match="telegram chats/1/members: 500"):
        world(lambda _: httpx.Response(500)).control("telegram", "chats/1/members")
    with pytest.raises(PlayError, match="eth_call: no"):
        world(lambda _: httpx.Response(200, json={"error": "no"})).rpc("eth_call")


def test_the_first_error_ends_it_for_everybody() -> None:
    there = world(lambda _: httpx.Response(200), patience_s=60)
    alice, boris, *_ = people.owners()

    def act(place: World, owner: people.Owner) -> None:
        if owner is boris:
            raise PlayError("no")
        place.until("the mail", lambda: None)

    with pytest.raises(PlayError, match="no"):
        acts.together(act, there, [alice, boris])


def test_a_pipe_gets_a_line_an_act() -> None:
    out = io.StringIO()
    telling = Telling(Console(file=out, width=20))
    with telling.act("they pay, and the vendor says so") as tell:
        tell("5 to go")
    with pytest.raises(PlayError), telling.act("owners are told"):
        raise PlayError("no")
    told = out.getvalue().splitlines()
    assert told[0].endswith("they pay, and the vendor says so ... 0.0 s")
    assert told[1].endswith("owners are told ... not done after 0.0 s")
    assert len(told) == 2


def test_a_terminal_sees_each_act_marked_when_it_is_over() -> None:
    out = io.StringIO()
    telling = Telling(Console(file=out, width=60, force_terminal=True, color_system=None))
    with telling.act("they pay") as tell:
        tell("a detail that is far longer than the sixty columns that this terminal happens to have")
    with pytest.raises(PlayError), telling.act("owners are told"):
        raise PlayError("no")
    lines = out.getvalue().splitlines()
    assert any(line.endswith("✓    0.0 s  they pay") for line in lines)
    assert lines[-1].endswith("✗    0.0 s  owners are told")

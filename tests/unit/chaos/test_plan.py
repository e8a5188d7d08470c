"""A chaos plan is its seed's alone, and holds what it promises."""

from __future__ import annotations

import importlib
import json

import pytest

from deploy.simulators.market import BY_CODE
from PGP_COMMON import addresses
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.http import EFFECTS
from tests.chaos import operations, plan, troubles
from tests.chaos.__main__ import main
from tests.chaos.shapes import RULES, Shape
from tests.chaos.troubles import Kind

VENDORS = ("nowpayments", "changenow", "ethereum", "telegram", "prices", "sendgrid")


@pytest.fixture(scope="module")
def drawn() -> plan.Plan:
    return plan.draw(7, payments=1000, owners=40, storm_s=1000)


def test_the_same_seed_is_the_same_plan_and_another_seed_another(drawn: plan.Plan) -> None:
    assert plan.draw(7, payments=1000, owners=40, storm_s=1000) == drawn
    assert plan.draw(8, payments=1000, owners=40, storm_s=1000) != drawn


def test_more_payments_do_not_move_the_troubles_of_a_seed(drawn: plan.Plan) -> None:
    assert plan.draw(7, payments=50, owners=3, storm_s=1000).troubles == drawn.troubles


def test_there_are_as_many_payments_and_owners_as_were_asked_for(drawn: plan.Plan) -> None:
    assert 1000 <= drawn.payments < 1010
    assert len(drawn.owners) == 40
    assert {owner.asset for owner in drawn.owners} >= {"btc", "eth", "usdttrc20", "usdterc20"}
    assert {purchase.shape for buyer in drawn.buyers for purchase in buyer.purchases} == set(Shape)


def test_nobody_is_somebody_else(drawn: plan.Plan) -> None:
    people = [owner.user_id for owner in drawn.owners] + [buyer.user_id for buyer in drawn.buyers]
    chats = [chat for owner in drawn.owners for chat in (owner.open_chat, owner.closed_chat)]
    assert len(set(people)) == len(people)
    assert len(set(chats)) == len(chats)
    assert len({owner.address for owner in drawn.owners}) == len(drawn.owners)
    titles = [owner.title for owner in drawn.owners]
    assert not [one for one in titles for other in titles if one != other and one in other]


def test_every_owner_can_be_paid_at_his_address(drawn: plan.Plan) -> None:
    assert {addresses.problem(addresses.FAMILIES[BY_CODE[owner.asset].network], owner.address) for owner in drawn.owners} == {None}


def test_nobody_buys_more_than_the_bot_lets_him(drawn: plan.Plan) -> None:
    assert max(len(buyer.purchases) for buyer in drawn.buyers) <= plan.MOST_PURCHASES
    assert all(0 <= purchase.owner < 40 for buyer in drawn.buyers for purchase in buyer.purchases)


def test_every_trouble_falls_into_the_storm_and_in_order(drawn: plan.Plan) -> None:
    times = [trouble.at_s for trouble in drawn.troubles]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] < 1000


def test_every_kind_of_trouble_comes_in_a_long_storm() -> None:
    assert {trouble.kind for trouble in plan.draw(7, payments=10, owners=2, storm_s=20_000).troubles} == set(Kind) == set(troubles.EVERY_S)


@pytest.mark.parametrize("seed", range(20))
def test_even_a_short_storm_takes_database_chain_queue_and_cache_away(seed: int) -> None:
    killed = {trouble.target for trouble in plan.draw(seed, payments=20, owners=3, storm_s=90).troubles if trouble.kind is Kind.KILL}
    assert killed >= set(troubles.ONCE)


def test_everything_that_runs_is_killed_in_a_long_storm() -> None:
    killed = {trouble.target for trouble in plan.draw(3, payments=10, owners=2, storm_s=20_000).troubles if trouble.kind is Kind.KILL}
    assert killed == {service.name for service in FLEET} | set(troubles.OTHERS)


def test_a_fault_is_one_that_its_operation_can_have(drawn: plan.Plan) -> None:
    modes = {(operation.simulator, operation.name): operation.modes for operation in operations.everything()}
    for trouble in drawn.troubles:
        if trouble.kind is Kind.FAULT:
            assert trouble.mode in modes[trouble.target, trouble.operation]


def test_no_operation_of_a_vendor_is_forgotten() -> None:
    for vendor in VENDORS:
        importlib.import_module(f"PGP_COMMON.clients.{vendor}")
    declared = {key for key in EFFECTS if key[0] in VENDORS}
    assert declared == set(operations.OPERATIONS) | set(operations.NOT_ASKED)
    assert not set(operations.OPERATIONS) & set(operations.NOT_ASKED)


def test_every_operation_fails_in_a_long_storm() -> None:
    failed = {(trouble.target, trouble.operation) for trouble in plan.draw(5, payments=10, owners=2, storm_s=20_000).troubles if trouble.kind is Kind.FAULT}
    assert failed == {(operation.simulator, operation.name) for operation in operations.everything()}


def test_every_shape_says_what_it_pays_and_every_coin_is_known() -> None:
    assert set(RULES) == set(Shape)
    assert set(plan.PAY_COINS) | set(plan.COINS) <= set(BY_CODE)


def test_the_plan_is_printed_for_people_and_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "7", "--payments", "30", "--owners", "3", "--minutes", "1.5", "--plan"]) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("seed 7: 3")
    assert any("kill -9 postgres" in line for line in rest)
    assert main(["--seed", "7", "--payments", "30", "--owners", "3", "--minutes", "1.5", "--plan", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["seed"] == 7

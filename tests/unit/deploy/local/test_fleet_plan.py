"""The plan of the local fleet gives every program what it needs and no service what is not its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.emulators.cloudtasks.queues import read_file
from deploy.local import files, settings
from deploy.local.files import StateDir
from deploy.local.fleet import Fleet, plan
from deploy.local.processes import Program
from deploy.local.supervisor import Plan
from PGP_COMMON.config import BaseConfigManager
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.manifest import Service
from PGP_COMMON.settings import CATALOGUE


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> StateDir:
    return StateDir.at(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def made(state: StateDir) -> Plan:
    return plan(state, {"every": "sweep=5,process=7"})


def programs(made: Plan) -> dict[str, Program]:
    return {program.name: program for stage in made.stages for program in stage.programs}


def test_everything_starts_after_what_it_needs(made: Plan) -> None:
    stages = {stage.name: {program.kind for program in stage.programs} for stage in made.stages}
    assert list(stages) == ["infrastructure", "schema, token and second node", "wallet", "vendors and queues", "services", "webhook", "scheduler"]
    assert (stages["infrastructure"], stages["vendors and queues"], stages["services"]) == (
        {"infrastructure"},
        {"simulator", "emulator"},
        {"service"},
    )


def test_every_service_of_the_manifest_is_started(made: Plan) -> None:
    assert [program.name for stage in made.stages for program in stage.programs if program.kind == "service"] == [s.name for s in FLEET]


@pytest.mark.parametrize("service", FLEET, ids=lambda service: service.name)
def test_a_service_gets_every_setting_it_declares_and_none_that_it_does_not(made: Plan, service: Service) -> None:
    given = programs(made)[service.name].env
    config = BaseConfigManager(service, given)
    assert {name for name in given if name in CATALOGUE} <= set(config.names)


def test_no_secret_but_the_databases_and_the_chains_address_is_in_a_services_environment(made: Plan) -> None:
    secret = {name for name, setting in CATALOGUE.items() if setting.secret} - {"DATABASE_URL", "ETHEREUM_RPC_URL"}
    for service in FLEET:
        assert not secret & set(programs(made)[service.name].env)


def test_the_databases_address_with_its_password_is_on_no_command_line(made: Plan) -> None:
    address = made.places["database_url"]
    assert not [program.name for program in programs(made).values() if any(address in word for word in program.argv)]


def test_all_addresses_are_loopback_and_different(made: Plan) -> None:
    urls = [program.url for program in programs(made).values() if program.url]
    assert len(set(urls)) == len(urls)
    assert all("//127.0.0.1:" in url for url in urls)


def test_the_queue_file_is_one_that_the_emulator_takes(made: Plan, state: StateDir) -> None:
    assert made.stages
    named = {queue.name.rpartition("/")[2] for queue in read_file(state.root / "queues.json")}
    assert named == {route.queue.name for service in FLEET for route in service.routes if route.queue}


def test_shortened_intervals_reach_the_scheduler(made: Plan) -> None:
    assert list(programs(made)["scheduler"].argv[-4:]) == ["--every", "sweep=5", "--every", "process=7"]


def test_what_is_given_to_the_fleet_can_be_read_back(made: Plan, state: StateDir) -> None:
    known = files.read_env(state.environment)
    assert known["DATABASE_URL"] == made.places["database_url"]
    assert not settings.undeclared(known)


def test_a_person_may_have_his_own_database_and_cache_and_intervals(tmp_path: Path) -> None:
    state = StateDir.at(tmp_path)
    theirs = {"DATABASE_URL": "postgresql+pg8000://u:p@127.0.0.1:9/theirs", "REDIS_URL": "redis://127.0.0.1:9/0", "SWAP_POLL_S": "9"}
    files.write_env(state.settings, theirs, heading="mine")
    made = plan(state, {})
    assert {program.name for program in made.stages[0].programs} == {"anvil"}
    assert made.places["database_url"] == theirs["DATABASE_URL"]
    assert programs(made)["pgp-hostpay2-v1"].env["SWAP_POLL_S"] == "9"


def test_the_fleet_sees_the_chain_at_two_addresses_and_the_vendors_see_it_themselves(made: Plan, state: StateDir) -> None:
    fleet = Fleet(state, {})
    chain, laggard = fleet.rpc_url, fleet.simulators["laggard"]
    given = programs(made)
    assert given["pgp-hostpay3-v1"].env["ETHEREUM_RPC_URL"] == f"{chain},{laggard}"
    assert made.places["rpc_url"] == chain
    for name in ("laggard", "nowpayments", "changenow"):
        assert chain in given[name].argv
        assert laggard not in given[name].argv
    assert given["pgp-notifications-v1"].env["EXPLORER_URL"] == f"{chain}/tx"
    # The wallet is opened over both addresses, so the second node runs before that.
    stages = [{program.name for program in stage.programs} for stage in made.stages]
    assert next(place for place, names in enumerate(stages) if "laggard" in names) < next(place for place, names in enumerate(stages) if "wallet-init" in names)


def test_a_second_plan_is_the_first_one(state: StateDir, made: Plan) -> None:
    again = programs(plan(state, {"every": "sweep=5,process=7"}))
    first = programs(made)
    assert json.dumps({name: [list(p.argv), dict(p.env)] for name, p in again.items()}) == json.dumps(
        {name: [list(p.argv), dict(p.env)] for name, p in first.items()}
    )


def test_the_simulators_know_the_credentials_that_we_use(made: Plan, state: StateDir) -> None:
    assert made.stages
    fleet = Fleet(state, {})
    kept = files.read_env(state.secrets)
    assert kept["NOWPAYMENTS_API_KEY"] in fleet.simulator("nowpayments").argv
    assert kept["TELEGRAM_BOT_TOKEN"] in fleet.simulator("telegram").argv

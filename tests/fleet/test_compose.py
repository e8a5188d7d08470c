"""One server: what the compose file, the image and the edge give each container is what the manifest says it needs, and no more."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.emulators.cloudtasks import __main__ as emulator
from deploy.emulators.cloudtasks.queues import read_file
from PGP_COMMON.clients.secrets import SecretsFile
from PGP_COMMON.config import BaseConfigManager
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.manifest import Door, Service
from PGP_COMMON.rendering.compose import secrets_of
from PGP_COMMON.settings import CATALOGUE
from tests.support.settings import generated

ROOT = Path(__file__).parents[2]
WALLET_KEY = "HOST_WALLET_PRIVATE_KEY"
DATABASE = "postgresql+pg8000://pgp:a%40b@postgres:5432/pgp"
# The whole of what a person writes into .env.
ENV = {
    "BASE_URL": "https://pay.example.com",
    "TELEGRAM_BOT_USERNAME": "paygate_test_bot",
    **{name: value for name, value in generated().items() if not CATALOGUE[name].secret},
}
VARIABLE = re.compile(r"\$\{(?P<name>\w+):(?:(?P<must>\?)|-(?P<default>))(?P<rest>[^}]*)\}")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every secret parted by the verb that README.md names."""
    folder = tmp_path_factory.mktemp("secrets")
    given = {**generated(), "DATABASE_URL": DATABASE, "ETHEREUM_RPC_URL": "https://rpc.example.com/v2/key"}
    (folder / "all.env").write_text("".join(f"{name}={value}\n" for name, value in given.items()))
    pgp(ROOT, "secrets", "split", "--from", str(folder / "all.env"), "--out", str(folder / "parted"))
    return folder / "parted"


def python(checkout: Path, code: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run code over a checkout alone: the finder that leads an installed checkout's imports home is taken out."""
    alone = "import sys; sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in getattr(f, '__module__', '')]\n"
    environ = {**os.environ, "PYTHONPATH": str(checkout), "SECRETS_FILE": "/dev/null"}
    return subprocess.run([sys.executable, "-c", alone + code, *words], cwd=checkout, env=environ, capture_output=True, text=True, check=False)


def pgp(checkout: Path, *words: str, status: int = 0) -> str:
    done = python(checkout, "from PGP_COMMON import cli; cli.main()", *words)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def interpolated(value: object, env: dict[str, str]) -> str:
    """A value as Compose understands it: a variable that must be set is, one that is empty has its default."""

    def variable(found: re.Match[str]) -> str:
        value = env.get(found["name"], "")
        assert value or not found["must"], f"{found['name']} must be set"
        return value or found["rest"]

    assert isinstance(value, str)
    return VARIABLE.sub(variable, value)


def environ_of(compose: dict[str, Any], container: str, secrets: Path) -> dict[str, str]:
    """What a container is given: its environment, with its own file of secrets where the file is mounted."""
    entry = compose["services"][container]
    environ = {name: interpolated(value, ENV) for name, value in entry["environment"].items()}
    assert entry["secrets"] == [container]
    assert environ["SECRETS_FILE"] == f"/run/secrets/{container}"
    assert compose["secrets"][container] == {"file": f"./secrets/{container}.env"}
    return {**environ, "SECRETS_FILE": str(secrets / f"{container}.env")}


@pytest.mark.parametrize("service", FLEET, ids=lambda service: service.name)
def test_a_container_is_given_all_that_its_service_needs_and_nothing_else(compose: dict[str, Any], secrets: Path, service: Service) -> None:
    environ = environ_of(compose, service.name, secrets)
    config = BaseConfigManager(service, environ)
    assert set(environ) <= set(config.names)
    assert config.secret("DATABASE_URL") == DATABASE
    for name in config.names:
        assert config._values[name] not in {None, "${"}
        if CATALOGUE[name].secret:
            assert name not in environ, "a secret is in no environment"


def test_nobody_but_the_signer_is_given_the_wallets_key(compose: dict[str, Any], secrets: Path) -> None:
    assert [name for name, names in secrets_of().items() if WALLET_KEY in names] == ["pgp-hostpay3-v1"]
    key = generated()[WALLET_KEY]
    assert [file.name for file in secrets.iterdir() if key in file.read_text() or WALLET_KEY in file.read_text()] == ["pgp-hostpay3-v1.env"]
    assert WALLET_KEY not in json.dumps(compose)
    readers = [name for name, entry in compose["services"].items() if "pgp-hostpay3-v1" in entry.get("secrets", [])]
    assert readers == ["pgp-hostpay3-v1"]


def test_every_file_of_secrets_is_mounted_by_one_container(compose: dict[str, Any], secrets: Path) -> None:
    mounted = [name for entry in compose["services"].values() for name in entry.get("secrets", [])]
    assert sorted(mounted) == sorted(compose["secrets"]) == sorted(file.stem for file in secrets.iterdir())


def test_what_must_be_set_is_asked_for_and_is_all_that_has_to_be_written(compose: dict[str, Any]) -> None:
    text = json.dumps(compose)
    assert {found["name"] for found in VARIABLE.finditer(text) if found["must"]} == set(ENV)
    assert VARIABLE.sub("", text).count("$") == 0


def test_the_helpers_of_the_fleet_are_given_what_they_read(compose: dict[str, Any], secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The flags are the emulator's own, and the password comes out of the file as the services read it.
    words = compose["services"]["queue"]["command"]
    assert words[:3] == ["python", "-m", "deploy.emulators.cloudtasks"]
    asked = emulator.flags([str(secrets / "queue.env") if word == "/run/secrets/queue" else word for word in words[3:]])
    assert asked.database_url == DATABASE
    assert SecretsFile(secrets / "migrate.env").read("DATABASE_URL") == DATABASE
    assert (secrets / "postgres.env").read_text() == "a@b\n"
    # The scheduler knows every door that it rings at, and signs.
    from deploy.emulators import scheduler

    bell = scheduler.Bell(environ_of(compose, "scheduler", secrets))
    assert bell.keys.keys
    bell.http.close()


def test_an_operator_has_every_setting_but_the_wallets_key(compose: dict[str, Any], secrets: Path) -> None:
    environ = environ_of(compose, "operator", secrets)
    assert compose["services"]["operator"]["profiles"] == ["operator"]
    for service in FLEET:
        BaseConfigManager(service, {**environ, WALLET_KEY: f"0x{'0' * 64}"})


def test_the_queues_of_the_server_are_those_that_the_services_ask_for(compose: dict[str, Any], secrets: Path) -> None:
    listed = {queue.name for queue in read_file(ROOT / "deploy" / "queues.json")}
    wanted = {route.queue.name for service in FLEET for route in service.routes if route.queue}
    assert {name.rpartition("/")[2] for name in listed} == wanted
    for service in FLEET:
        environ = environ_of(compose, service.name, secrets)
        parent = f"projects/{environ['CLOUD_TASKS_PROJECT_ID']}/locations/{environ['CLOUD_TASKS_LOCATION']}"
        assert {f"{parent}/queues/{name}" for name in wanted} == listed


def edge_paths() -> Iterator[tuple[str, list[str]]]:
    text = (ROOT / "deploy" / "Caddyfile").read_text(encoding="utf-8")
    for matcher, paths in re.findall(r"^    @(\S+) path (.+)$", text, re.MULTILINE):
        assert f"handle @{matcher} {{\n        reverse_proxy pgp-{matcher}-v1:8080\n" in text
        yield f"pgp-{matcher}-v1", paths.split()


def test_the_edge_lets_exactly_the_manifests_public_paths_through() -> None:
    listed = dict(edge_paths())
    for service in FLEET:
        wanted = {route.path for route in service.routes if route.edge}
        given = listed.get(service.name, [])
        assert {re.sub(r"<.*", "*", path) for path in wanted} == set(given)
        closed = [route.path for route in service.routes if route.door in {Door.TASK, Door.SCHEDULE}]
        assert [path for path in closed if any(fnmatch(path, pattern) for pattern in given)] == []
    everything = [path for paths in listed.values() for path in paths]
    assert len(everything) == len(set(everything)), "two services have the same public path"


def copied(target: str) -> set[str]:
    """What a stage of the Dockerfile takes from the checkout."""
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    stages = dict(re.findall(r"^FROM \S+ AS (\w+)\n(.*?)(?=^FROM |\Z)", text, re.MULTILINE | re.DOTALL))
    assert list(stages)[-1] == "product"
    return {source for line in re.findall(r"^COPY (.+)$", stages[target], re.MULTILINE) for source in line.split()[:-1]}


def test_the_product_image_holds_no_simulator_no_test_and_no_local_runner() -> None:
    held = copied("fleet") | copied("product")
    assert {service.folder for service in FLEET} <= held
    assert not [name for name in held if re.match(r"deploy/?$|deploy/(simulators|local)|tests|bench|\.|secrets", name)]
    assert copied("simulators") == {"deploy/simulators"}
    seen = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert held | {"deploy/simulators"} == seen


def test_the_verbs_work_from_what_the_image_holds(tmp_path: Path, secrets: Path) -> None:
    for name in copied("fleet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(ROOT / name)
    assert python(tmp_path, "import deploy.emulators as e; print(e.__path__)").stdout == f"['{tmp_path}/deploy/emulators']\n"
    assert "the manifest is sound" in pgp(tmp_path, "fleet", "check")
    assert "no part of the image" in pgp(tmp_path, "status", "--state-dir", str(tmp_path / "none"), status=1)
    faults = pgp(tmp_path, "doctor", "pgp-np-ipn-v1", "--state-dir", str(tmp_path / "none"), status=1)
    assert all(f"{name} is missing" in faults for name in ("NOWPAYMENTS_IPN_SECRET", "WEBHOOK_SIGNING_KEY", "TELEGRAM_BOT_USERNAME", "PGP_ORCHESTRATOR_URL"))
    hunt = "import importlib.util as u; print([n for n in ('deploy.simulators', 'deploy.local', 'tests') if u.find_spec(n)])"
    assert python(tmp_path, hunt).stdout == "[]\n"

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
from PGP_COMMON.rendering import sandbox
from PGP_COMMON.rendering.containers import HANDED_OUT, secrets_of
from PGP_COMMON.settings import CATALOGUE
from tests.support.settings import generated

ROOT = Path(__file__).parents[2]
WALLET_KEY = "HOST_WALLET_PRIVATE_KEY"
DATABASE = "postgresql+pg8000://pgp:a%40b@postgres:5432/pgp"
# The whole of what a person writes into production.env.
ENV = {"BASE_URL": "https://pay.example.com", "TELEGRAM_BOT_USERNAME": "paygate_test_bot"}
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
    """What a container is given: its environment, with its own file of secrets where the volume is mounted."""
    entry = compose["services"][container]
    environ = {name: interpolated(value, ENV) for name, value in entry["environment"].items()}
    assert f"secrets-{container}:/run/secrets:ro" in entry["volumes"]
    assert environ["SECRETS_FILE"] == "/run/secrets/secrets.env"
    return {**environ, "SECRETS_FILE": str(secrets / container / "secrets.env")}


@pytest.mark.parametrize("service", FLEET, ids=lambda service: service.name)
def test_a_container_is_given_all_that_its_service_needs_and_nothing_else(compose: dict[str, Any], secrets: Path, service: Service) -> None:
    environ = environ_of(compose, service.name, secrets)
    config = BaseConfigManager(service, environ)
    assert set(environ) <= set(config.names)
    beside = {name for name in HANDED_OUT if SecretsFile(environ["SECRETS_FILE"]).read(name)}
    assert beside == {name for name in HANDED_OUT if name in service.settings} - {"USDT_CONTRACT"}
    assert config.secret("DATABASE_URL") == DATABASE
    for name in config.names:
        assert config._values[name] is not None
        if CATALOGUE[name].secret:
            assert name not in environ, "a secret is in no environment"


def test_nobody_but_the_signer_is_given_the_wallets_key(compose: dict[str, Any], secrets: Path) -> None:
    assert [name for name, names in {**secrets_of(), **sandbox.secrets_of()}.items() if WALLET_KEY in names] == ["pgp-hostpay3-v1"]
    key = generated()[WALLET_KEY]
    holding = [file for file in secrets.rglob("*") if file.is_file() and (key in file.read_text() or WALLET_KEY in file.read_text())]
    assert holding == [secrets / "pgp-hostpay3-v1" / "secrets.env"]
    assert WALLET_KEY not in json.dumps(compose)


def test_a_volume_of_secrets_is_mounted_by_its_container_and_by_the_job_that_fills_it(compose: dict[str, Any], secrets: Path) -> None:
    mounted: dict[str, list[str]] = {}
    for name, entry in compose["services"].items():
        for volume in entry.get("volumes", []):
            source, place = volume.split(":")[:2]
            if source.startswith("secrets-"):
                mounted.setdefault(source, []).append(name)
                assert place == (f"/{source.replace('-', '/', 1)}" if name == "secrets" else "/run/secrets")
                assert volume.endswith(":ro") == (name != "secrets")
    assert mounted == {name: ["secrets", name.removeprefix("secrets-")] for name in compose["volumes"] if name.startswith("secrets-")}
    assert {f"secrets-{folder.name}" for folder in secrets.iterdir()} | {f"secrets-{name}" for name in sandbox.secrets_of()} == set(mounted)
    # Whoever sees them all talks to nobody.
    assert compose["services"]["secrets"]["network_mode"] == "none"


def test_only_the_edges_port_is_open_to_the_outside(compose: dict[str, Any]) -> None:
    assert {name: entry["ports"] for name, entry in compose["services"].items() if "ports" in entry} == {"edge": ["${EDGE_PORT:-443}:${EDGE_PORT:-443}"]}
    assert [name for name, entry in compose["services"].items() if entry.get("network_mode") == "host"] == []


def test_every_container_of_ours_runs_without_rights_over_a_root_that_cannot_be_written(compose: dict[str, Any]) -> None:
    for name, entry in compose["services"].items():
        assert entry["read_only"] is True, name
        if "paygateprime" in entry["image"]:
            assert (entry["cap_drop"], entry["security_opt"], entry["tmpfs"]) == (["ALL"], ["no-new-privileges:true"], ["/tmp"]), name
            # The image's own user, and root for the one job that hands files over to that user.
            assert entry.get("user") == ("0:0" if name == "secrets" else None), name
            assert entry.get("cap_add", []) == (["CHOWN", "DAC_OVERRIDE", "FOWNER"] if name == "secrets" else []), name
        assert "privileged" not in entry


def test_what_is_kept_is_kept_on_named_volumes(compose: dict[str, Any]) -> None:
    named = {volume.split(":")[0] for entry in compose["services"].values() for volume in entry.get("volumes", [])} - {"./deploy/Caddyfile"}
    assert named == set(compose["volumes"])
    assert {"postgres", "caddy", "books-anvil"} <= named


def test_what_does_not_end_is_started_again_and_says_whether_it_does_its_work(compose: dict[str, Any]) -> None:
    jobs = {"secrets", "migrate", "operator", "chain", "wallet", "webhook"}
    for name, entry in compose["services"].items():
        assert entry.get("restart") == (None if name in {"secrets", "operator"} else "on-failure" if name in jobs else "unless-stopped"), name
        assert ("healthcheck" in entry) == (name not in {*jobs, "scheduler"}), name


def test_the_sandbox_is_a_profile_on_which_nothing_else_depends(compose: dict[str, Any]) -> None:
    stands_in = {name for name, entry in compose["services"].items() if entry.get("profiles") == ["sandbox"]}
    assert stands_in == {sandbox.NODE, sandbox.SECOND_NODE, *sandbox.VENDORS, "chain", "wallet", "webhook"}
    for name, entry in compose["services"].items():
        if name not in stands_in:
            assert not set(entry.get("depends_on", {})) & stands_in, name
            assert entry["image"] != "paygateprime-sandbox"


def test_the_committed_env_selects_the_sandbox_and_holds_no_secret(compose: dict[str, Any]) -> None:
    lines = [line for line in (ROOT / ".env").read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    given = dict(line.split("=", maxsplit=1) for line in lines)
    assert given["COMPOSE_PROFILES"] == "sandbox"
    assert [name for name in given if name in CATALOGUE and CATALOGUE[name].secret] == []
    assert set(given) - set(CATALOGUE) == {
        "COMPOSE_PROJECT_NAME",
        "COMPOSE_PROFILES",
        "PGP_OPERATOR_IMAGE",
        "PGP_SECRETS_MISSING",
        "PGP_SIMULATORS",
        "EDGE_PORT",
    }
    # Every line is asked for, and every vendor's address is one of the sandbox.
    asked = {found["name"] for found in VARIABLE.finditer(json.dumps(compose))}
    assert set(given) - {"COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES"} <= asked
    hosts = {f"http://{alias}:8080" for name in sandbox.VENDORS for alias in compose["services"][name]["networks"]["default"]["aliases"]}
    hosts |= {f"http://{sandbox.NODE}:{sandbox.NODE_PORT}"}
    urls = {name: value for name, value in given.items() if name.endswith("_URL") and name != "BASE_URL"}
    assert len(urls) == 8
    assert [name for name, value in urls.items() if not any(value.startswith(host) for host in hosts)] == []
    assert given["BASE_URL"] == f"http://{compose['services']['edge']['networks']['default']['aliases'][0]}:{given['EDGE_PORT']}"


def test_what_must_be_set_is_asked_for_and_is_all_that_has_to_be_written(compose: dict[str, Any]) -> None:
    text = json.dumps(compose)
    assert {found["name"] for found in VARIABLE.finditer(text) if found["must"]} == set(ENV)
    assert VARIABLE.sub("", text).count("$") == 0


def test_the_helpers_of_the_fleet_are_given_what_they_read(compose: dict[str, Any], secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The flags are the emulator's own, and the password comes out of the file as the services read it.
    words = compose["services"]["queue"]["command"]
    assert words[:3] == ["python", "-m", "deploy.emulators.cloudtasks"]
    asked = emulator.flags([str(secrets / "queue" / "secrets.env") if word == "/run/secrets/secrets.env" else word for word in words[3:]])
    assert asked.database_url == DATABASE
    assert SecretsFile(secrets / "migrate" / "secrets.env").read("DATABASE_URL") == DATABASE
    assert (secrets / "postgres" / "password").read_text() == "a@b\n"
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
    text = re.sub(r"^COPY --from=.*$", "", (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    stages = dict(re.findall(r"^FROM \S+ AS (\w+)\n(.*?)(?=^FROM |\Z)", text, re.MULTILINE | re.DOTALL))
    assert list(stages)[-1] == "product"
    return {source for line in re.findall(r"^COPY (.+)$", stages[target], re.MULTILINE) for source in line.split()[:-1]}


def test_the_product_image_holds_no_simulator_no_test_and_no_local_runner() -> None:
    held = copied("fleet") | copied("product")
    assert {service.folder for service in FLEET} <= held
    assert not [name for name in held if re.match(r"deploy/?$|deploy/(simulators|local)|tests|bench|\.|secrets", name)]
    assert copied("sandbox") == {"deploy/simulators", "deploy/local", "deploy/sandbox"}
    built = copied("build") | copied("node")
    seen = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    # A file of a folder that is seen needs no line of its own.
    assert seen == {name for name in held | copied("sandbox") | built if not name.startswith("deploy/local/")}


def test_an_image_gets_results_and_no_tools() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"^COPY --from=(\w+) (\S+) \S+$", text, re.MULTILINE) == [("build", "/opt/venv"), ("node", "/opt/anvil")]
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["10001", "0", "10001"]
    installs = re.findall(r"^.*pip .*install.*$", text, re.MULTILINE)
    assert len(installs) == 2
    assert all("--require-hashes" in line and "--only-binary" in line for line in installs)
    assert not re.search(r"apt-get|gcc|https?://|index-url|ARG .*(KEY|TOKEN|SECRET|PASSWORD)", text)


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

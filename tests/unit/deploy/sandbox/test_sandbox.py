"""A container of the sandbox is started with what it alone is given; the play finds the fleet by the addresses inside the network."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from deploy.local import vendors
from deploy.sandbox import __main__ as launcher
from deploy.sandbox import credentials, node, stage
from PGP_COMMON import public_halves
from PGP_COMMON.errors import Misconfigured
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.rendering import sandbox
from PGP_COMMON.settings import CATALOGUE


@pytest.fixture(scope="module")
def known() -> dict[str, str]:
    made = credentials.completed({})
    return {**made, **public_halves.of(made)}


@pytest.mark.parametrize("name", [*sandbox.VENDORS, sandbox.SECOND_NODE])
def test_a_vendor_starts_with_its_own_credentials_alone(known: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = {each: known[each] for each in sandbox.secrets_of().get(name, ())}
    words = launcher.argv(name, {**own, "TELEGRAM_BOT_USERNAME": "bot"})
    assert words[:5] == [sys.executable, "-m", f"deploy.simulators.{name}", "--host", "0.0.0.0"]
    # Its own command line takes them, and nothing that it needs is empty.
    assert "" not in words
    monkeypatch.setattr("sys.argv", [name, *words[3:]])
    module = importlib.import_module(f"deploy.simulators.{name}.__main__")
    given = (module.read_flags if hasattr(module, "read_flags") else module.flags)()
    assert (given.host, given.port, str(given.state_dir)) == ("0.0.0.0", 8080, "/books")


def test_the_chain_is_furnished_by_whoever_owns_its_token(known: dict[str, str]) -> None:
    own = {each: known[each] for each in sandbox.secrets_of()["chain"]}
    words = " ".join(launcher.argv("chain", own))
    assert f"--token-key {known['token_owner']}" in words
    assert f"--wei {known['nowpayments_address']}={vendors.VENDOR_WEI}" in words
    assert f"--usdt {known['changenow_address']}={vendors.VENDOR_USDT_UNITS}" in words


def test_another_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert launcher.main("postgres") == 2
    assert "python -m deploy.sandbox" in capsys.readouterr().err


def test_what_is_known_is_kept_and_what_belongs_together_is_made_together(known: dict[str, str]) -> None:
    assert credentials.completed(known) == known
    assert known["USDT_CONTRACT"] == known["token"]
    again = credentials.completed({name: value for name, value in known.items() if name != "token_owner"})
    assert again["token_owner"] != known["token_owner"]
    assert again["token"] == again["USDT_CONTRACT"] != known["token"]
    assert {name for name in CATALOGUE if CATALOGUE[name].secret and CATALOGUE[name].default is None} <= set(known)


def test_the_node_goes_on_from_a_whole_state_and_ends_with_its_own_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "state.json"
    state.with_suffix(".copy.json").write_text('{"whole": 1}')
    state.write_text('{"who')
    seen = tmp_path / "seen"
    monkeypatch.setattr("deploy.local.anvil_node.command", lambda *_, **__: ("/bin/sh", "-c", f"cp {state} {seen}; sleep 0.4; exit 7"))
    monkeypatch.setattr(node, "TEND_S", 0.1)
    state_before = state.with_suffix(".copy.json").stat().st_mtime_ns
    assert node.run(tmp_path) == 7
    assert seen.read_text() == '{"whole": 1}'
    assert state.with_suffix(".copy.json").stat().st_mtime_ns > state_before


def test_the_play_comes_in_through_the_edge_and_finds_the_rest_inside() -> None:
    known = {service.url_setting: f"http://{service.name}:8080" for service in FLEET}
    known |= {"BASE_URL": "http://edge.test:1", "ETHEREUM_RPC_URL": "http://one,http://two"}
    found = stage.status(known, "telegram=http://telegram.test:8080,prices=http://prices.test:8080")
    urls = {service["name"]: service["url"] for service in found["services"]}
    assert [name for name, url in urls.items() if url == "http://edge.test:1"] == ["pgp-webapi-v1"]
    assert urls["pgp-server-v1"] == "http://pgp-server-v1:8080"
    assert found["simulators"] == {"telegram": "http://telegram.test:8080", "prices": "http://prices.test:8080"}
    assert found["rpc_url"] == "http://one"
    for malformed in ("telegram", "=http://x", "telegram="):
        with pytest.raises(Misconfigured, match="name=address"):
            stage.status(known, malformed)

"""The secrets of a local fleet are complete, well formed, private and kept."""

from __future__ import annotations

import stat
from pathlib import Path

import jwt
from eth_account import Account

from deploy.local import files, secrets, vendors
from deploy.local.files import StateDir
from PGP_COMMON.clients.secrets import SecretsFile
from PGP_COMMON.settings import CATALOGUE, PARSERS
from PGP_COMMON.tokens import parse_keys


def test_every_secret_that_must_be_given_is_made_in_its_form(tmp_path: Path) -> None:
    state = StateDir.at(tmp_path)
    secrets.init(state)
    source = SecretsFile(state.secrets)
    for setting in CATALOGUE.values():
        if setting.secret and setting.default is None and setting.name not in secrets.ADDRESSES:
            PARSERS[setting.kind](source.read(setting.name) or "")


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    state = StateDir.at(tmp_path)
    secrets.init(state)
    assert stat.S_IMODE(state.secrets.stat().st_mode) == 0o600


def test_a_second_call_changes_nothing_and_a_changed_value_is_kept(tmp_path: Path) -> None:
    state = StateDir.at(tmp_path)
    secrets.init(state)
    state.secrets.write_text(state.secrets.read_text() + "OWN_LINE=kept\n")
    before = state.secrets.read_text()
    assert secrets.init(state) == []
    assert state.secrets.read_text() == before


def test_a_missing_secret_is_added_beside_the_others(tmp_path: Path) -> None:
    state = StateDir.at(tmp_path)
    secrets.init(state)
    known = files.read_env(state.secrets)
    wallet = known.pop("HOST_WALLET_PRIVATE_KEY")
    files.write_env(state.secrets, known, heading="x")
    assert secrets.init(state) == ["HOST_WALLET_PRIVATE_KEY"]
    again = files.read_env(state.secrets)
    assert again["HOST_WALLET_PRIVATE_KEY"] != wallet
    assert {name: again[name] for name in known if not name.startswith("HOST_WALLET")} == {
        name: value for name, value in known.items() if not name.startswith("HOST_WALLET")
    }


def test_the_public_halves_belong_to_the_secrets(tmp_path: Path) -> None:
    state = StateDir.at(tmp_path)
    secrets.init(state)
    known = files.read_env(state.secrets)
    assert Account.from_key(known["HOST_WALLET_PRIVATE_KEY"]).address == known["HOST_WALLET_ETH_ADDRESS"] == known["HOST_WALLET_USDT_ADDRESS"]
    token = jwt.encode({"sub": "1"}, known["JWT_SECRET_KEY"].replace("\\n", "\n"), algorithm="EdDSA")
    assert jwt.decode(token, known["JWT_PUBLIC_KEY"].replace("\\n", "\n"), algorithms=["EdDSA"]) == {"sub": "1"}
    assert len(parse_keys(known["WEBHOOK_SIGNING_KEY"])) == 1


def test_two_fleets_share_no_secret(tmp_path: Path) -> None:
    one, two = StateDir.at(tmp_path / "one"), StateDir.at(tmp_path / "two")
    secrets.init(one)
    secrets.init(two)
    ours, theirs = files.read_env(one.secrets), files.read_env(two.secrets)
    assert {name for name in ours if ours[name] == theirs[name]} == {"NOWPAYMENTS_EMAIL"}


def test_the_vendors_keys_are_made_once_and_the_token_stands_where_its_owner_will_deploy_it(tmp_path: Path) -> None:
    from deploy.simulators.chain.deploy import token_address

    state = StateDir.at(tmp_path)
    known = vendors.keys(state)
    assert vendors.keys(state) == known
    assert known.token == token_address(Account.from_key(known.token_owner).address)

"""Secrets are parted among containers: each file has its own only, for one user's eyes, and nothing is written while one is missing."""

from __future__ import annotations

import io
import os
import shutil
import stat
from pathlib import Path

import pytest

from PGP_COMMON.cli import secrets
from PGP_COMMON.clients.secrets import SecretsFile, parsed
from PGP_COMMON.errors import Misconfigured
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.rendering import sandbox
from PGP_COMMON.rendering.containers import HANDED_OUT, PUBLIC_HALVES, USER_ID, handed_to, secrets_of
from PGP_COMMON.settings import CATALOGUE
from tests.support.settings import generated

GIVEN = {
    **generated(),
    "DATABASE_URL": "postgresql+pg8000://pgp:p%2Fw@postgres:5432/pgp",
    "ETHEREUM_RPC_URL": "https://rpc.example.com/key",
    "NOWPAYMENTS_PASSWORD": '"it\'s"',
    "ONEINCH_API_KEY": "",
}


def source(folder: Path, **more: str) -> Path:
    file = folder / "all.env"
    file.write_text("".join(secrets._line(name, value) for name, value in {**GIVEN, **more}.items()))
    return file


def read(out: Path, container: str) -> dict[str, str]:
    return parsed((out / container / "secrets.env").read_text())


def test_each_container_is_given_its_own_secrets_as_they_were(tmp_path: Path) -> None:
    secrets.split(tmp_path / "out", source(tmp_path))
    for container, names in secrets_of().items():
        wanted = (*names, *handed_to(container))
        assert read(tmp_path / "out", container) == {name: GIVEN[name] for name in wanted if GIVEN.get(name)}
    for service in FLEET:
        assert set(secrets_of()[service.name]) == {name for name in service.settings if CATALOGUE[name].secret}
        assert set(handed_to(service.name)) == set(HANDED_OUT) & set(service.settings)
    assert (tmp_path / "out" / "postgres" / "password").read_text() == "p/w\n"


def test_the_public_halves_follow_from_the_secrets_that_are_given(tmp_path: Path) -> None:
    file = source(tmp_path, **dict.fromkeys(PUBLIC_HALVES, ""))
    secrets.split(tmp_path / "out", file)
    assert read(tmp_path / "out", "pgp-hostpay3-v1")["HOST_WALLET_ETH_ADDRESS"] == GIVEN["HOST_WALLET_ETH_ADDRESS"]
    assert read(tmp_path / "out", "pgp-webapi-v1")["JWT_PUBLIC_KEY"] == GIVEN["JWT_PUBLIC_KEY"]


def test_nobody_else_may_read_them_even_if_he_could_before(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "pgp-hostpay3-v1").mkdir(parents=True)
    file = out / "pgp-hostpay3-v1" / "secrets.env"
    file.write_text("OLD=" + "x" * 10_000)
    file.chmod(0o644)
    # What a run that was killed left behind.
    file.with_name(".secrets.env.new").write_text("half")
    secrets.split(out, source(tmp_path))
    files = [each for each in out.rglob("*") if each.is_file()]
    assert len(files) == len(secrets_of()) + 1
    for each in files:
        known = each.stat()
        assert stat.S_IMODE(known.st_mode) == 0o600
        assert known.st_uid == (USER_ID if os.geteuid() == 0 else os.geteuid())
    assert "x" * 100 not in file.read_text()


def test_a_rotated_secret_reaches_a_container_that_runs_and_the_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    secrets.split(out, source(tmp_path))
    before = read(out, "operator")
    mounted = SecretsFile(out / "pgp-invite-v1" / "secrets.env")
    assert mounted.read("TELEGRAM_BOT_TOKEN") == GIVEN["TELEGRAM_BOT_TOKEN"]
    # As `docker compose run --rm -T secrets ... < FILE` gives it, and only what has changed.
    monkeypatch.setattr("sys.stdin", io.StringIO("TELEGRAM_BOT_TOKEN=1:new\n"))
    secrets.split(out, Path("-"))
    assert mounted.read("TELEGRAM_BOT_TOKEN") == "1:new"
    assert read(out, "operator") == {**before, "TELEGRAM_BOT_TOKEN": "1:new"}


def test_the_job_refuses_what_nobody_has_given_and_is_content_with_what_is_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(Misconfigured) as error:
        secrets.deliver(out)
    assert "NOWPAYMENTS_API_KEY is missing (NOWPayments' API key)" in str(error.value)
    assert "pgp secrets split --from - --out /secrets" in str(error.value)
    assert not out.exists()
    secrets.split(out, source(tmp_path))
    before = {each: each.read_text() for each in out.rglob("*") if each.is_file()}
    secrets.deliver(out)
    assert {each: each.read_text() for each in out.rglob("*") if each.is_file()} == before


def test_the_sandbox_makes_all_that_is_missing_once_even_if_it_is_stopped_in_the_middle(tmp_path: Path) -> None:
    out = tmp_path / "out"
    secrets.deliver(out, secrets.Missing.MAKE)
    before = {each: each.read_text() for each in out.rglob("*") if each.is_file()}
    assert {each.parent.name for each in before} == {"postgres", *secrets_of(), *sandbox.secrets_of()}
    for container, names in sandbox.secrets_of().items():
        assert set(read(out, container)) == set(names)
    assert read(out, "pgp-hostpay3-v1")["USDT_CONTRACT"] == read(out, "nowpayments")["token"]
    # As if a first run had come no further than these.
    for container in ("postgres", "pgp-server-v1", "telegram", "webhook"):
        shutil.rmtree(out / container)
    secrets.deliver(out, secrets.Missing.MAKE)
    assert {each: each.read_text() for each in out.rglob("*") if each.is_file()} == before


def test_what_a_person_gives_wins_over_what_the_sandbox_made(tmp_path: Path) -> None:
    out = tmp_path / "out"
    secrets.deliver(out, secrets.Missing.MAKE)
    secrets.split(out, source(tmp_path))
    for missing in secrets.Missing:
        secrets.deliver(out, missing)
        for container, names in secrets_of().items():
            wanted = {name: GIVEN[name] for name in names if GIVEN.get(name)}
            assert {name: value for name, value in read(out, container).items() if name in wanted} == wanted


def test_what_is_left_of_a_sandbox_fills_no_gap_in_production(tmp_path: Path) -> None:
    out = tmp_path / "out"
    secrets.deliver(out, secrets.Missing.MAKE)
    for container in secrets_of():
        shutil.rmtree(out / container)
    with pytest.raises(Misconfigured, match="TELEGRAM_BOT_TOKEN is missing"):
        secrets.deliver(out)


def test_a_key_that_is_none_is_said_without_its_value(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as error:
        secrets.split(tmp_path / "out", source(tmp_path, JWT_SECRET_KEY="no key at all"))
    assert "is no private key" in str(error.value)
    assert "no key at all" not in str(error.value)


def test_everything_that_is_wrong_is_said_without_a_value_and_nothing_is_written(tmp_path: Path) -> None:
    file = source(tmp_path, SENDGRID_API_KEY="", WEBHOOK_SIGNING_KEY="k1:short", DATABASE_URL="postgresql+pg8000://pgp@postgres/pgp")
    with pytest.raises(Misconfigured) as error:
        secrets.split(tmp_path / "out", file)
    sentence = str(error.value)
    assert "SENDGRID_API_KEY is missing" in sentence
    assert "WEBHOOK_SIGNING_KEY is malformed" in sentence
    assert "DATABASE_URL must be given, with its password" in sentence
    assert "k1:short" not in sentence
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"none\.env cannot be read"):
        secrets.split(tmp_path / "out", tmp_path / "none.env")

"""Secrets are parted among containers: each file has its own only, for one user's eyes, and nothing is written while one is missing."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from PGP_COMMON.cli import secrets
from PGP_COMMON.clients.secrets import SecretsFile, parsed
from PGP_COMMON.errors import Misconfigured
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.rendering.compose import USER_ID, secrets_of
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


def test_each_container_is_given_its_own_secrets_as_they_were(tmp_path: Path) -> None:
    secrets.split(tmp_path / "out", source(tmp_path))
    for container, names in secrets_of().items():
        found = parsed((tmp_path / "out" / f"{container}.env").read_text())
        assert found == {name: GIVEN[name] for name in names if GIVEN.get(name)}
    for service in FLEET:
        assert set(secrets_of()[service.name]) == {name for name in service.settings if CATALOGUE[name].secret}
    assert (tmp_path / "out" / "postgres.env").read_text() == "p/w\n"


def test_nobody_else_may_read_them_even_if_he_could_before(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "pgp-hostpay3-v1.env").write_text("x" * 10_000)
    (out / "pgp-hostpay3-v1.env").chmod(0o644)
    secrets.split(out, source(tmp_path))
    for file in out.iterdir():
        known = file.stat()
        assert stat.S_IMODE(known.st_mode) == 0o600
        assert known.st_uid == (USER_ID if os.geteuid() == 0 else os.geteuid())
    assert "x" * 100 not in (out / "pgp-hostpay3-v1.env").read_text()


def test_a_rotated_secret_reaches_a_container_that_runs(tmp_path: Path) -> None:
    out = tmp_path / "out"
    secrets.split(out, source(tmp_path))
    # What a container has mounted is the file itself, whatever is at its name later.
    (tmp_path / "mounted").hardlink_to(out / "pgp-invite-v1.env")
    mounted = SecretsFile(tmp_path / "mounted")
    assert mounted.read("TELEGRAM_BOT_TOKEN") == GIVEN["TELEGRAM_BOT_TOKEN"]
    secrets.split(out, source(tmp_path, TELEGRAM_BOT_TOKEN="1:new"))
    assert mounted.read("TELEGRAM_BOT_TOKEN") == "1:new"


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

"""Settings: all that is wrong is named at once, nobody reads what is not his, and a changed secret takes effect by itself."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from PGP_COMMON.clients.secrets import CachedSecrets
from PGP_COMMON.config import BaseConfigManager
from PGP_COMMON.directory import service_named
from PGP_COMMON.errors import Misconfigured, VendorDown
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.settings import CATALOGUE, PARSERS, Kind
from tests.support.settings import environ

INVITE = service_named("pgp-invite-v1")


@pytest.mark.parametrize("service", FLEET, ids=lambda service: service.short)
def test_every_missing_setting_is_named_in_one_sentence_before_anything_starts(service: object) -> None:
    with pytest.raises(Misconfigured) as error:
        BaseConfigManager(service, {"SECRETS_FILE": "/dev/null"})  # type: ignore[arg-type]
    wanted = [name for name in service.settings if CATALOGUE[name].default is None]  # type: ignore[attr-defined]
    assert wanted
    assert all(f"{name} is missing" in str(error.value) for name in wanted)


def test_a_malformed_setting_is_named_without_its_value() -> None:
    with pytest.raises(Misconfigured) as error:
        BaseConfigManager(INVITE, environ("x", WEBHOOK_SIGNING_KEY="not-a-key-at-all", WAKE_GRACE_S="soon", TASK_OIDC="yes"))
    sentence = str(error.value)
    assert all(name in sentence for name in ("WEBHOOK_SIGNING_KEY", "WAKE_GRACE_S", "TASK_OIDC"))
    assert "not-a-key-at-all" not in sentence


def test_secrets_that_cannot_be_read_hide_nothing_else_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as error:
        BaseConfigManager(INVITE, {"SECRETS_FILE": str(tmp_path / "none"), "SECRETS_TTL_S": "soon"})
    assert "TELEGRAM_BOT_USERNAME is missing" in str(error.value)
    assert "SECRETS_TTL_S is malformed" in str(error.value)
    assert re.search(r"DATABASE_URL, [A-Z_, ]*TELEGRAM_BOT_TOKEN cannot be read \(the secrets file cannot be read\)", str(error.value))


def test_a_plain_setting_may_stand_beside_the_secrets_and_the_environment_wins_over_it(tmp_path: Path) -> None:
    file = tmp_path / "secrets.env"
    given = {name: value for name, value in environ("x").items() if name in {*INVITE.settings, *BaseConfigManager(INVITE, environ("x")).names}}
    file.write_text("TELEGRAM_BOT_USERNAME=from_the_file\n")
    beside = {**given, "SECRETS_FILE": str(file), "TELEGRAM_BOT_USERNAME": ""}
    assert BaseConfigManager(INVITE, beside).text("TELEGRAM_BOT_USERNAME") == "from_the_file"
    assert BaseConfigManager(INVITE, {**beside, "TELEGRAM_BOT_USERNAME": "from_outside"}).text("TELEGRAM_BOT_USERNAME") == "from_outside"


def test_a_vendor_of_secrets_that_is_away_is_asked_once() -> None:
    asked = []

    class Away:
        def read(self, name: str) -> str | None:
            asked.append(name)
            raise VendorDown

    class Config(BaseConfigManager):
        def _secret_source(self) -> CachedSecrets:
            return CachedSecrets(Away(), ttl_s=60)

    with pytest.raises(Misconfigured, match=r"WEBHOOK_SIGNING_KEY.* cannot be read.*in trouble"):
        Config(INVITE, {"DATABASE_URL": "x"})
    assert len(asked) == 1


def test_a_service_cannot_read_what_the_manifest_does_not_give_it() -> None:
    config = BaseConfigManager(INVITE, environ("x"))
    with pytest.raises(KeyError):
        config.secret("HOST_WALLET_PRIVATE_KEY")
    assert [service.name for service in FLEET if "HOST_WALLET_PRIVATE_KEY" in service.settings] == ["pgp-hostpay3-v1"]


def test_a_changed_secret_takes_effect_without_a_restart_and_a_broken_one_does_not(tmp_path: Path) -> None:
    file = tmp_path / "secrets.env"
    known = environ("x", SECRETS_FILE=str(file), SECRETS_TTL_S="0")
    first, second = f"k1:{'1' * 64}", f"k2:{'2' * 64}"
    known.pop("WEBHOOK_SIGNING_KEY")
    _write(file, f"WEBHOOK_SIGNING_KEY={first}\n", at=1)
    config = BaseConfigManager(INVITE, known)
    assert config.secret("WEBHOOK_SIGNING_KEY") == first
    _write(file, f"WEBHOOK_SIGNING_KEY={second}\n", at=2)
    assert config.secret("WEBHOOK_SIGNING_KEY") == second
    _write(file, "WEBHOOK_SIGNING_KEY=broken\n", at=3)
    assert config.secret("WEBHOOK_SIGNING_KEY") == second
    file.unlink()
    assert config.secret("WEBHOOK_SIGNING_KEY") == second


def _write(file: Path, text: str, *, at: int) -> None:
    file.write_text(text)
    os.utime(file, (at, at))


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Kind.FLAG, "true", "True"),
        (Kind.INTEGER, "12", "-1"),
        (Kind.SECONDS, "5", "5s"),
        (Kind.DECIMAL, "2.5", "NaN"),
        (Kind.URL, "https://a.b/c", "ftp://a"),
        (Kind.URLS, "https://a.b, https://c.d", "https://a.b, x"),
        (Kind.ADDRESS, "0x" + "a" * 40, "0x" + "a" * 39),
        (Kind.PRIVATE_KEY, "0x" + "a" * 64, "a" * 64),
        (Kind.KEYS, f"k1:{'a' * 64}", "k1:short"),
    ],
)
def test_a_setting_is_read_strictly(kind: Kind, good: str, bad: str) -> None:
    PARSERS[kind](good)
    with pytest.raises(ValueError):  # noqa: PT011 - each kind has its own sentence
        PARSERS[kind](bad)


def test_every_default_is_well_formed() -> None:
    for setting in CATALOGUE.values():
        if setting.default:
            PARSERS[setting.kind](setting.default)
        assert setting.help
        assert not (setting.secret and setting.default)

"""Passwords that anybody would guess are refused; the others are kept as hashes."""

from __future__ import annotations

import threading
import time

import pytest

from PGP_COMMON.errors import BadInput, Busy
from PGP_WEBAPI_v1 import passwords

EMAIL = "olga.owner@shop.test"


@pytest.mark.parametrize(
    "password",
    [
        "password",
        "Password1!",
        "P@ssw0rd123",
        "12345678",
        "19840312",
        "qwertyui",
        "Qwertz123",
        "asdfghjk",
        "1qaz2wsx",
        "abcdefgh",
        "hgfedcba",
        "11111111",
        "abababab",
        "aabbccdd",
        "iloveyou2",
        "sunshine!!",
        "Dragon2024",
        "letmein99",
        "monkeymonkey",
        "paygateprime-2026",
        "my telegram bot",
        "olga.owner1990",
        "123password",
    ],
)
def test_what_anybody_would_try_is_refused(password: str) -> None:
    assert passwords.problem(password, EMAIL)
    with pytest.raises(BadInput):
        passwords.hashed(password, EMAIL)


@pytest.mark.parametrize(
    "password", ["correct horse battery", "xK9#mQ2$vL", "zwölf Boxkämpfer", "dragonfly in amber", "7f3a9c1e5b2d", "ein Password fehlt", "4929 1173 8846 2075"]
)
def test_what_nobody_would_guess_is_taken(password: str) -> None:
    assert passwords.problem(password, EMAIL) is None


def test_a_short_address_forbids_nothing() -> None:
    assert passwords.problem("correct horse battery", "a@b.cc") is None
    assert passwords.problem("correct horse battery", "") is None


def test_a_hash_fits_its_password_and_no_other() -> None:
    kept = passwords.hashed("correct horse battery", EMAIL)
    assert kept.startswith("$argon2id$")
    assert passwords.fits(kept, "correct horse battery")
    assert not passwords.fits(kept, "correct horse battery ")
    assert kept != passwords.hashed("correct horse battery", EMAIL)


@pytest.mark.parametrize("stored", ["", "x", "$argon2id$v=19$m=1,t=1,p=1$x$y", "plain text"])
def test_what_is_no_hash_fits_nothing(stored: str) -> None:
    assert passwords.fits(stored, "plain text") is False


def test_a_zero_within_a_password_counts() -> None:
    assert not passwords.fits(passwords.hashed("abc\x00defghi", EMAIL), "abc")


def test_at_most_two_are_hashed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "WAIT_S", 0.05)
    with passwords._turns, passwords._turns:
        started = time.monotonic()
        with pytest.raises(Busy):
            passwords.fits(passwords.NOBODY, "x")
        assert time.monotonic() - started < 2
    threads = [threading.Thread(target=passwords.fits, args=(passwords.NOBODY, "x")) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not passwords.fits(passwords.NOBODY, "x")

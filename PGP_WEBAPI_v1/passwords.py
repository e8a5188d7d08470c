"""Passwords: hashed with argon2id, at most two at once, and refused when anybody would guess them."""

from __future__ import annotations

import threading

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from PGP_COMMON.errors import BadInput, Busy

# 19 MiB and two passes is OWASP's floor for argon2id; two at once keep the instance answering others (money.md 14).
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_turns = threading.BoundedSemaphore(2)
WAIT_S = 5
COMMON = frozenset(
    {
        "password", "passwort", "12345678", "123456789", "1234567890", "qwertyui", "qwerty123", "iloveyou", "password1", "11111111",
        "abc12345", "letmein1", "welcome1", "football", "baseball", "superman", "trustno1", "sunshine", "princess",
    }
)  # fmt: skip
CONTEXT = ("paygate", "telegram", "nowpayments")
# Verified against when the account does not exist, so that both answers take the same time.
NOBODY = _hasher.hash("nobody's password")


def problem(password: str, email: str) -> str | None:
    """Why a password is too easy, or None."""
    plain = password.lower()
    if plain in COMMON or len(set(plain)) < 4:  # noqa: PLR2004 - "aaaaaaaa", "abababab"
        return "is one of the first that anybody would try"
    if any(word in plain for word in CONTEXT) or email.partition("@")[0].lower() in plain:
        return "must not contain your address or our name"
    return None


def _in_turn(work: str, *arguments: str) -> object:
    if not _turns.acquire(timeout=WAIT_S):
        raise Busy("too many people sign in at once", retry_after_s=2)
    try:
        return getattr(_hasher, work)(*arguments)
    finally:
        _turns.release()


def hashed(password: str, email: str) -> str:
    """The hash that is kept; raises BadInput when the password is too easy."""
    fault = problem(password, email)
    if fault:
        raise BadInput("Choose another password.", fields={"password": fault})
    return str(_in_turn("hash", password))


def fits(stored: str, password: str) -> bool:
    """Whether a password is the stored one."""
    try:
        return bool(_in_turn("verify", stored, password))
    except (Argon2Error, InvalidHashError):
        return False

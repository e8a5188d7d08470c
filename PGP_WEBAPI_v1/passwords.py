"""Passwords: hashed with argon2id, at most two at once, and refused when anybody would guess them."""

from __future__ import annotations

import re
import threading
import unicodedata
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from PGP_COMMON.errors import BadInput, Busy

# 19 MiB and two passes is OWASP's floor for argon2id; two at once keep the instance answering others (money.md 14).
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_turns = threading.BoundedSemaphore(2)
WAIT_S = 5
# The words that the lists of leaked passwords are made of; people put figures and signs around them and swap letters for figures.
WORDS = frozenset((Path(__file__).parent / "words.txt").read_text(encoding="utf-8").split())
CONTEXT = ("paygate", "telegram", "nowpayments")
ROWS = ("abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "qwertzuiop", "asdfghjkl", "zxcvbnm", "yxcvbnm", "1qaz2wsx3edc4rfv5tgb", "qazwsxedcrfv")
FIGURES = str.maketrans("01345$@!", "oleassai")
# The shortest part of an address that tells something; "a@b.co" does not forbid every password with an a.
TELLING = 4
# Verified against when the account does not exist, so that both answers take the same time.
NOBODY = _hasher.hash("nobody's password")


def problem(password: str, email: str) -> str | None:
    """Why a password is too easy, or None."""
    plain = _normal(password).lower()
    name = email.partition("@")[0].lower()
    if any(word in plain for word in CONTEXT) or (len(name) >= TELLING and name in plain):
        return "must not contain your address or our name"
    letters = re.sub(r"[\W\d_]+$|^[\W\d_]+", "", plain)
    swapped = re.sub(r"[\W\d_]+", "", plain.rstrip("0123456789").translate(FIGURES))
    # "aaaaaaaa" and "abababab"; and figures alone, which are dates and telephone numbers.
    few = len(set(plain)) < 5 or (plain.isdigit() and len(plain) < 16)  # noqa: PLR2004 - see above
    if few or _runs(plain) or {letters, swapped} & WORDS or _twice(letters) in WORDS:
        return "is one of the first that anybody would try"
    return None


def _runs(plain: str) -> bool:
    """Whether the keyboard or the alphabet alone wrote it, forwards or backwards."""
    return any(plain in row * 2 or plain[::-1] in row * 2 for row in ROWS)


def _twice(text: str) -> str:
    """A word that is written twice, once."""
    half = text[: len(text) // 2]
    return half if half * 2 == text else text


def _normal(password: str) -> str:
    """The one way to write what two keyboards write differently."""
    return unicodedata.normalize("NFKC", password)


def check(password: str, email: str) -> None:
    """Raises BadInput when a password is too easy."""
    fault = problem(password, email)
    if fault:
        raise BadInput("Choose another password.", fields={"password": fault})


def hashed(password: str, email: str) -> str:
    """The hash that is kept; raises BadInput when the password is too easy, Busy when too many wait."""
    check(password, email)
    return str(_in_turn("hash", _normal(password)))


def fits(stored: str, password: str) -> bool:
    """Whether a password is the stored one."""
    try:
        return bool(_in_turn("verify", stored, _normal(password)))
    except (Argon2Error, InvalidHashError):
        return False


def _in_turn(work: str, *arguments: str) -> object:
    if not _turns.acquire(timeout=WAIT_S):
        raise Busy("too many people sign in at once", retry_after_s=2)
    try:
        return getattr(_hasher, work)(*arguments)
    finally:
        _turns.release()

"""Who an owner is: registration, sign-in, sessions and passwords; what an outsider sees never tells whether an account exists."""

from __future__ import annotations

import hashlib
import secrets
import time
import uuid
from dataclasses import dataclass

from PGP_COMMON.database import BaseDatabaseManager, Transaction
from PGP_COMMON.errors import BadInput, Forbidden, Unauthenticated
from PGP_COMMON.money_machines import audit, mails, one_time_tokens, owners
from PGP_WEBAPI_v1 import account_store, forms, passwords

HOUR_S = 3600
DAY_S = 86400
REFRESH_S = 30 * DAY_S
# Two requests with one refresh token that cross each other are one person's; later ones are a thief's (money.md 14).
GRACE_S = 10
# What writes a row for somebody and nothing for nobody answers no sooner than this: longer than a password's hash and a task's publication.
UNHURRIED_S = 0.25
WRONG = "This e-mail address and password do not fit together."
STALE = "This link is not valid any more."


@dataclass(frozen=True)
class Session:
    """Who is signed in, with the refresh token for the next time."""

    account_id: int
    refresh_token: str


def _take_time(started: float) -> None:
    """Let the time of the answer say nothing of whether an account exists."""
    time.sleep(max(0.0, UNHURRIED_S - (time.monotonic() - started)))


def register(db: BaseDatabaseManager, form: forms.Register) -> None:
    """Make an account and mail its verification; says and does the same, seen from outside, when the address is taken.

    Registering an address that nobody has verified starts over: only the newest mail works, and it stands for the newest password.
    """
    started = time.monotonic()
    hashed = passwords.hashed(form.password, form.email)
    with db.transaction() as tx:
        account_id = account_store.add_account(tx, email=form.email, password_hash=hashed)
        if account_id is not None:
            owners.add(tx, account_id=account_id, display_name=form.display_name)
        else:
            account_id = account_store.restart_account(tx, email=form.email, password_hash=hashed)
        if account_id is not None:
            one_time_tokens.withdraw(tx, account_id=account_id, purpose="verify_email")
            mails.send(tx, "verify_email", account_id, token=one_time_tokens.issue(tx, account_id=account_id, purpose="verify_email", lifetime_s=DAY_S))
    _take_time(started)


def verify_email(db: BaseDatabaseManager, token: str) -> None:
    """Note that an address is its owner's; raises BadInput for a token that is not valid (any more)."""
    with db.transaction() as tx:
        account_id = one_time_tokens.use(tx, token, "verify_email")
        if account_id is None:
            raise BadInput(f"{STALE} Register again to get a new one.")
        account_store.verify_email(tx, account_id)


def sign_in(db: BaseDatabaseManager, form: forms.Login) -> Session:
    """Check a password; raises Unauthenticated with the same sentence and in the same time whoever is unknown."""
    account = _recognised(db, form)
    if not account.email_verified:
        raise Forbidden("Please open the link in the mail we sent you first.")
    with db.transaction() as tx:
        account_store.note_login(tx, account.id)
        return _new_session(tx, account.id, family=str(uuid.uuid4()), parent_id=None)


def _recognised(db: BaseDatabaseManager, form: forms.Login) -> account_store.Account:
    started = time.monotonic()
    with db.reading() as tx:
        account = account_store.account_by_email(tx, form.email)
    right = passwords.fits(account.password_hash if account else passwords.NOBODY, form.password)
    if account is not None and not account.locked:
        if right:
            return account
        with db.reading() as tx:
            account_store.note_failed_login(tx, account.id)
    _take_time(started)
    raise Unauthenticated(WRONG)


def _new_session(tx: Transaction, account_id: int, *, family: str, parent_id: int | None) -> Session:
    token = secrets.token_urlsafe(32)
    account_store.add_refresh_token(tx, account_id=account_id, family=family, token_hash=_hash(token), parent_id=parent_id, lifetime_s=REFRESH_S)
    return Session(account_id, token)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def refresh(db: BaseDatabaseManager, token: str) -> Session:
    """Swap a refresh token for a new one. A second request that crosses the first gets its own; any other second use ends the whole family."""
    with db.transaction() as tx:
        found = account_store.lock_refresh_token(tx, _hash(token))
        if found is not None and not found.revoked and not found.expired:
            crossed = found.used_seconds_ago <= GRACE_S and found.successors == 1 and not found.used_successors
            if not found.used or crossed:
                account_store.use_refresh_token(tx, found.id)
                return _new_session(tx, found.account_id, family=found.family, parent_id=found.id)
            account_store.revoke_family(tx, found.family)
    raise Unauthenticated("Please sign in again.")


def sign_out(db: BaseDatabaseManager, token: str) -> None:
    """End a session; the same answer for a token that nobody knows."""
    with db.transaction() as tx:
        found = account_store.lock_refresh_token(tx, _hash(token))
        if found is not None:
            account_store.revoke_family(tx, found.family)


def signed_in(db: BaseDatabaseManager, account_id: int) -> account_store.Account:
    """The account behind an access token; raises Unauthenticated when it is gone."""
    with db.reading() as tx:
        account = account_store.account_by_id(tx, account_id)
    if account is None:
        raise Unauthenticated("Please sign in again.")
    return account


def forgot_password(db: BaseDatabaseManager, email: str) -> None:
    """Mail a way to a new password; the same, seen from outside, for an address that nobody has."""
    started = time.monotonic()
    with db.transaction() as tx:
        account = account_store.account_by_email(tx, email)
        if account is not None:
            one_time_tokens.withdraw(tx, account_id=account.id, purpose="reset_password")
            mails.send(tx, "reset_password", account.id, token=one_time_tokens.issue(tx, account_id=account.id, purpose="reset_password", lifetime_s=HOUR_S))
    _take_time(started)


def reset_password(db: BaseDatabaseManager, form: forms.ResetPassword) -> None:
    """Set a new password with a mailed token, which also shows that the address is his; raises BadInput."""
    # Hashing takes longer than a transaction should be open, and needs no account: his address is only asked for below.
    hashed = passwords.hashed(form.password, "")
    with db.transaction() as tx:
        account_id = one_time_tokens.use(tx, form.token, "reset_password")
        account = account_store.account_by_id(tx, account_id) if account_id is not None else None
        if account is None:
            raise BadInput(f"{STALE} Ask for a new one.")
        passwords.check(form.password, account.email)
        account_store.verify_email(tx, account.id)
        _replace_password(tx, account, hashed, reason="asked for by mail")


def change_password(db: BaseDatabaseManager, account: account_store.Account, form: forms.PasswordChange) -> None:
    """Replace a password by whoever knows it; raises Forbidden, BadInput."""
    if not passwords.fits(account.password_hash, form.password):
        raise Forbidden("The password is not right.")
    hashed = passwords.hashed(form.new_password, account.email)
    with db.transaction() as tx:
        _replace_password(tx, account, hashed, reason="asked for by the owner")


def _replace_password(tx: Transaction, account: account_store.Account, hashed: str, *, reason: str) -> None:
    """Every session ends, every link to a new password is void, and the owner hears of it."""
    account_store.change_password(tx, account.id, password_hash=hashed)
    account_store.revoke_all(tx, account.id)
    one_time_tokens.withdraw(tx, account_id=account.id, purpose="reset_password")
    mails.send(tx, "password_changed", account.id)
    audit.record(tx, actor=f"account {account.id}", action="change password", subject=f"account {account.id}", reason=reason)

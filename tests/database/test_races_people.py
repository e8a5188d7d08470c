"""A buyer's renewal beside the end of his time, and an owner's session that is used in two places at once."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest

from PGP_COMMON.database import BaseDatabaseManager
from PGP_COMMON.errors import Unauthenticated
from PGP_WEBAPI_v1 import account_store, sessions
from tests.support.crowd import a_crowd, at_once
from tests.support.town import Town

DAY_S = 86400
BUYERS = 6


def end_all(town: Town) -> None:
    town.ring("server", "/expire-subscriptions", settle=False)
    town.settle()


def test_a_renewal_that_races_the_end_loses_no_day_and_leaves_nobody_outside(town: Town) -> None:
    """Whoever is first: the paid days follow one another or begin now, and whoever has access is in or has a way in."""
    owner = town.owner()
    buyers = [town.buyer(f"Bea {number}") for number in range(BUYERS)]
    for buyer in buyers:
        town.enter(owner, buyer)
    town.later(30 * DAY_S)
    engine = town.apps["server"].extensions["pgp"].engine
    entitlements = dict(town.rows("SELECT m.buyer_id, e.id FROM entitlement e JOIN membership m ON m.id = e.membership_id"))
    for entitlement in entitlements.values():
        with town.db.transaction() as tx:
            tx.send("entitlement.expire", entitlement)
    ends = [lambda id_=entitlements[buyer.id]: engine.run("entitlement.expire", str(id_)) for buyer in buyers]
    renewals = [lambda who=buyer: town.sell(owner, who) for buyer in buyers]
    at_once(*(work for pair in zip(ends, renewals, strict=True) for work in pair))
    town.settle()
    end_all(town)
    assert town.letters() == []
    for buyer in buyers:
        first, second = town.rows(
            "SELECT e.starts_at, e.ends_at, e.expired_at IS NOT NULL FROM entitlement e JOIN membership m ON m.id = e.membership_id WHERE m.buyer_id = :b ORDER BY e.id",
            b=buyer.id,
        )
        assert second[1] - second[0] == first[1] - first[0]
        assert second[0] >= first[1]
        assert (first[2], second[2]) == (True, False)
        if not buyer.is_in(owner):
            buyer.joins(town.value("SELECT join_link FROM channel WHERE id = :id", id=owner.channel_id))
            town.settle()
        assert buyer.is_in(owner)
        present, removed = town.rows("SELECT present, removed_at IS NOT NULL FROM membership WHERE buyer_id = :b", b=buyer.id)[0]
        assert present, removed


# --- one session in two places


@pytest.fixture
def account(db: BaseDatabaseManager) -> int:
    with db.transaction() as tx:
        return int(tx.value("INSERT INTO account (email, password_hash, email_verified_at) VALUES ('a@b.test', 'x', pgp_now()) RETURNING id"))


def sign_in(db: BaseDatabaseManager, account: int) -> str:
    with db.transaction() as tx:
        return sessions._new_session(tx, account, family=str(secrets.token_hex(16)), parent_id=None).refresh_token


def use(db: BaseDatabaseManager, token: str) -> str | None:
    try:
        return sessions.refresh(db, token).refresh_token
    except Unauthenticated:
        return None


def is_alive(db: BaseDatabaseManager, token: str) -> bool:
    with db.reading() as tx:
        return bool(tx.value("SELECT revoked_at IS NULL FROM refresh_token WHERE token_hash = :hash", hash=sessions._hash(token)))


def test_a_token_that_two_requests_use_at_once_keeps_its_family_and_a_third_use_ends_it(db: BaseDatabaseManager, account: int) -> None:
    for _ in range(20):
        token = sign_in(db, account)
        one, two = at_once(lambda t=token: use(db, t), lambda t=token: use(db, t))
        assert None not in {one, two}
        assert one != two
        assert [is_alive(db, new) for new in (one, two)] == [True, True]
        assert use(db, token) is None
        assert [is_alive(db, new) for new in (one, two)] == [False, False]


def test_of_eight_uses_at_once_at_most_two_are_answered_and_the_family_is_over(db: BaseDatabaseManager, account: int) -> None:
    for _ in range(10):
        token = sign_in(db, account)
        given = [new for new in at_once(*[lambda t=token: use(db, t)] * 8) if new]
        assert len(given) == 2
        assert not any(is_alive(db, new) for new in given)
        assert [use(db, new) for new in given] == [None, None]


def successor_of(db: BaseDatabaseManager, account: int, newest: str, rival: Callable[[], object]) -> str:
    """What a use of the newest token gives, while a rival begins and has to wait until that use is over."""
    with a_crowd() as crowd:
        with db.transaction() as tx:
            found = account_store.lock_refresh_token(tx, sessions._hash(newest))
            assert found
            running = crowd.start(rival)
            running.join(0.3)
            account_store.use_refresh_token(tx, found.id)
            made = sessions._new_session(tx, account, family=found.family, parent_id=found.id).refresh_token
        running.join()
    return made


def test_a_thief_who_races_the_owners_next_refresh_leaves_no_token_of_the_family_alive(db: BaseDatabaseManager, account: int) -> None:
    stolen = sign_in(db, account)
    newest = str(use(db, str(use(db, stolen))))
    successor = successor_of(db, account, newest, lambda: use(db, stolen))
    assert not is_alive(db, successor)
    assert use(db, successor) is None


def test_a_new_password_that_races_a_refresh_ends_that_session_too(db: BaseDatabaseManager, account: int) -> None:
    def end_every_session() -> None:
        with db.transaction() as tx:
            account_store.revoke_all(tx, account)

    newest = str(use(db, sign_in(db, account)))
    assert not is_alive(db, successor_of(db, account, newest, end_every_session))


def test_ends_of_one_family_from_two_sides_never_lock_each_other_out(db: BaseDatabaseManager, account: int) -> None:
    """Both end the whole family, from its first token and from its last: in one order, or one of them would be told that we are busy."""
    for _ in range(10):
        first = sign_in(db, account)
        last = first
        for _ in range(12):
            last = str(use(db, last))
        at_once(lambda t=first: use(db, t), lambda t=last: sessions.sign_out(db, t), lambda t=first: use(db, t), lambda t=last: sessions.sign_out(db, t))
        assert not is_alive(db, last)

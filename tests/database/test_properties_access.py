"""Any history of purchases, upgrades, revocations and time that passes keeps every day that was paid for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from PGP_COMMON.database import BaseDatabaseManager, Transaction
from PGP_COMMON.money_machines import access
from tests.support.engines import Bench

BUYER, CHANNEL, CLOSED = 77, 1, -1001
ORDERS = 12
HOUR_S, DAY_H = 3600, 24
# A purchase of so many days, hours that pass, or the revocation of the n-th purchase.
buys = st.tuples(st.just("buy"), st.sampled_from([1, 7, 30, 31, 365, 3660]))
waits = st.tuples(st.just("wait"), st.integers(0, 90 * DAY_H))
revocations = st.tuples(st.just("revoke"), st.integers(0, ORDERS - 1))
histories = st.lists(st.one_of(buys, buys, waits, waits, revocations), min_size=1, max_size=ORDERS)


@dataclass
class Bought:
    """One purchase as the model has it: hours from the beginning of the world."""

    starts: int
    ends: int
    revoked: bool = False
    expired: bool = False


@dataclass
class Model:
    """What a buyer is owed, in thirty lines: a purchase begins at the end of what he has, or now."""

    now: int = 0
    bought: list[Bought] = field(default_factory=list)

    def buy(self, days: int) -> None:
        starts = max([self.now, *(one.ends for one in self.bought if not one.revoked)])
        self.bought.append(Bought(starts, starts + days * DAY_H))

    def revoke(self, number: int) -> None:
        if number < len(self.bought):
            self.bought[number].revoked = True

    def live_until(self) -> int | None:
        """The end of the last that is not over, if anything is not: what follows is owed too."""
        return max((one.ends for one in self.bought if not one.revoked and one.ends > self.now), default=None)

    def over(self, number: int) -> bool:
        return self.bought[number].revoked or self.bought[number].ends <= self.now


class Undo(Exception):
    """Every history is forgotten again."""


# With --long.
LONGEST_S = 3_600


@pytest.fixture
def db(database_url: str) -> Iterator[BaseDatabaseManager]:
    """A channel, a buyer and a dozen orders; the time is what the transaction says."""
    bench = Bench(database_url)
    with bench.db.reading() as tx:
        tx.run(
            """
            CREATE OR REPLACE FUNCTION pgp_now() RETURNS timestamptz LANGUAGE sql STABLE
            AS $$ SELECT timestamptz '2026-01-01 00:00:00Z' + make_interval(hours => CAST(coalesce(nullif(current_setting('tests.hours', true), ''), '0') AS int)) $$
            """
        )
        tx.run("INSERT INTO account (email, password_hash) VALUES ('a@b.test', 'x')")
        tx.run("INSERT INTO client_table (account_id) SELECT id FROM account")
        tx.run(
            """
            INSERT INTO channel (owner_id, open_channel_id, closed_channel_id, open_title, closed_title) SELECT id, -1000, :closed, 'o', 'c' FROM client_table
            """,
            closed=CLOSED,
        )
        tx.run("INSERT INTO subscription_tier_map (channel_id, position, label, price_usd, days) SELECT id, 1, 'Month', 20, 30 FROM channel")
        tx.run(
            """
            INSERT INTO orders (unique_id, view_token, kind, owner_id, channel_id, tier_id, buyer_id, price_usd, days, fee_percent, tolerance_bps, correlation,
                                expires_at)
            SELECT lpad(CAST(n AS text), 26, '0'), lpad(CAST(n AS text), 32, '0'), 'subscription', t.owner_id, t.id, s.id, :buyer, 20, 30, 3, 100, 'c',
                   pgp_now()
              FROM generate_series(1, :orders) n, channel t, subscription_tier_map s
            """,
            buyer=BUYER,
            orders=ORDERS,
        )
    yield bench.db
    bench.close()


def hours_of(tx: Transaction) -> list[tuple[int, int]]:
    """When each purchase's time begins and ends, in hours."""
    found = tx._execute(
        """
        SELECT CAST(extract(epoch FROM starts_at - timestamptz '2026-01-01 00:00:00Z') / 3600 AS int), CAST(extract(epoch FROM ends_at - timestamptz '2026-01-01 00:00:00Z') / 3600 AS int)
          FROM entitlement ORDER BY order_id
        """,
        {},
    ).rows
    return [(int(starts), int(ends)) for starts, ends in found or ()]


def live(tx: Transaction, model: Model, history: list[tuple[str, int]]) -> None:
    """Play a history in the database and in the model, and compare after every step."""
    for what, number in history:
        if what == "buy":
            given_days = access.plan_entitlement(tx, channel_id=CHANNEL, buyer_id=BUYER, order_id=len(model.bought) + 1, days=number, mode="join_request")
            assert given_days is not None
            model.buy(number)
            # The same order once more gives nothing more.
            assert access.plan_entitlement(tx, channel_id=CHANNEL, buyer_id=BUYER, order_id=len(model.bought), days=number, mode="join_request") is None
        elif what == "wait":
            model.now += number
            tx.value("SELECT set_config('tests.hours', CAST(:hours AS text), true)", hours=str(model.now))
        else:
            model.revoke(number)
            tx.run("UPDATE entitlement SET revoked_at = pgp_now() WHERE order_id = :order AND revoked_at IS NULL", order=number + 1)
        compare(tx, model)


def compare(tx: Transaction, model: Model) -> None:
    assert hours_of(tx) == [(one.starts, one.ends) for one in model.bought]
    found = access.live_entitlement(tx, closed_channel_id=CLOSED, buyer_id=BUYER)
    until = model.live_until()
    assert (found is None) == (until is None)
    if found is not None and until is not None:
        assert tx.value(
            "SELECT CAST(:ends AS timestamptz) = timestamptz '2026-01-01 00:00:00Z' + make_interval(hours => :until)", ends=found.ends_at, until=until
        )


def end_what_is_over(tx: Transaction, model: Model) -> None:
    """The expiry of everything: it ends what is over, once, and nothing else; whoever has more time is seen to have renewed."""
    for number, one in enumerate(model.bought):
        entitlement = int(tx.value("SELECT id FROM entitlement WHERE order_id = :order", order=number + 1))
        ending = access.lock_ending(tx, entitlement)
        assert ending is not None
        assert ending.over == model.over(number)
        assert ending.renewed == any(not other.revoked and other.ends > model.now for other in model.bought if other is not one)
        assert access.mark_expired(tx, entitlement) == model.over(number)
        assert not access.mark_expired(tx, entitlement)
    assert hours_of(tx) == [(one.starts, one.ends) for one in model.bought]


@pytest.mark.timeout(LONGEST_S)
def test_any_history_keeps_every_paid_day(db: BaseDatabaseManager, request: pytest.FixtureRequest) -> None:
    """Three hundred histories, twenty thousand with --long."""

    @settings(max_examples=20_000 if request.config.getoption("--long") else 300, suppress_health_check=list(HealthCheck))
    @given(histories)
    def play(history: list[tuple[str, int]]) -> None:
        model = Model()
        with pytest.raises(Undo), db.transaction() as tx:
            live(tx, model, history)
            kept = [one for one in model.bought if not one.revoked]
            for one, other in ((a, b) for a in kept for b in kept if a is not b):
                assert one.ends <= other.starts or other.ends <= one.starts
            end_what_is_over(tx, model)
            raise Undo

    play()

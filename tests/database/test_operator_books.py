"""The books in a person's hands: he sees what was posted and why, and takes it back by a correction that breaks nothing; all he does stays readable."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from PGP_COMMON.database import BaseDatabaseManager
from PGP_COMMON.errors import BadInput, BrokenRule, Conflict, NotFound
from PGP_COMMON.money_machines import ledger
from PGP_COMMON.operators import books
from tests.support.earnings import DOLLAR, ETHER, Town, a_town
from tests.support.verbs import Operator, at_once


@pytest.fixture
def town(database_url: str) -> Iterator[Town]:
    with a_town(database_url) as made:
        yield made


@pytest.fixture
def pgp(town: Town, woken: list[tuple[str, str]]) -> Operator:
    return Operator(town._environment)


def stands(db: BaseDatabaseManager, account: ledger.Account) -> int:
    with db.reading() as tx:
        return ledger.balance(tx, account)


@pytest.fixture
def costly(town: Town) -> Town:
    """A cost of seven dollars that is none."""
    with town.db.transaction() as tx:
        lines = [ledger.debit(ledger.swap_expense("usdterc20"), 7 * DOLLAR), ledger.credit(ledger.in_flight("usdterc20"), 7 * DOLLAR)]
        ledger.post(tx, "refund.cost", 5, lines)
    return town


def test_a_correction_reverses_a_transaction_once_and_names_it(costly: Town, pgp: Operator) -> None:
    told = pgp("ledger", "correct", "refund.cost", "5", "--word", "letter 12")
    assert "expense:swap usdterc20: -7000000 base units" in told
    assert (stands(costly.db, ledger.swap_expense("usdterc20")), stands(costly.db, ledger.in_flight("usdterc20"))) == (0, 0)
    assert costly.rows("SELECT c.reference, t.kind, t.reference FROM ledger_tx c JOIN ledger_tx t ON t.id = c.reverses WHERE c.kind = 'correction'") == [
        ("letter 12", "refund.cost", "5")
    ]
    with pytest.raises(Conflict, match="was reversed before"):
        pgp("ledger", "correct", "refund.cost", "5", "--word", "letter 13")


def test_a_correction_can_be_reversed_like_anything_else(costly: Town, pgp: Operator) -> None:
    pgp("ledger", "correct", "refund.cost", "5")
    pgp("ledger", "correct", "correction", "refund.cost 5")
    assert stands(costly.db, ledger.swap_expense("usdterc20")) == 7 * DOLLAR


def test_a_correction_past_a_floor_is_refused(town: Town, pgp: Operator) -> None:
    owner = town.owner()
    town.available(owner, 60 * DOLLAR)
    town.fire("payout.plan")
    town.drain()
    with pytest.raises(Conflict, match="below zero"):
        pgp("ledger", "correct", "accumulation.keep", "1")
    assert town.count("ledger_tx", "kind = 'correction'") == 0


def test_a_correction_after_which_a_claim_would_not_hold_is_refused_unless_it_is_named(town: Town, pgp: Operator) -> None:
    town.earn(town.owner(), ETHER)
    reference = str(town.value("SELECT reference FROM ledger_tx WHERE kind = 'payment.credit'"))
    with pytest.raises(Conflict, match="I23, I25 would not hold"):
        pgp("ledger", "correct", "payment.credit", reference)
    with pytest.raises(Conflict, match="I23 would not hold"):
        pgp("ledger", "correct", "payment.credit", reference, "--despite", "I25")
    pgp("ledger", "correct", "payment.credit", reference, "--despite", "I23", "--despite", "I25")
    pgp("ledger", "correct", "correction", f"payment.credit {reference}")


@pytest.mark.parametrize(("kind", "reference"), [("refund.cost", "6"), ("nothing", "5"), ("refund.cost", "'; DELETE FROM ledger_tx")])
def test_what_was_never_posted_cannot_be_reversed(costly: Town, pgp: Operator, kind: str, reference: str) -> None:
    with pytest.raises(NotFound, match="the books have no"):
        pgp("ledger", "correct", kind, reference)


def test_a_word_is_used_once_and_is_readable(costly: Town, pgp: Operator) -> None:
    with costly.db.transaction() as tx:
        lines = [ledger.debit(ledger.swap_expense("eth"), 3), ledger.credit(ledger.in_flight("eth"), 3)]
        ledger.post(tx, "refund.cost", 6, lines)
    pgp("ledger", "correct", "refund.cost", "5", "--word", "one")
    with pytest.raises(Conflict, match="a correction one already"):
        pgp("ledger", "correct", "refund.cost", "6", "--word", "one")
    for word in ("x" * 101, "a\nb"):
        with pytest.raises(BadInput, match="printable"):
            pgp("ledger", "correct", "refund.cost", "6", "--word", word)


def test_of_two_corrections_at_once_one_is_made(costly: Town, pgp: Operator) -> None:
    outcomes = at_once(*(lambda word=word: pgp.does(lambda tx, why: books.correct(tx, "refund.cost", "5", why, word=word)) for word in "abc"))
    assert sum(isinstance(outcome, list) for outcome in outcomes) == 1
    assert stands(costly.db, ledger.swap_expense("usdterc20")) == 0


def test_the_books_can_be_read(costly: Town, pgp: Operator) -> None:
    told = pgp("ledger", "show", why=False)
    assert "expense:swap" in told
    assert "7 USDTERC20" in told
    assert {(one["code"], one["asset"], one["balance"]) for one in pgp.reads("ledger", "show")} >= {("in_flight", "usdterc20", -7 * DOLLAR)}
    assert [one["units"] for one in pgp.reads("ledger", "show", "in_flight", "--asset", "usdterc20")] == [-7 * DOLLAR]
    assert "refund.cost" in pgp("ledger", "show", "expense:swap", why=False)
    with pytest.raises(NotFound):
        pgp("ledger", "show", "owner:99:pending", why=False)


# --- the audit log


def test_the_audit_log_shows_who_did_what_to_which_and_why(costly: Town, pgp: Operator) -> None:
    assert "no such entry" in pgp("audit", "--subject", "ledger", why=False)
    pgp("ledger", "correct", "refund.cost", "5", "--reason", "counted twice", why=False)
    pgp("pause", "sign", "--reason", "a look around", why=False)
    told = pgp("audit", why=False)
    assert all(word in told for word in ("ledger.correct", "ledger refund.cost 5", "counted twice", "pause", "a look around"))
    assert [one["action"] for one in pgp.reads("audit")] == ["pause", "ledger.correct"]
    assert [one["reason"] for one in pgp.reads("audit", "--subject", "ledger")] == ["counted twice"]
    assert [one["reason"] for one in pgp.reads("audit", "--action", "ledger")] == ["counted twice"]
    assert [one["reason"] for one in pgp.reads("audit", "--action", "pause", "--subject", "sign")] == ["a look around"]
    assert pgp.reads("audit", "--actor", "nobody of this name") == pgp.reads("audit", "--since", "2999-01-01") == []
    assert len(pgp.reads("audit", "--since", "2020-01-01")) == 2
    assert len(pgp.reads("audit", "--limit", "1")) == 1
    assert pgp.reads("audit", "--subject", "ledg") == []
    assert json.loads(pgp("audit", "--json", why=False))[1]["after"]["correction"] == "refund.cost 5"


@pytest.mark.parametrize("change", ["UPDATE audit_log SET reason = 'another'", "DELETE FROM audit_log", "TRUNCATE audit_log"])
def test_the_audit_log_cannot_be_changed(costly: Town, pgp: Operator, change: str) -> None:
    pgp("ledger", "correct", "refund.cost", "5")
    with pytest.raises(BrokenRule, match="append_only"), costly.db.transaction() as tx:
        tx.run(change)  # type: ignore[arg-type]

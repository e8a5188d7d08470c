"""What a person does about the ledger: take a transaction back by another one that reverses it, once, and never so that somebody owes what he has not."""

from __future__ import annotations

from collections import Counter

from PGP_COMMON.database import Transaction
from PGP_COMMON.errors import BrokenRule, Conflict, NotFound
from PGP_COMMON.money_machines import audit, invariants, ledger
from PGP_COMMON.money_machines.audit import Act
from PGP_COMMON.money_machines.ledger import Entry, Line, Posted


def correct(tx: Transaction, kind: str, reference: str, act: Act, *, word: str, despite: frozenset[str] = frozenset()) -> list[Entry]:
    """Reverse a transaction of the books, every line of it; `word` is the correction's own reference: a dead letter's number, or a word.

    Gives back the lines that were reversed. Raises NotFound without the transaction; Conflict when it was reversed before, when the word is taken,
    when it would take an account past its floor, or when a claim about the books would no longer hold that is not among `despite` (their codes).
    """
    found = ledger.find(tx, kind, reference)
    if found is None:
        raise NotFound(f"the books have no {kind} {reference}: `pgp ledger show <account>` lists them")
    if found.reversed_by is not None:
        raise Conflict(f"{kind} {reference} was reversed before, by transaction {found.reversed_by}")
    lines = ledger.entries(tx, tx_id=found.id)
    before = _broken(tx)
    _post(tx, found, lines, word=word)
    worse = {code for code, count in _broken(tx).items() if count > before[code]}
    if worse - despite:
        raise Conflict(f"after it {', '.join(sorted(worse - despite))} would not hold (`pgp doctor` says what that is); if it is right, say --despite for each")
    taken = [f"{line.code} {line.asset} {-line.units}" for line in lines]
    audit.note(tx, act, "ledger.correct", f"ledger {kind} {reference}", before={"transaction": found.id}, after={"correction": word, "lines": taken})
    return lines


def _post(tx: Transaction, found: Posted, lines: list[Entry], *, word: str) -> None:
    try:
        posted = ledger.post(tx, "correction", word, [Line(line.account, -line.units) for line in lines], reverses=found.id)
    except BrokenRule as error:
        if error.data.get("constraint") != "ledger_floor":
            raise
        raise Conflict("an account would fall below zero: somebody would owe what he has not") from error
    if not posted:
        raise Conflict(f"there is a correction {word} already: give another --word")


def _broken(tx: Transaction) -> Counter[str]:
    """How many breaches each claim about the books has."""
    return Counter(invariant.code for invariant, _ in invariants.breaches(tx))

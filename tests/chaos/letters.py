"""Which dead letters a run may leave behind: those that its plan explains. Any other is a failure of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from PGP_COMMON.database import Transaction
from tests.chaos.shapes import RULES, Shape

REVIEW: Final = "payment.review"
# Faults after which nobody knows whether a request was done.
LOST: Final = ("timeout", "lost_answer", "status")


@dataclass(frozen=True)
class Letter:
    """One open dead letter; `payment` is the vendor's id where it is about a payment."""

    source: str
    subject: str
    reason: str
    payment: str | None
    detail: str

    def __str__(self) -> str:
        return f"{self.source} {self.payment or self.subject}: {self.reason} {self.detail}"


@dataclass(frozen=True)
class Bound:
    """A letter that says that so many answers were lost in a row: it needs at least so many faults at one operation."""

    operation: str
    faults: int


# Each heals by itself, and still a person should know.
BOUNDS: Final[Mapping[tuple[str, str], Bound]] = {
    ("swap.create", "creates_spent"): Bound("POST /v2/exchange", 3),
    ("conversion.swap", "creates_spent"): Bound("POST /v2/exchange", 3),
}


def open_letters(tx: Transaction) -> list[Letter]:
    """Every letter that waits for a person."""
    return tx.all(
        Letter,
        """
        SELECT f.source, f.subject, f.reason, p.provider_id AS payment, left(CAST(f.detail AS text), 300) AS detail
          FROM failed_transactions f LEFT JOIN processed_payments p ON f.source = 'payment.review' AND f.subject = CAST(p.id AS text)
         WHERE f.resolved_at IS NULL ORDER BY f.id
        """,
    )


def unexplained(letters: Sequence[Letter], *, shapes: Mapping[str, Shape], met: Mapping[tuple[str, str, str], int]) -> list[str]:
    """The letters that nothing in the plan explains. `shapes` are those of the vendor's payments, `met` the faults by simulator, operation and mode. Pure."""
    return [str(letter) for letter in letters if not _is_explained(letter, shapes, met)]


def _is_explained(letter: Letter, shapes: Mapping[str, Shape], met: Mapping[tuple[str, str, str], int]) -> bool:
    if letter.source == REVIEW:
        shape = shapes.get(letter.payment or "")
        return shape is not None and RULES[shape].letter == letter.reason
    bound = BOUNDS.get((letter.source, letter.reason))
    return bound is not None and bound.faults <= sum(times for (_, operation, mode), times in met.items() if operation == bound.operation and mode in LOST)


def missing(letters: Sequence[Letter], *, shapes: Mapping[str, Shape]) -> list[str]:
    """Payments that should wait for a person and do not. Pure."""
    found = {letter.payment: letter.reason for letter in letters if letter.source == REVIEW}
    return [
        f"payment {payment} is {shape.value}, and its letter is {found.get(payment, 'missing')}"
        for payment, shape in shapes.items()
        if RULES[shape].letter and found.get(payment) != RULES[shape].letter
    ]

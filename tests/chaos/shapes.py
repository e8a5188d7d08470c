"""The shapes of a payment: what a buyer does with the link that he got, and what of it has to wait for a person."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from decimal import Decimal


class Shape(enum.StrEnum):
    """How a purchase is paid."""

    WHOLE = "whole"  # the price, by a notice for each status
    AT_ONCE = "at once"  # finished is the only status that is ever told
    OVER = "over-paid"  # more than was asked for: all of it is the owner's
    RESTED = "rest paid"  # less, and then the rest by the link that follows
    ABANDONED = "rest not paid"  # less, and never the rest
    LATE = "late"  # after the order has expired
    REPEATED = "paid again"  # a second deposit to the same address
    SILENT = "no notice"  # no notice comes: we have to find it
    RESENT = "told again"  # the vendor tells everything a second time
    REFUNDED = "refunded"  # the vendor gives it back after we have credited it: a person decides
    WORTHLESS = "worth too little"  # the outcome is below the floor: a person decides
    NEVER = "never paid"  # a link, and no money


@dataclass(frozen=True)
class Rule:
    """How often a shape is drawn, how many payments of the vendor it makes, how much of the amount is sent, and the letter that it ends in."""

    weight: int
    payments: int = 1
    part: Decimal = Decimal(1)
    letter: str = ""


RULES: dict[Shape, Rule] = {
    Shape.WHOLE: Rule(40),
    Shape.AT_ONCE: Rule(10),
    Shape.OVER: Rule(7, part=Decimal("1.35")),
    Shape.RESTED: Rule(9, payments=2, part=Decimal("0.55")),
    Shape.ABANDONED: Rule(3, part=Decimal("0.40")),
    Shape.LATE: Rule(5),
    Shape.REPEATED: Rule(6, payments=2),
    Shape.SILENT: Rule(7),
    Shape.RESENT: Rule(6),
    Shape.REFUNDED: Rule(2, letter="refunded"),
    Shape.WORTHLESS: Rule(2, letter="below_floor"),
    Shape.NEVER: Rule(3, payments=0),
}

"""What a look at a funded exchange means, decided from the swap and the exchange's answer; nothing here asks or writes (money.md 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from PGP_COMMON.clients.changenow import Seen, Standing
from PGP_COMMON.money import floor_units

# An exchange that has not noticed final coins for an hour, or that cannot say how it ended, is no longer only slow.
SLOW_MINUTES: Final = 60
# A hold (identity checks) may last days; after three a person looks (money.md 7).
HELD_MINUTES: Final = 72 * 60
# The one hold that the vendor declares; every status that nobody knows is one too, and an alarm.
KNOWN_HOLD: Final = "verifying"


@dataclass(frozen=True, slots=True)
class Followed:
    """A funded swap. `minutes`: for how long the exchange has had our coins."""

    payin_address: str
    payout_address: str
    to_units: int
    from_decimals: int
    to_decimals: int
    minutes: int


@dataclass(frozen=True, slots=True)
class Working:
    """The exchange works on it; with `alarm` a person should know why that takes so long."""

    alarm: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """It paid out so many base units, by this transaction."""

    units: int
    tx_hash: str


@dataclass(frozen=True, slots=True)
class Refunded:
    """Our coins are on their way back; how many and by which transaction is known sooner or later."""

    units: int | None
    tx_hash: str | None


@dataclass(frozen=True, slots=True)
class Held:
    """The exchange keeps it. `alarm`: a person should know at once; `review`: it will not end by itself."""

    reason: str
    alarm: bool = False
    review: bool = False


Verdict = Working | Finished | Refunded | Held


def judge(swap: Followed, seen: Seen) -> Verdict:
    """The one thing that a look means. Total: a status that nobody knows is a hold."""
    if (seen.payin_address.lower(), seen.payout_address.lower()) != (swap.payin_address.lower(), swap.payout_address.lower()):
        return Held("the exchange names other addresses than it did", alarm=True, review=True)
    match seen.standing:
        case Standing.FUNDABLE:
            return Working("the exchange has not seen our coins" if swap.minutes >= SLOW_MINUTES else "")
        case Standing.WAIT:
            return Working("the exchange is slow" if swap.minutes >= HELD_MINUTES else "")
        case Standing.FINISHED:
            return _finished(swap, seen)
        case Standing.REFUNDED:
            units = None if seen.refund_amount is None else floor_units(seen.refund_amount, swap.from_decimals)
            return Refunded(units, normal_hash(seen.refund_hash))
        case Standing.REVIEW:
            return Held(f"the exchange says {seen.status}"[:80], alarm=True, review=True)
        case _:
            return Held(f"the exchange says {seen.status}"[:80], alarm=seen.status != KNOWN_HOLD, review=swap.minutes >= HELD_MINUTES)


def unknown(swap: Followed, why: str) -> Held:
    """What a look without a readable answer means: nothing is known, and that is no `waiting`."""
    return Held(why, alarm=True, review=swap.minutes >= HELD_MINUTES)


def _finished(swap: Followed, seen: Seen) -> Verdict:
    """A fixed rate is a promise: less than agreed is not finished."""
    tx_hash = normal_hash(seen.payout_hash)
    if tx_hash is None or seen.paid is None:
        return Working("finished, but it does not say how" if swap.minutes >= SLOW_MINUTES else "")
    units = floor_units(seen.paid, swap.to_decimals)
    if units < swap.to_units:
        return Held(f"paid out {units} of {swap.to_units} agreed units", alarm=True, review=True)
    return Finished(units, tx_hash)


def normal_hash(text: str | None) -> str | None:
    """A transaction's hash as the chain's clients write it: Ethereum's in lower case, others as they are."""
    return text.lower() if text is not None and text[:2].lower() == "0x" else text

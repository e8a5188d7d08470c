"""What to do about a transfer in flight, decided from its row, its attempts and what the chain says; nothing here asks or writes (money.md 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from PGP_COMMON.clients.ethereum_answers import Fees, Outcome, Receipt, Receipts
from PGP_HOSTPAY_v1.signing import Bid, raised_bid

# Between two attempts: four blocks, doubled each time, at most ten minutes (money.md 8.3).
FIRST_PATIENCE_S: Final = 48
LONGEST_PATIENCE_S: Final = 600
# The base fee moves once a block: sooner than that a dearer attempt says nothing new.
BLOCK_S: Final = 12
# Answers after which the same bytes are sent again: they may pass, and a dearer attempt would not help.
UNCLEAR: Final[Mapping[Outcome | None, str]] = {
    Outcome.INSUFFICIENT_FUNDS: "a node says that the wallet cannot pay",
    Outcome.FEE_CAP: "the node's own limit on fees",
}
# Looks in a row without the mined receipt on any node before it counts as taken back by a re-organisation.
LOOKS_UNTIL_TAKEN_BACK: Final = 3
# "Nonce too low" answers in a row, with none of our hashes in sight, before the nonce counts as used by somebody else.
LOOKS_UNTIL_STUCK: Final = 40


@dataclass(frozen=True, slots=True)
class Watched:
    """A transfer as its row says. `token` is the contract's address, None for ETH; `fills` are an operator's own transactions with its nonce."""

    state: str
    sender: str
    token: str | None
    recipient: str
    units: int
    nonce: int
    max_total_fee_wei: int
    missing: int = 0
    mined_hash: str | None = None
    mined_block_hash: str | None = None
    fills: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One signed form of a transfer; the last in a list is the newest."""

    tx_hash: str
    gas: int
    bid: Bid
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Facts:
    """What the chain says. `on_chain`: hashes of blocks that a node has at their height; `sending` is None until bytes were sent in this look."""

    receipts: Receipts
    on_chain: frozenset[str]
    finalized: int
    nonce_latest: int
    nonce_finalized: int
    fees: Fees
    sending: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again later; with `alert` a person should know."""

    reason: str
    alert: bool = False


@dataclass(frozen=True, slots=True)
class Send:
    """Give the newest stored bytes to the nodes, then decide again with their answer."""


@dataclass(frozen=True, slots=True)
class SendPredecessors:
    """A transfer before this one is in no pool: send the stored bytes of all before it again."""


@dataclass(frozen=True, slots=True)
class InPool:
    """It waits in a pool."""


@dataclass(frozen=True, slots=True)
class Count:
    """Something that may pass was seen once more: count it."""


@dataclass(frozen=True, slots=True)
class StillThere:
    """What had been counted has passed."""


@dataclass(frozen=True, slots=True)
class Mined:
    """One of the attempts is in this block."""

    receipt: Receipt


@dataclass(frozen=True, slots=True)
class TakenBack:
    """A re-organisation took the block away: the same bytes again."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The block is final. `done` is False when the transaction failed there."""

    receipt: Receipt
    done: bool


@dataclass(frozen=True, slots=True)
class Filled:
    """An operator's own transaction took the nonce, finally."""

    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Bump:
    """Sign the same transfer once more with these fees."""

    bid: Bid


@dataclass(frozen=True, slots=True)
class Freeze:
    """Something is wrong that only a person can settle. With `stuck` the nonce was used by somebody else."""

    reason: str
    stuck: bool = False


Decision = Wait | Send | SendPredecessors | InPool | Count | StillThere | Mined | TakenBack | Ended | Filled | Bump | Freeze


def decide(transfer: Watched, attempts: Sequence[Attempt], facts: Facts, now: datetime) -> Decision:
    """The one next thing to do about a transfer that has been signed. Old attempts stay watched for ever: any of them may be the one that is mined."""
    receipt = _receipt(transfer, [attempt.tx_hash for attempt in attempts], facts)
    if transfer.state in ("stuck", "superseded"):
        return _given_up(transfer, receipt, facts)
    if transfer.state == "mined":
        return _mined(transfer, receipt, facts)
    if receipt is not None:
        return Mined(receipt)
    return Send() if facts.sending is None else _sent(transfer, attempts, facts, now)


def patience_s(attempts: int) -> int:
    """How long the newest of so many attempts is given before a dearer one."""
    return int(min(FIRST_PATIENCE_S * 2 ** min(attempts - 1, 10), LONGEST_PATIENCE_S))


def _receipt(transfer: Watched, hashes: Sequence[str], facts: Facts) -> Receipt | None:
    """The receipt of one of these hashes in a block that is really on the chain; the one known as mined comes first."""
    found = [facts.receipts.by_hash[tx_hash] for tx_hash in hashes if tx_hash in facts.receipts.by_hash]
    found = [receipt for receipt in found if receipt.block_hash in facts.on_chain]
    return min(found, key=lambda receipt: (receipt.tx_hash != transfer.mined_hash, receipt.block_number), default=None)


def _given_up(transfer: Watched, receipt: Receipt | None, facts: Facts) -> Decision:
    """After an operator had to step in: whichever transaction with this nonce is final decides what happened."""
    if receipt is not None:
        return Wait("one of its attempts was mined after all", alert=True)
    filled = _receipt(transfer, transfer.fills, facts)
    if filled is not None and filled.block_number <= facts.finalized and transfer.state == "superseded":
        return Filled(filled)
    if filled is None and transfer.fills and facts.sending is None:
        return Send()
    return Wait("an operator acts" if transfer.state == "stuck" else "the nonce is being filled")


def _mined(transfer: Watched, receipt: Receipt | None, facts: Facts) -> Decision:
    """A block may be taken back until it is final: the receipt is looked at each time."""
    if receipt is None:
        if not facts.receipts.complete:
            return Wait("a node did not answer")
        return TakenBack() if transfer.missing + 1 >= LOOKS_UNTIL_TAKEN_BACK else Count()
    if (receipt.tx_hash, receipt.block_hash) != (transfer.mined_hash, transfer.mined_block_hash):
        return Mined(receipt)
    if receipt.block_number > facts.finalized:
        return StillThere() if transfer.missing else Wait("not final yet")
    if receipt.succeeded and transfer.token is not None and not _moved(transfer, receipt):
        # A fee that the token's owner switched on, or another contract behind the address: how much arrived is not what was owed.
        return Wait("the token's Transfer event is missing or differs", alert=True)
    return Ended(receipt, done=receipt.succeeded)


def _moved(transfer: Watched, receipt: Receipt) -> bool:
    """Whether exactly the transfer's units went from the wallet to its recipient."""
    wanted = (str(transfer.token).lower(), transfer.sender.lower(), transfer.recipient.lower(), transfer.units)
    return [(log.token.lower(), log.sender.lower(), log.recipient.lower(), log.units) for log in receipt.transfers].count(wanted) == 1


def _sent(transfer: Watched, attempts: Sequence[Attempt], facts: Facts, now: datetime) -> Decision:
    """What the nodes' answer to the newest bytes means."""
    age_s = (now - attempts[-1].created_at).total_seconds()
    match facts.sending:
        case Outcome.SENT | Outcome.ALREADY_KNOWN:
            if transfer.state == "signed" or transfer.missing:
                return InPool()
            return _bump(transfer, attempts, facts) if age_s >= patience_s(len(attempts)) else Wait("in a pool")
        case Outcome.REPLACEMENT_UNDERPRICED:
            if age_s >= patience_s(len(attempts)):
                return _bump(transfer, attempts, facts)
            # With one attempt only, what it would replace is not ours.
            return Wait("another transaction with this nonce is in a pool", alert=len(attempts) == 1)
        case Outcome.UNDERPRICED:
            return _bump(transfer, attempts, facts) if age_s >= BLOCK_S else Wait("too cheap")
        case Outcome.NONCE_TOO_LOW:
            return _nonce_used(transfer, facts)
        case Outcome.NONCE_GAP:
            return SendPredecessors()
        case Outcome.BUG:
            return Freeze("a node says that the transaction can never be mined")
        case answer:
            return Wait(UNCLEAR.get(answer, "no clear answer"), alert=age_s >= LONGEST_PATIENCE_S)


def _nonce_used(transfer: Watched, facts: Facts) -> Decision:
    """Something with this nonce was mined. Most likely one of ours: the next look finds it. Never a reason for another nonce."""
    surely = facts.receipts.complete and facts.nonce_finalized > transfer.nonce
    if surely and transfer.missing + 1 >= LOOKS_UNTIL_STUCK:
        return Freeze("somebody else used the transfer's nonce", stuck=True)
    return Count()


def _bump(transfer: Watched, attempts: Sequence[Attempt], facts: Facts) -> Decision:
    """A dearer attempt, for the head of the line only: the others wait for it, not for their fees."""
    if facts.nonce_latest != transfer.nonce:
        return Wait("others are before it")
    last = attempts[-1]
    bid = raised_bid(last.bid, facts.fees, gas=last.gas, cap_wei=transfer.max_total_fee_wei)
    return Wait("its fees are at their cap", alert=True) if bid is None else Bump(bid)

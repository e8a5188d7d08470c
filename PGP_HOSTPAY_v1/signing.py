"""What a transaction of ours says and may cost: its fields, its first fees, and how they are raised (money.md 8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from PGP_COMMON.clients.ethereum_answers import Call, Fees
from PGP_COMMON.clients.ethereum_signing import TransactionFields

# A pool replaces a transaction only for at least a tenth more on both fees (geth); an eighth is what a full block's base fee rises by.
RAISE_NUMERATOR, RAISE_DENOMINATOR = 9, 8
# The base fee may double before the first attempt is too cheap: six full blocks in a row.
BASE_FEE_ROOM: Final = 2


@dataclass(frozen=True, slots=True)
class Bid:
    """What one attempt offers, in wei per gas: all in all at most, and of that to the miner at most."""

    max_fee_wei: int
    max_priority_wei: int


def suggested(fees: Fees) -> Bid:
    """What the chain asks for now, with room for a rising base fee."""
    return Bid(BASE_FEE_ROOM * fees.base_fee_wei + fees.tip_wei, fees.tip_wei)


def first_bid(fees: Fees, *, gas: int, cap_wei: int) -> Bid | None:
    """The first attempt's fees; None when even the next block would cost more than `cap_wei` in all."""
    return _capped(suggested(fees), least=Bid(fees.base_fee_wei + fees.tip_wei, fees.tip_wei), gas=gas, cap_wei=cap_wei)


def raised_bid(last: Bid, fees: Fees, *, gas: int, cap_wei: int) -> Bid | None:
    """Fees that replace the last attempt: both an eighth higher at least, and what the chain asks for now; None at the cap.

    Under the cap the room for a rising base fee is given up first.
    """
    wish = suggested(fees)
    tip = max(_eighth_more(last.max_priority_wei), wish.max_priority_wei)
    floor = max(_eighth_more(last.max_fee_wei), tip)
    least = Bid(max(floor, fees.base_fee_wei + tip), tip)
    return _capped(Bid(max(floor, wish.max_fee_wei), tip), least=least, gas=gas, cap_wei=cap_wei)


def _eighth_more(wei: int) -> int:
    return max(wei + 1, -(-wei * RAISE_NUMERATOR // RAISE_DENOMINATOR))


def _capped(wish: Bid, *, least: Bid, gas: int, cap_wei: int) -> Bid | None:
    affordable = cap_wei // gas
    if affordable < least.max_fee_wei:
        return None
    return Bid(min(max(wish.max_fee_wei, least.max_fee_wei), affordable), least.max_priority_wei)


def fields(call: Call, *, chain_id: int, nonce: int, gas: int, bid: Bid) -> TransactionFields:
    """Everything that is signed."""
    return TransactionFields(chain_id=chain_id, nonce=nonce, gas=gas, max_fee_wei=bid.max_fee_wei, max_priority_fee_wei=bid.max_priority_wei, call=call)

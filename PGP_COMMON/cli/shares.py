"""How a trace says whose money is what: each payment to its owner's coin, each transaction back to its buyers, both to the last unit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PGP_COMMON.cli.printing import amount

if TYPE_CHECKING:
    from PGP_COMMON.database import Transaction
    from PGP_COMMON.money_machines.shares import Origin, Paid, Part


@dataclass(frozen=True)
class Summary:
    """What a name is about, in shares that add up."""

    payments: list[Paid]
    parts: list[Part]
    transactions: list[Origin]


def summary(tx: Transaction, name: str, payment_ids: Sequence[int]) -> Summary:
    """Read the shares of these payments, and of the transaction that the name is, if it is one."""
    from PGP_COMMON.money_machines import shares

    return Summary(shares.payments(tx, payment_ids), shares.parts(tx, payment_ids), shares.origins(tx, name))


def lines(told: Summary) -> Iterator[str]:
    """The summary for people: a transaction with its buyers, then a payment with what became of its parts."""
    for origin in told.transactions:
        yield from _transaction(origin)
    for paid in told.payments:
        yield _payment(paid)
        for part in told.parts:
            if part.provider_id == paid.provider_id:
                yield from _part(part)


def _transaction(origin: Origin) -> Iterator[str]:
    moved = origin.moved
    yield f"{moved.what}: {amount(moved.units, moved.decimals, moved.asset)}{f' by {moved.tx_hash}' if moved.tx_hash else ''}"
    for buyer in origin.buyers:
        yield f"  {amount(buyer.units, moved.decimals, moved.asset)} of buyer {buyer.buyer_id}, order {buyer.order_id}, payment {buyer.provider_id}"
    if not origin.buyers:
        yield "  nobody's but the platform's own"


def _payment(paid: Paid) -> str:
    def coins(units: int) -> str:
        return amount(units, paid.decimals, paid.asset)

    told = f"payment {paid.provider_id} of buyer {paid.buyer_id}, order {paid.order_id} ({paid.state}): {coins(paid.outcome_units)}"
    if paid.owner_units + paid.fee_units:
        told += f" = {coins(paid.owner_units)} of its owner + {coins(paid.fee_units)} fee"
    return told + (f", of which {coins(paid.suspense_units)} are in suspense" if paid.suspense_units else "")


def _part(part: Part) -> Iterator[str]:
    yield f"  part {part.part}, of owner {part.owner_id} ({part.state}): {amount(part.units, part.decimals, part.asset)}"
    if part.conversion_id is not None:
        whole = amount(part.conversion_from_units, part.decimals, part.asset)
        yield f"    of {whole} in conversion {part.conversion_id}{_by('sent by', part.conversion_sent)}"
    if part.converted_units is not None:
        became = amount(part.converted_units, part.converted_decimals, part.converted_asset)
        whole = amount(part.conversion_to_units, part.converted_decimals, part.converted_asset)
        yield f"    is {became}" + (f" of {whole} that came{_by('by', part.conversion_came)}" if part.conversion_to_units is not None else ", as it came")
    if part.payout_id is not None:
        whole = amount(part.payout_units, part.converted_decimals, part.converted_asset)
        yield f"    of {whole} in payout {part.payout_id} ({part.payout_state}){_by('sent by', part.payout_sent)}"
    if part.got_units is not None:
        got, whole = (amount(units, part.payout_decimals, part.payout_asset) for units in (part.got_units, part.paid_out_units))
        yield f"    is {got} of {whole} that its owner got{_by('by', part.payout_came)}"


def _by(word: str, tx_hash: str | None) -> str:
    return f" {word} {tx_hash}" if tx_hash else ""

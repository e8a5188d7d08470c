"""What must be true at the end: the hashes are on the chain, and the vendors' books agree with ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from deploy.local.demo.people import Buyer, Owner
from deploy.local.demo.world import World
from PGP_COMMON.database import Transaction

TRANSFER_TOPIC = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


@dataclass(frozen=True)
class Payout:
    """A payout as our books have it at the end."""

    id: int
    owner_email: str
    state: str
    units: Decimal
    payout_asset: str
    address: str
    paid_out_units: Decimal | None
    tx_hash: str | None
    decimals: int
    exchange_id: str | None
    funded_by: str | None
    reason: str | None


@dataclass(frozen=True)
class Credited:
    """A payment as our books have it."""

    provider_id: str
    state: str
    outcome_units: Decimal


def payouts_of(tx: Transaction, emails: list[str]) -> list[Payout]:
    """The newest payout of each of these owners."""
    return tx.all(
        Payout,
        """
        SELECT DISTINCT ON (a.email) q.id, a.email AS owner_email, q.state, q.units, q.payout_asset, q.address, q.paid_out_units, q.tx_hash, k.decimals,
               s.provider_id AS exchange_id, t.mined_hash AS funded_by, q.reason
          FROM split_payout_que q JOIN client_table c ON c.id = q.owner_id JOIN account a ON a.id = c.account_id
          JOIN currency_to_network k ON k.asset = q.payout_asset
          LEFT JOIN swap s ON s.payout_id = q.id AND s.state = 'finished'
          LEFT JOIN transfer t ON (t.swap_id = s.id OR t.payout_id = q.id) AND t.state = 'final'
         WHERE a.email = ANY(:emails) ORDER BY a.email, q.id DESC
        """,
        emails=emails,
    )


def credited(tx: Transaction, payment_ids: list[str]) -> list[Credited]:
    """These payments in our books."""
    return tx.all(Credited, "SELECT provider_id, state, outcome_units FROM processed_payments WHERE provider_id = ANY(:ids)", ids=payment_ids)


def problems(world: World, tx: Transaction, owners: list[Owner], buyers: list[Buyer]) -> Iterator[str]:
    """Every disagreement between our books, the vendors' and the chain, as a sentence."""
    yield from _payments(world, tx, buyers)
    payouts = payouts_of(tx, [owner.email for owner in owners])
    if len(payouts) != len(owners):
        yield f"{len(payouts)} payouts for {len(owners)} owners"
    for payout in payouts:
        if payout.state != "settled":
            yield f"payout {payout.id} is {payout.state}: {payout.reason or ''}"
        else:
            yield from _payout(world, payout)


def _payments(world: World, tx: Transaction, buyers: list[Buyer]) -> Iterator[str]:
    vendor = {str(row["id"]): row for row in world.control("nowpayments", "books")["payments"]}
    ours = {row.provider_id: row for row in credited(tx, [buyer.payment_id for buyer in buyers])}
    for buyer in buyers:
        mine, theirs = ours.get(buyer.payment_id), vendor.get(buyer.payment_id)
        if mine is None or theirs is None or mine.state != "credited":
            yield f"payment {buyer.payment_id} is not credited"
        elif mine.outcome_units != Decimal(theirs["outcome_amount"]).scaleb(18):
            yield f"payment {buyer.payment_id}: the vendor says {theirs['outcome_amount']} ETH, we booked {mine.outcome_units} wei"


def _payout(world: World, payout: Payout) -> Iterator[str]:
    """One settled payout against the exchange's books and the chain."""
    receipt = world.rpc("eth_getTransactionReceipt", payout.funded_by) if payout.funded_by else None
    if receipt is None or int(receipt["status"], 16) != 1:
        yield f"payout {payout.id}: the chain does not know the transaction {payout.funded_by}"
        return
    sent = [int(log["data"], 16) for log in receipt["logs"] if log["topics"][0] == TRANSFER_TOPIC]
    if sent != [int(payout.units)]:
        yield f"payout {payout.id}: the chain says {sent} units of USDT left, we say {payout.units}"
    if payout.exchange_id:
        yield from _exchange(world, payout)


def _exchange(world: World, payout: Payout) -> Iterator[str]:
    books = world.control("changenow", "books")
    paid = [row for row in books["payouts"] if row["exchange_id"] == payout.exchange_id and row["kind"] == "payout"]
    if len(paid) != 1 or paid[0]["address"].lower() != payout.address.lower() or paid[0]["hash"] != payout.tx_hash:
        yield f"payout {payout.id}: the exchange's books say {paid}"
        return
    if payout.paid_out_units is not None and int(Decimal(paid[0]["amount"]).scaleb(payout.decimals)) != int(payout.paid_out_units):
        yield f"payout {payout.id}: the exchange paid {paid[0]['amount']}, we say {payout.paid_out_units} units"
    if paid[0]["on_chain"] and world.rpc("eth_getTransactionReceipt", payout.tx_hash) is None:
        yield f"payout {payout.id}: the chain does not know the exchange's transaction {payout.tx_hash}"


@dataclass(frozen=True)
class Unconverted:
    """A payment whose money is not USDT yet, and how far it is."""

    provider_id: str
    state: str | None
    conversion_id: int | None
    conversion_state: str | None
    reason: str | None


def unconverted(tx: Transaction, payment_ids: list[str]) -> list[str]:
    """Which of these payments are not USDT yet, and how far each is."""
    rows = tx.all(
        Unconverted,
        """
        SELECT p.provider_id, a.state, c.id AS conversion_id, c.state AS conversion_state, c.reason
          FROM processed_payments p LEFT JOIN payout_accumulation a ON a.payment_id = p.id LEFT JOIN batch_conversions c ON c.id = a.conversion_id
         WHERE p.provider_id = ANY(:ids) AND coalesce(a.state, '') NOT IN ('converted', 'attached', 'paid') ORDER BY p.id
        """,
        ids=payment_ids,
    )
    return [how_far(row) for row in rows]


def how_far(row: Unconverted) -> str:
    """Where a payment's money is, in a sentence."""
    if row.conversion_id is None:
        return f"payment {row.provider_id} is {row.state or 'not credited'}"
    return f"payment {row.provider_id} is in conversion {row.conversion_id}, which is {row.conversion_state}" + (f": {row.reason}" if row.reason else "")


def unpaid(payouts: Sequence[Payout], owners: Sequence[Owner]) -> list[str]:
    """Which owners have not been paid, and how far each one's payout is."""
    by_email = {payout.owner_email: payout for payout in payouts}
    found = []
    for owner in owners:
        payout = by_email.get(owner.email)
        if payout is None:
            found.append(f"{owner.name} has no payout yet")
        elif payout.state != "settled":
            found.append(f"payout {payout.id} to {owner.name} is {payout.state}" + (f": {payout.reason}" if payout.reason else ""))
    return found

"""The books of everybody are compared, to the unit: ours, the vendors', Telegram's and the chain's. Pure; each difference is a sentence."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from deploy.simulators.market import BY_CODE, BY_KEY

Row = Mapping[str, Any]
# Statuses in which NOWPayments owes us, or has given back, what a payment brought.
PAID_STATUSES: Final = frozenset({"finished", "partially_paid", "refunded"})
# States of our swaps after which the exchange has our coins.
FUNDED: Final = frozenset({"funded", "hold", "finished", "refunded", "lost"})
# What the local chain carries itself; every other coin is only in the exchange's books.
ON_CHAIN: Final = frozenset({"eth", "usdterc20"})
INSIDE: Final = frozenset({"member", "restricted"})


@dataclass(frozen=True)
class Payment:
    """A payment in our books; units are the outcome's base units."""

    provider_id: str
    owner_id: int
    state: str
    asset: str | None
    outcome: int
    owner: int
    fee: int
    suspense: int
    arrived: int
    credits: int


@dataclass(frozen=True)
class Swap:
    """An order of ours at the exchange."""

    id: int
    provider_id: str
    state: str
    units: int


@dataclass(frozen=True)
class Sent:
    """A transaction out of our wallet, as the chain has it."""

    tx_hash: str
    nonce: int
    asset: str
    recipient: str
    units: int
    gas_wei: int
    succeeded: bool


@dataclass(frozen=True)
class Transfer:
    """A final transfer, as our books have it."""

    id: int
    tx_hash: str
    nonce: int
    asset: str
    recipient: str
    units: int
    gas_wei: int
    purpose: str


@dataclass(frozen=True)
class OwnerBooks:
    """One owner: what he earned in ETH, how much of it was converted, what that became in USDT, what is still his, and what was paid out of it."""

    id: int
    address: str
    asset: str
    earned: int
    converted_from: int
    owed_eth: int
    became: int
    owed_usdt: int
    paid_out: int
    coin_units: int
    payouts: int


@dataclass(frozen=True)
class Access:
    """A buyer in a channel, as our books have it; `link` is his way in if he is not."""

    closed_chat: int
    buyer_id: int
    live: bool
    invite_state: str | None
    link: str | None


def units(amount: object, code: str) -> int:
    """Base units of whole coins; raises ValueError for a fraction of one."""
    exact = Decimal(str(amount)).scaleb(BY_CODE[code].decimals)
    if exact != exact.to_integral_value():
        raise ValueError(f"{amount} {code} has a fraction of a unit")
    return int(exact)


# I22: what NOWPayments was paid is credited, in suspense, or in review.


def payments(vendor: Sequence[Row], ours: Sequence[Payment]) -> Iterator[str]:
    """Each payment of the vendor against ours, and what it sent us against what arrived."""
    known = {payment.provider_id: payment for payment in ours}
    for row in vendor:
        if row["payment_status"] not in PAID_STATUSES:
            continue
        payment, paid = known.pop(str(row["id"]), None), units(row["outcome_amount"], row["outcome_currency"])
        if payment is None:
            yield f"lost: payment {row['id']} ({row['payment_status']}, {row['outcome_amount']} {row['outcome_currency']}) is not in our books"
        elif payment.state not in {"credited", "review", "reversed"} or payment.outcome != paid:
            yield f"lost: payment {row['id']} is {payment.state} with {payment.outcome} units, the vendor was paid {paid}"
        else:
            yield from _payment(payment, sent=paid if row["payout_state"] == "sent" else 0)
    yield from (f"doubled: payment {payment.provider_id} is {payment.state}, the vendor knows nothing of it" for payment in known.values() if payment.outcome)


def _payment(payment: Payment, *, sent: int) -> Iterator[str]:
    if payment.owner + payment.fee + payment.suspense != payment.outcome:
        yield f"payment {payment.provider_id}: {payment.owner} + {payment.fee} + {payment.suspense} in suspense are not {payment.outcome}"
    if payment.state == "credited" and payment.credits != 1:
        yield f"{'doubled' if payment.credits else 'lost'}: payment {payment.provider_id} was posted {payment.credits} times"
    if payment.arrived != sent:
        yield f"payment {payment.provider_id}: the vendor sent {sent} units, {payment.arrived} arrived"


# I19: each of the exchange's orders received nothing, or exactly its amount.


def exchange(orders: Sequence[Row], deposits: Sequence[Row], ours: Sequence[Swap]) -> Iterator[str]:
    """Each order of the exchange against what it received and against our swaps."""
    received: Counter[str] = Counter()
    for deposit in deposits:
        if deposit["state"] != "gone":
            received[deposit["exchange_id"]] += int(deposit["units"])
            if deposit["verdict"] not in {None, "taken"}:
                yield f"exchange {deposit['exchange_id']} received {deposit['units']} units that it calls {deposit['verdict']}"
    swaps = {swap.provider_id: swap for swap in ours}
    for order in orders:
        wanted, came = units(order["from_amount"], BY_KEY[order["source"]].code), received[order["id"]]
        swap = swaps.pop(order["id"], None)
        if came not in {0, wanted}:
            yield f"{'doubled' if came > wanted else 'lost'}: exchange {order['id']} wanted {wanted} units and received {came}"
        if swap is None and came:
            yield f"lost: exchange {order['id']} has {came} units, and no swap of ours is it"
        if swap is not None and (swap.state in FUNDED) != bool(came):
            yield f"swap {swap.id} is {swap.state}, and exchange {order['id']} received {came}"
    yield from (f"swap {swap.id}: the exchange knows no {swap.provider_id}" for swap in swaps.values())


# I20: what left the wallet, what came to it, and what owners received.


def wallet_sent(chain: Sequence[Sent], ours: Sequence[Transfer]) -> Iterator[str]:
    """Every transaction out of the wallet is one final transfer of ours, and the other way round."""
    booked = {transfer.tx_hash: transfer for transfer in ours}
    for sent in chain:
        transfer = booked.pop(sent.tx_hash, None)
        if transfer is None:
            yield f"{'doubled' if sent.units else 'strange'}: transaction {sent.tx_hash} (nonce {sent.nonce}) left the wallet and is no final transfer"
            continue
        said = (transfer.nonce, transfer.asset, transfer.recipient.lower(), transfer.units, transfer.gas_wei)
        if said != (sent.nonce, sent.asset, sent.recipient.lower(), sent.units, sent.gas_wei) or not sent.succeeded:
            yield f"transfer {transfer.id} is {said}, the chain says {sent}"
    yield from (f"lost: transfer {transfer.id} is final and not on the chain" for transfer in booked.values())
    for asset in sorted(ON_CHAIN):
        left, final = sum(sent.units for sent in chain if sent.asset == asset), sum(transfer.units for transfer in ours if transfer.asset == asset)
        if left != final:
            yield f"{left} units of {asset} left the wallet, {final} are in final transfers"


def wallet_received(chain: Mapping[str, int], *, vendor: Mapping[str, int], arrivals: Mapping[str, int]) -> Iterator[str]:
    """What came to the wallet by asset: by the chain, by what the vendors say that they sent, and by our arrivals."""
    for asset in sorted({*chain, *vendor, *arrivals}):
        by_chain, by_vendors, by_us = chain.get(asset, 0), vendor.get(asset, 0), arrivals.get(asset, 0)
        if not by_chain == by_vendors == by_us:
            yield f"{asset}: {by_chain} units came to the wallet, the vendors sent {by_vendors}, our arrivals are {by_us}"


def owners_received(owners: Sequence[OwnerBooks], payouts: Sequence[Row], transfers: Sequence[Transfer], held: Mapping[tuple[str, str], int]) -> Iterator[str]:
    """What each owner's address received: the exchange's payouts and our direct transfers, and on our own chain what it really holds."""
    paid: dict[str, int] = defaultdict(int)
    for row in payouts:
        if row["kind"] == "payout":
            paid[str(row["address"]).lower()] += units(row["amount"], BY_KEY[row["asset"]].code)
    for transfer in transfers:
        if transfer.purpose == "direct":
            paid[transfer.recipient.lower()] += transfer.units
    for owner in owners:
        got = paid[owner.address.lower()]
        if got != owner.coin_units:
            word = "doubled" if got > owner.coin_units else "lost"
            yield f"{word}: owner {owner.id} was paid {got} units of {owner.asset}, our {owner.payouts} payouts say {owner.coin_units}"
        if owner.asset in ON_CHAIN and held[owner.address.lower(), owner.asset] != got:
            yield f"owner {owner.id}: his address holds {held[owner.address.lower(), owner.asset]} units of {owner.asset}, {got} were sent"


# Money of each owner: what he earned is what was paid out and what is still his.


def owners_money(owners: Iterable[OwnerBooks]) -> Iterator[str]:
    """Each owner's sum, in both of its assets, to the unit."""
    for owner in owners:
        if owner.earned != owner.converted_from + owner.owed_eth:
            yield f"owner {owner.id} earned {owner.earned} wei: {owner.converted_from} were converted, {owner.owed_eth} are owed"
        if owner.became != owner.paid_out + owner.owed_usdt:
            yield f"owner {owner.id} has {owner.became} units of USDT: {owner.paid_out} were paid out, {owner.owed_usdt} are owed"


# I21: who paid is in, or has a valid way in; nobody else is in.


def members(telegram: Sequence[Row], links: Sequence[Row], ours: Sequence[Access]) -> Iterator[str]:
    """Each buyer's access against Telegram's own list; owners and the bot are left out of that before."""
    inside = {(row["chat_id"], row["user_id"]) for row in telegram if row["status"] in INSIDE}
    usable = {row["link"] for row in links if not row["is_revoked"]}
    for access in ours:
        if not access.live:
            continue
        if (access.closed_chat, access.buyer_id) in inside:
            inside.discard((access.closed_chat, access.buyer_id))
        elif access.invite_state not in {"sent", "blocked"} or access.link not in usable:
            yield f"buyer {access.buyer_id} has paid for {access.closed_chat} and is not in; his invite is {access.invite_state}"
    yield from (f"{user} is in {chat} without having paid" for chat, user in sorted(inside))

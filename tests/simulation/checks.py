"""What must hold when a world has come to rest: our books against themselves, against the vendors' and against the chain's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from PGP_COMMON.money_machines import invariants
from tests.simulation.fleet import ADDRESS, SimFleet
from tests.simulation.nowpayments import ETHER

Kind = Literal["lost", "doubled", "stuck", "broken"]
# States in which nothing more is to come.
ENDS = {
    "processed_payments": ("credited", "rejected", "reversed", "review"),
    "batch_conversions": ("done", "refunded", "cancelled"),
    "split_payout_que": ("settled", "released"),
    "swap": ("finished", "refunded", "abandoned", "lost"),
    "transfer": ("final", "cancelled", "failed_onchain", "superseded"),
}


@dataclass(frozen=True)
class Problem:
    """One thing that is not as it must be."""

    kind: Kind
    sentence: str


def problems(fleet: SimFleet, *, letters: frozenset[str] = frozenset()) -> list[Problem]:
    """Everything that is wrong; `letters` are the reasons of dead letters that this world is meant to end with."""
    found: list[Problem] = []
    for check in (_at_rest, _stops, _books, _payments, _exchange, _chain, _owners, _access):
        found += check(fleet)
    reasons = fleet.rows("SELECT source, subject, reason FROM failed_transactions WHERE resolved_at IS NULL")
    found += [Problem("stuck", f"dead letter {source} {subject}: {reason}") for source, subject, reason in reasons if reason not in letters]
    return found


def is_at_rest(fleet: SimFleet) -> bool:
    """Whether nothing goes on: no work is open, no vendor has anything left to do, no payment is unknown, and no money is on its way."""
    vendors = fleet.nowpayments.ways or fleet.nowpayments.sends or fleet.nowpayments.ipns or fleet.telegram.updates
    if vendors or any(order.left for order in fleet.changenow.orders.values()) or any(node.pool for node in fleet.chain.nodes):
        return False
    return not [*_at_rest(fleet), *_payments(fleet)]


def _at_rest(fleet: SimFleet) -> Iterator[Problem]:
    for step, subject, state, error in fleet.rows("SELECT step, subject, state, last_error FROM work WHERE state <> 'done'"):
        yield Problem("stuck", f"work {step}/{subject} is {state}: {error}")
    for table, ends in ENDS.items():
        for number, state in fleet.rows(f"SELECT id, state FROM {table} WHERE state <> ALL(:ends)", ends=list(ends)):
            yield Problem("stuck", f"{table} {number} is {state}")


def _stops(fleet: SimFleet) -> Iterator[Problem]:
    """What guards the money has nothing to stop in a world where only machines fail."""
    for switch, reason in fleet.rows("SELECT switch, reason FROM machine_pause"):
        yield Problem("stuck", f"{switch} is switched off: {reason}")
    for reason, at_home in fleet.rows("SELECT frozen_because(w), is_home(w.id) FROM wallet w"):
        if reason is not None or not at_home:
            yield Problem("stuck", f"the wallet is frozen: {reason}")


def _books(fleet: SimFleet) -> Iterator[Problem]:
    with fleet.db.reading() as tx:
        for invariant, breach in invariants.breaches(tx):
            yield Problem("broken", f"{invariant.code}, {invariant.claim}: {breach.subject}: {breach.detail}")


def _payments(fleet: SimFleet) -> Iterator[Problem]:
    """What NOWPayments counted for us is in the books, once each."""
    rows = {str(number): (state, int(units)) for number, state, units in fleet.rows("SELECT provider_id, state, outcome_units FROM processed_payments")}
    for number, payment in fleet.nowpayments.payments.items():
        came = 0 if payment["outcome_amount"] is None else int(payment["outcome_amount"] * ETHER)
        state, booked = rows.get(str(number), ("unknown", 0))
        if booked != came:
            yield Problem("lost" if booked < came else "doubled", f"payment {number} is {state} with {booked} of {came} wei")
    booked = int(
        fleet.value(
            """
            SELECT coalesce(sum(p.units), 0) FROM ledger_posting p JOIN ledger_account a ON a.id = p.account_id JOIN ledger_tx t ON t.id = p.tx_id
             WHERE a.code = 'np_transit' AND t.kind IN ('payment.credit', 'payment.review')
            """
        )
    )
    if booked != fleet.nowpayments.paid_total:
        yield Problem("doubled" if booked > fleet.nowpayments.paid_total else "lost", f"the ledger was credited {booked} of {fleet.nowpayments.paid_total} wei")


def _exchange(fleet: SimFleet) -> Iterator[Problem]:
    """Each order at ChangeNOW got nothing, or exactly its amount once; no order that nobody may fund got anything."""
    swaps = {provider: (int(number), state) for number, provider, state in fleet.rows("SELECT id, provider_id, state FROM swap WHERE provider_id IS NOT NULL")}
    for order in fleet.changenow.orders.values():
        number, state = swaps.get(order.id, (0, "an orphan"))
        paid = [units for _, units in order.deposits]
        if len(paid) > 1:
            yield Problem("doubled", f"order {order.id} (swap {number}, {state}) was paid {len(paid)} times")
        if paid and (number == 0 or state == "abandoned"):
            yield Problem("doubled", f"order {order.id} is {state} and was paid")
        if paid and paid[0] != order.units:
            yield Problem("broken", f"order {order.id} got {paid[0]} of {order.units} units")
        if not paid and state in {"funded", "finished", "refunded"}:
            yield Problem("lost", f"swap {number} is {state} and its order was never paid")


def _chain(fleet: SimFleet) -> Iterator[Problem]:
    """Every transaction of our wallet is one that we keep; each transfer that is final was mined once; the balances are the ledger's."""
    ours = {tx_hash for (tx_hash,) in fleet.rows("SELECT tx_hash FROM transfer_attempt UNION SELECT tx_hash FROM nonce_fill")}
    sent = fleet.chain.sent_by(ADDRESS)
    for mined in sent:
        if mined.tx.tx_hash not in ours:
            yield Problem("doubled", f"nonce {mined.tx.nonce} was used by {mined.tx.tx_hash}, which we do not keep")
    hashes = {mined.tx.tx_hash for mined in sent}
    for number, tx_hash in fleet.rows("SELECT id, mined_hash FROM transfer WHERE state IN ('final', 'failed_onchain')"):
        if tx_hash not in hashes:
            yield Problem("lost", f"transfer {number} is final here, and the chain does not have {tx_hash}")
    state = fleet.chain.head.state
    for asset, purse in (("eth", state.eth), ("usdterc20", state.token)):
        on_chain, booked = purse.get(ADDRESS.lower(), 0), fleet.value("SELECT balance FROM ledger_account WHERE code = 'wallet' AND asset = :a", a=asset)
        if on_chain != int(booked or 0):
            yield Problem("broken", f"the chain has {on_chain} {asset}, the ledger {booked}")


def _owners(fleet: SimFleet) -> Iterator[Problem]:
    """What each owner was paid by the vendor's and the chain's books is what his settled payouts say."""
    told: Counter[tuple[str, str]] = Counter()
    for asset, address, units in fleet.rows("SELECT payout_asset, address, paid_out_units FROM split_payout_que WHERE state = 'settled'"):
        told[str(asset), str(address).lower()] += int(units)
    really: Counter[tuple[str, str]] = Counter()
    coins = {
        f"{ticker}/{network}": (asset, int(decimals))
        for ticker, network, asset, decimals in fleet.rows("SELECT ticker, network, asset, decimals FROM currency_to_network")
    }
    for address, coin, amount in fleet.changenow.paid_elsewhere:
        asset, decimals = coins[coin]
        really[asset, address.lower()] += int(Decimal(amount).scaleb(decimals))
    places = {str(address).lower() for (address,) in fleet.rows("SELECT address FROM payout_details WHERE asset IN ('eth', 'usdterc20')")}
    for address in places:
        for asset, token in (("eth", False), ("usdterc20", True)):
            really[asset, address] += sum(units for _, units in fleet.chain.received(address, token=token))
    for key in sorted({*told, *really}):
        if told[key] != really[key]:
            yield Problem("doubled" if really[key] > told[key] else "lost", f"{key[1]} got {really[key]} {key[0]}, and {told[key]} are settled")


def _access(fleet: SimFleet) -> Iterator[Problem]:
    """Who is in has access; who has access is in, or was shown a way."""
    live = {
        (int(chat), int(user))
        for chat, user in fleet.rows(
            """
            SELECT c.closed_channel_id, m.buyer_id FROM entitlement e JOIN membership m ON m.id = e.membership_id JOIN channel c ON c.id = m.channel_id
             WHERE e.revoked_at IS NULL AND e.ends_at > pgp_now()
            """
        )
    }
    inside = {(chat, user) for chat, users in fleet.telegram.members.items() for user in users}
    yield from (Problem("broken", f"{user} is in {chat} without access") for chat, user in sorted(inside - live))
    for chat, user in sorted(live - inside):
        ways = [url for url in fleet.telegram.buttons(user, "Join") if fleet.telegram.links[url].chat_id == chat and not fleet.telegram.links[url].revoked]
        if not ways:
            yield Problem("lost", f"{user} has paid for {chat} and was shown no way in")

"""Every invariant finds its violation: one is planted for each, past the rules that would have refused it."""

from __future__ import annotations

from typing import Any

import pytest

from PGP_COMMON.database import BaseDatabaseManager
from PGP_COMMON.money_machines.invariants import INVARIANTS, breaches

ACCOUNT = "INSERT INTO ledger_account (code, asset, side, owner_id, balance) OVERRIDING SYSTEM VALUE VALUES ({})"
PAYMENT = """
INSERT INTO processed_payments (provider_id, order_id, state, status, status_rank, outcome_asset, outcome_units, owner_units, fee_units, correlation)
VALUES ('77', 1, '{state}', 'finished', 7, 'eth', {outcome}, {owner}, {fee}, 'x')
"""
ORDER = """
INSERT INTO orders (unique_id, view_token, kind, owner_id, channel_id, tier_id, buyer_id, price_usd, days, fee_percent, tolerance_bps, state, correlation, expires_at)
VALUES ('01ARZ3NDEKTSV4RRFFQ69G5FAV', 'abcdefghijklmnopqrstuv', 'subscription', 1, 1, 1, 5, 5, 30, 3, 100, 'paid', 'x', pgp_now())
"""
CREDITED = PAYMENT.format(state="credited", outcome=100, owner=97, fee=3)
BOOKED = "INSERT INTO ledger_tx (kind, reference, actor) VALUES ('payment.credit', '1', 'x')"
PAYOUT = """
INSERT INTO split_payout_que (owner_id, details_id, asset, units, payout_asset, address, fee_cap_percent, state, correlation)
VALUES (1, 1, 'usdterc20', 50, 'btc', 'an address', 2, '{state}', 'x')
"""
CONVERSION = (
    "INSERT INTO batch_conversions (from_asset, from_units, to_asset, received_units, state, correlation) VALUES ('eth', 5, 'usdterc20', 7, 'done', 'x')"
)
ACCUMULATION = """
INSERT INTO payout_accumulation (payment_id, owner_id, channel_id, asset, units, state, conversion_id, converted_asset, converted_units, payout_id)
VALUES (1, 1, 1, 'eth', 97, '{state}', 1, {converted}, {payout})
"""
SWAP = """
INSERT INTO swap (reference, quote_id, payout_id, state, from_asset, from_units, to_asset, to_units, payout_address, refund_address, deadline, provider_id, payin_address)
VALUES (gen_random_uuid(), 1, 1, 'funded', 'usdterc20', 50, 'btc', 1, 'x', 'y', pgp_now(), 'p1', '0x1')
"""
WALLET = "INSERT INTO wallet (address, chain_id, first_nonce, next_nonce, scanned_block) VALUES ('0x00000000000000000000000000000000000A11cE', 1, 0, 2, 0)"
TRANSFER = """
INSERT INTO transfer (wallet_id, purpose, payout_id, asset, recipient, units, state, nonce, calldata_hash, max_total_fee_wei, mined_hash)
VALUES (1, 'direct', 1, 'usdterc20', '0x00000000000000000000000000000000000A11cE', 50, 'final', 0, 'x', 1, '0xabc')
"""
PLANTED: dict[str, tuple[str, ...]] = {
    "I01": (ACCOUNT.format("'suspense', 'eth', 'C', NULL, 5"),),
    "I02": (ACCOUNT.format("'suspense', 'eth', 'C', NULL, 5"), ACCOUNT.format("'equity', 'eth', 'C', NULL, -5")),
    "I03": ("INSERT INTO ledger_tx (kind, reference, actor) VALUES ('odd', '1', 'x')",),
    "I04": (PAYMENT.format(state="observed", outcome=0, owner=0, fee=0),),
    "I05": (CREDITED,),
    "I06": ("ALTER TABLE processed_payments DROP CONSTRAINT payment_parts", PAYMENT.format(state="credited", outcome=100, owner=97, fee=2), BOOKED),
    "I06a": (CREDITED, BOOKED),
    "I06b": (CREDITED, BOOKED, ACCUMULATION.format(state="frozen", converted="NULL, NULL", payout="NULL")),
    "I07": (CONVERSION,),
    "I08": (PAYOUT.format(state="reserved"),),
    "I09": (PAYOUT.format(state="released"), ACCUMULATION.format(state="attached", converted="'usdterc20', 50", payout=1)),
    "I10": (PAYOUT.format(state="settled"),),
    "I11": (SWAP,),
    "I12": (WALLET,),
    "I13": (TRANSFER,),
    "I15": (ORDER,),
    "I16": ("INSERT INTO work (step, subject, state, wake_at, signature, correlation, sender) VALUES ('a.b', '1', 'dead', pgp_now(), 's', 'c', 'x')",),
    "I18": ("INSERT INTO state_history (machine, subject, source, target, actor) VALUES ('swap', 1, 'planned', 'finished', 'x')",),
    "I23": (ACCOUNT.format("'owner:1:pending', 'eth', 'C', 1, -5"),),
    "I24": (ACCOUNT.format("'suspense', 'eth', 'C', NULL, -5"),),
}


def test_an_empty_database_breaks_none(db: BaseDatabaseManager) -> None:
    with db.reading() as tx:
        assert breaches(tx) == []


def test_every_invariant_has_a_planted_violation() -> None:
    assert set(PLANTED) == {invariant.code for invariant in INVARIANTS}
    assert all(invariant.claim and invariant.claim[0].islower() for invariant in INVARIANTS)


# Other ways in which the same claims can fail to hold.
ALSO: dict[str, tuple[tuple[str, ...], ...]] = {
    "I05": (
        (PAYMENT.format(state="observed", outcome=0, owner=0, fee=0), BOOKED),
        (PAYMENT.format(state="reversed", outcome=100, owner=97, fee=3), BOOKED),
        (CREDITED, BOOKED, "INSERT INTO ledger_tx (kind, reference, actor) VALUES ('payment.reverse', '1', 'x')"),
        (PAYMENT.format(state="review", outcome=100, owner=97, fee=3),),
    ),
    "I06": ((PAYMENT.format(state="reversed", outcome=100, owner=97, fee=2),),),
    "I06a": (
        (PAYMENT.format(state="reversed", outcome=100, owner=97, fee=3), BOOKED),
        (PAYMENT.format(state="observed", outcome=0, owner=0, fee=0), ACCUMULATION.format(state="pending", converted="NULL, NULL", payout="NULL")),
    ),
    "I06b": (
        (CREDITED, BOOKED, ACCUMULATION.format(state="reversed", converted="NULL, NULL", payout="NULL")),
        (PAYMENT.format(state="reversed", outcome=100, owner=97, fee=3), BOOKED, ACCUMULATION.format(state="pending", converted="NULL, NULL", payout="NULL")),
    ),
    "I23": ((CREDITED, BOOKED, ACCUMULATION.format(state="pending", converted="NULL, NULL", payout="NULL")),),
    "I24": ((PAYMENT.format(state="review", outcome=100, owner=0, fee=0), "UPDATE processed_payments SET suspense_units = 100"),),
}


@pytest.mark.parametrize(("code", "planted"), [(code, planted) for code, ways in ALSO.items() for planted in ways])
def test_a_claim_is_looked_at_from_every_side(db: BaseDatabaseManager, code: str, planted: tuple[str, ...]) -> None:
    assert code in planted_and_found(db, planted)


@pytest.mark.parametrize("code", sorted(PLANTED))
def test_an_invariant_finds_what_breaks_it(db: BaseDatabaseManager, code: str) -> None:
    assert code in planted_and_found(db, PLANTED[code])


def planted_and_found(db: BaseDatabaseManager, statements: tuple[str, ...]) -> set[str]:
    """Plant what the rules of the database would refuse; gives back the codes of the claims that do not hold then."""
    with db.transaction() as tx:
        tx.run("SET LOCAL session_replication_role = replica")
        for statement in statements:
            planted: Any = statement
            tx.run(planted)
    with db.reading() as tx:
        return {invariant.code for invariant, _ in breaches(tx)}

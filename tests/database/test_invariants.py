"""Every invariant finds its violation: some are planted for each, past the rules that would have refused them."""

from __future__ import annotations

from typing import Any

import pytest

from PGP_COMMON.database import BaseDatabaseManager
from PGP_COMMON.money_machines.invariants import INVARIANTS, Since, breaches, here

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
VALUES (gen_random_uuid(), {number}, 1, '{state}', 'usdterc20', {units}, 'btc', 1, 'x', 'y', pgp_now(), 'p{number}', '0x{number}')
"""
WALLET = "INSERT INTO wallet (address, chain_id, first_nonce, next_nonce, scanned_block) VALUES ('0x00000000000000000000000000000000000A11cE', 1, 0, 2, 0)"
TRANSFER = """
INSERT INTO transfer (wallet_id, purpose, swap_id, payout_id, asset, recipient, units, state, nonce, calldata_hash, max_total_fee_wei, mined_hash)
VALUES (1, '{purpose}', {swap}, {payout}, 'usdterc20', '0x00000000000000000000000000000000000A11cE', 50, '{state}', {nonce}, 'x', 1, '0x{hash}')
"""
HASH = "ab" * 32
DIRECT = TRANSFER.format(purpose="direct", swap="NULL", payout=1, state="final", nonce=0, hash=HASH)
FUNDING = TRANSFER.format(purpose="swap", swap=1, payout="NULL", state="final", nonce=0, hash=HASH)
ATTEMPT = """
INSERT INTO transfer_attempt (transfer_id, seq, wallet_id, nonce, asset, recipient, units, calldata_hash, raw, tx_hash, gas_limit, max_fee_wei, max_priority_wei)
VALUES (1, 1, 1, {nonce}, 'usdterc20', '0x00000000000000000000000000000000000A11cE', {units}, 'x', 'x', '0x{hash}', 1, 1, 1)
"""
OWN_ATTEMPT = ATTEMPT.format(nonce=0, units=50, hash=HASH)
PENDING = ACCUMULATION.format(state="pending", converted="NULL, NULL", payout="NULL")
PAID = ACCUMULATION.format(state="paid", converted="'usdterc20', 50", payout=1)
WORK = "INSERT INTO work (step, subject, state, wake_at, signature, correlation, sender) VALUES ('a.b', '1', '{state}', {wake_at}, 's', 'c', 'x')"
DIED = (WORK.format(state="dead", wake_at="pgp_now()"), "UPDATE work SET done_at = pgp_now() - interval '30 seconds'")
LETTER = """
INSERT INTO failed_transactions (source, subject, reason, work_id, created_at, resolved_at)
SELECT step, subject, 'odd', {work}, pgp_now() - interval '{since}', {resolved} FROM work
"""
HISTORY = "INSERT INTO state_history (machine, subject, source, target, actor) VALUES ('swap', 1, {source}, '{target}', 'x')"
BORN = HISTORY.format(source="NULL", target="planned")
ENTITLED = "INSERT INTO entitlement (membership_id, order_id, starts_at, ends_at) VALUES (1, 1, pgp_now(), pgp_now() + interval '1 day')"
STRAY = f"INSERT INTO chain_tx (tx_hash, wallet_id, nonce, block, units, succeeded, gas_wei) VALUES ('0x{HASH}', 1, 0, 1, 0, true, 0)"
CAME = f"""
INSERT INTO arrival (wallet_id, asset, units, tx_hash, log, block, sender, cause, payment_id, matched_at)
VALUES (1, 'eth', 101, '0x{HASH}', 'native', 1, 'x', 'payment', 1, pgp_now())
"""
MATCHED = "INSERT INTO ledger_tx (kind, reference, actor) VALUES ('arrival.match', '1', 'x')"
# Each claim with what breaks it: one planting a line.
PLANTED: dict[str, tuple[tuple[str, ...], ...]] = {
    "I01": ((ACCOUNT.format("'suspense', 'eth', 'C', NULL, 5"),),),
    "I02": (
        (ACCOUNT.format("'suspense', 'eth', 'C', NULL, 5"), ACCOUNT.format("'equity', 'eth', 'C', NULL, -5")),
        (ACCOUNT.format("'owner:1:pending', 'eth', 'C', 1, -5"), "INSERT INTO ledger_posting (tx_id, line, account_id, asset, units) VALUES (1, 1, 1, 'eth', -4)"),
    ),
    "I03": (
        ("INSERT INTO ledger_tx (kind, reference, actor) VALUES ('odd', '1', 'x')",),
        (BOOKED, "INSERT INTO ledger_posting (tx_id, line, account_id, asset, units) VALUES (1, 1, 1, 'eth', -4)"),
    ),
    "I04": ((PAYMENT.format(state="observed", outcome=0, owner=0, fee=0),), (PAYMENT.format(state="review", outcome=5, owner=0, fee=0),)),
    "I05": (
        (CREDITED,),
        (PAYMENT.format(state="rejected", outcome=0, owner=0, fee=0), BOOKED),
        (PAYMENT.format(state="observed", outcome=0, owner=0, fee=0), BOOKED),
        (PAYMENT.format(state="reversed", outcome=100, owner=97, fee=3), BOOKED),
        (CREDITED, BOOKED, "INSERT INTO ledger_tx (kind, reference, actor) VALUES ('payment.reverse', '1', 'x')"),
        (PAYMENT.format(state="review", outcome=100, owner=97, fee=3),),
    ),
    "I06": (
        ("ALTER TABLE processed_payments DROP CONSTRAINT payment_parts", PAYMENT.format(state="credited", outcome=100, owner=97, fee=2), BOOKED),
        ("ALTER TABLE processed_payments DROP CONSTRAINT payment_parts", PAYMENT.format(state="reversed", outcome=100, owner=97, fee=2)),
    ),
    "I06a": (
        (CREDITED, BOOKED),
        (PAYMENT.format(state="reversed", outcome=100, owner=97, fee=3), BOOKED),
        (PAYMENT.format(state="observed", outcome=0, owner=0, fee=0), PENDING),
    ),
    "I06b": (
        (CREDITED, BOOKED, ACCUMULATION.format(state="frozen", converted="NULL, NULL", payout="NULL")),
        (CREDITED, BOOKED, ACCUMULATION.format(state="reversed", converted="NULL, NULL", payout="NULL")),
        (PAYMENT.format(state="reversed", outcome=100, owner=97, fee=3), BOOKED, PENDING),
    ),
    "I07": ((CONVERSION,),),
    "I08": (
        (PAYOUT.format(state="reserved"),),
        (PAYOUT.format(state="settled"), ACCUMULATION.format(state="attached", converted="'usdterc20', 50", payout=1)),
        (PAYOUT.format(state="funded"), PAID),
    ),
    "I09": ((PAYOUT.format(state="released"), ACCUMULATION.format(state="attached", converted="'usdterc20', 50", payout=1)),),
    "I10": (
        (PAYOUT.format(state="settled"),),
        (PAYOUT.format(state="settled"), SWAP.format(number=1, state="finished", units=50), DIRECT),
        (PAYOUT.format(state="released"), SWAP.format(number=1, state="finished", units=50)),
        ("DROP INDEX swap_live_payout", PAYOUT.format(state="funded"), *(SWAP.format(number=number, state="funded", units=50) for number in (1, 2))),
    ),
    "I11": (
        (SWAP.format(number=1, state="funded", units=50),),
        (SWAP.format(number=1, state="finished", units=51), FUNDING),
        (SWAP.format(number=1, state="hold", units=50), FUNDING),
    ),
    "I12": (
        (WALLET,),
        (WALLET, *(TRANSFER.format(purpose="treasury", swap="NULL", payout="NULL", state="final", nonce=nonce, hash=HASH) for nonce in (0, 1, 2))),
    ),
    "I13": (
        (PAYOUT.format(state="settled"), DIRECT),
        (PAYOUT.format(state="settled"), DIRECT, ATTEMPT.format(nonce=0, units=49, hash=HASH)),
        (PAYOUT.format(state="settled"), DIRECT, ATTEMPT.format(nonce=1, units=50, hash=HASH)),
        (PAYOUT.format(state="settled"), DIRECT, OWN_ATTEMPT),
        (SWAP.format(number=1, state="funded", units=51), FUNDING, OWN_ATTEMPT),
    ),
    "I14": ((STRAY,),),
    "I15": ((ORDER,), (ORDER.replace("'paid'", "'part_paid'"), ENTITLED)),
    "I16": (
        (WORK.format(state="dead", wake_at="pgp_now()"),),
        (*DIED, LETTER.format(work="id", since="2 minutes", resolved="pgp_now() - interval '1 minute'")),
        (*DIED, LETTER.format(work="NULL", since="0 minutes", resolved="NULL")),
    ),
    "I17": ((WORK.format(state="open", wake_at="pgp_now() - interval '16 minutes'"),),),
    "I18": (
        (HISTORY.format(source="'planned'", target="finished"),),
        (SWAP.format(number=1, state="created", units=50), BORN, HISTORY.format(source="'created'", target="funding")),
        (SWAP.format(number=1, state="created", units=50), BORN),
        (BORN,),
    ),
    "I23": (
        (ACCOUNT.format("'owner:1:pending', 'eth', 'C', 1, -5"), BOOKED, "INSERT INTO ledger_posting (tx_id, line, account_id, asset, units) VALUES (1, 1, 1, 'eth', -5)"),
        (CREDITED, BOOKED, PENDING),
    ),
    "I24": (
        (ACCOUNT.format("'suspense', 'eth', 'C', NULL, -5"),),
        (PAYMENT.format(state="review", outcome=100, owner=0, fee=0), "UPDATE processed_payments SET suspense_units = 100"),
    ),
    "I25": (
        (ACCOUNT.format("'np_transit', 'eth', 'D', NULL, 5"),),
        (CREDITED, BOOKED),
        (CREDITED, BOOKED, CAME, MATCHED, ACCOUNT.format("'np_transit', 'eth', 'D', NULL, 100")),
    ),
    "I26": (
        (CREDITED, BOOKED, CAME, MATCHED),
        (CREDITED, BOOKED, CAME, MATCHED, "INSERT INTO failed_transactions (source, subject, reason, resolved_at) VALUES ('payment.surplus', '1', 'x', pgp_now())"),
    ),
}  # fmt: skip
CASES = [pytest.param(code, planted, id=f"{code}-{number}") for code, all_ in sorted(PLANTED.items()) for number, planted in enumerate(all_, 1)]
# What is summed up once a day: every account that has a posting for each payment ever made.
DAILY = {"I02-1", "I02-2", "I25-1", "I25-2", "I25-3"}
MACHINES = ("order", "payment", "accumulation", "conversion", "payout", "swap", "transfer")


def plant(db: BaseDatabaseManager, statements: tuple[str, ...]) -> None:
    """Write what the rules of the database would refuse."""
    with db.transaction() as tx:
        tx.run("SET LOCAL session_replication_role = replica")
        for statement in statements:
            planted: Any = statement
            tx.run(planted)


def codes(db: BaseDatabaseManager, since: Since | None = None) -> set[str]:
    with db.transaction() as tx:
        return {invariant.code for invariant, _ in breaches(tx, since=since)}


def test_an_empty_database_breaks_none(db: BaseDatabaseManager) -> None:
    assert codes(db) == codes(db, Since(0, 0)) == set()


def test_every_invariant_has_a_planted_violation() -> None:
    assert set(PLANTED) == {invariant.code for invariant in INVARIANTS}
    assert all(invariant.claim and invariant.claim[0].islower() for invariant in INVARIANTS)


@pytest.mark.parametrize(("code", "planted"), CASES)
def test_an_invariant_finds_what_breaks_it(db: BaseDatabaseManager, code: str, planted: tuple[str, ...]) -> None:
    plant(db, planted)
    assert code in codes(db)


@pytest.mark.parametrize(("code", "planted"), CASES)
def test_an_invariant_finds_what_breaks_it_among_what_has_moved(
    db: BaseDatabaseManager, code: str, planted: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    plant(db, planted)
    if code != "I18":
        plant(db, tuple(f"INSERT INTO state_history (machine, subject, target, actor) VALUES ('{machine}', 1, 'x', 'x')" for machine in MACHINES))
    found = codes(db, Since(0, 0))
    assert (code in found) == (request.node.callspec.id not in DAILY)


@pytest.mark.parametrize(
    ("since", "resolved"), [("30 seconds", "NULL"), ("2 minutes", "NULL"), ("2 minutes", "pgp_now()"), ("10 seconds", "pgp_now() - interval '1 minute'")]
)
def test_dead_work_may_have_its_letter_open_or_resolved_since(db: BaseDatabaseManager, since: str, resolved: str) -> None:
    plant(db, (*DIED, LETTER.format(work="id", since=since, resolved=resolved)))
    assert codes(db) == set()


def test_what_has_not_moved_is_left_to_the_daily_run(db: BaseDatabaseManager) -> None:
    plant(db, (PAYOUT.format(state="reserved"), "INSERT INTO state_history (machine, subject, target, actor) VALUES ('payout', 1, 'reserved', 'x')"))
    with db.reading() as tx:
        now = here(tx)
    assert "I08" in codes(db, Since(now.history - 1, now.ledger))
    assert codes(db, now) == set()
    assert "I08" in codes(db)

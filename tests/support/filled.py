"""A database that has been in use for long: so many payments that came, were converted and paid out, with their history; every invariant holds."""

from __future__ import annotations

from typing import Any

from PGP_COMMON.database import BaseDatabaseManager

OWNERS, A_CONVERSION, A_PAYOUT = 200, 100, 20
STATES = {
    "order": ("created", "invoiced", "paid"),
    "payment": ("observed", "credited"),
    "invite": ("planned", "linked", "sent", "joined"),
    "accumulation": ("pending", "converting", "converted", "attached", "paid"),
    "conversion": ("planned", "quoted", "swapping", "done"),
    "payout": ("reserved", "quoted", "swap_ready", "funding", "funded", "settled"),
    "swap": ("planned", "created", "funding", "funded", "finished"),
    "transfer": ("requested", "signed", "broadcast", "mined", "final"),
}
ADDRESS = "'0x' || lpad(to_hex(n), 40, '0')"
STATEMENTS = (
    "INSERT INTO account (email, password_hash) SELECT 'o' || n || '@x.test', 'x' FROM generate_series(1, :owners) n",
    "INSERT INTO client_table (account_id) SELECT n FROM generate_series(1, :owners) n",
    """
    INSERT INTO channel (owner_id, open_channel_id, closed_channel_id, open_title, closed_title)
    SELECT n, -1000000 - 2 * n, -1000001 - 2 * n, 'o', 'c' FROM generate_series(1, :owners) n
    """,
    "INSERT INTO subscription_tier_map (channel_id, position, label, price_usd, days) SELECT n, 1, 'm', 20, 30 FROM generate_series(1, :owners) n",
    "INSERT INTO payout_details (owner_id, asset, address) SELECT n, 'btc', 'an address' FROM generate_series(1, :owners) n",
    """
    INSERT INTO orders (unique_id, view_token, kind, owner_id, channel_id, tier_id, buyer_id, price_usd, days, fee_percent, tolerance_bps, paid_usd, state,
                        correlation, expires_at)
    SELECT lpad(CAST(n AS text), 26, '0'), lpad(CAST(n AS text), 22, '0'), 'subscription', 1 + n % :owners, 1 + n % :owners, 1 + n % :owners, n, 20, 30, 3,
           100, 20, 'paid', 'c', pgp_now() FROM generate_series(1, :payments) n
    """,
    """
    INSERT INTO membership (channel_id, buyer_id, present) SELECT 1 + n % :owners, n, true FROM generate_series(1, :payments) n
    """,
    """
    INSERT INTO entitlement (membership_id, order_id, starts_at, ends_at) SELECT n, n, pgp_now(), pgp_now() + interval '30 days' FROM generate_series(1, :payments) n
    """,
    """
    INSERT INTO invite (entitlement_id, mode, state, link) SELECT n, 'join_request', 'joined', 'l' FROM generate_series(1, :payments) n
    """,
    """
    INSERT INTO processed_payments (provider_id, order_id, state, status, status_rank, outcome_asset, outcome_units, owner_units, fee_units, correlation, credited_at)
    SELECT CAST(n AS text), n, 'credited', 'finished', 7, 'eth', 1000, 970, 30, 'c', pgp_now() FROM generate_series(1, :payments) n
    """,
    """
    INSERT INTO batch_conversions (from_asset, from_units, to_asset, received_units, state, correlation)
    SELECT 'eth', 970 * :a_conversion, 'usdterc20', 970 * :a_conversion, 'done', 'c' FROM generate_series(1, :payments / :a_conversion) n
    """,
    """
    INSERT INTO split_payout_que (owner_id, details_id, asset, units, payout_asset, address, fee_cap_percent, state, correlation, finished_at)
    SELECT 1 + n % :owners, 1 + n % :owners, 'usdterc20', 970 * :a_payout, 'btc', 'an address', 2, 'settled', 'c', pgp_now()
      FROM generate_series(1, :payments / :a_payout) n
    """,
    """
    INSERT INTO payout_accumulation (payment_id, owner_id, channel_id, asset, units, state, conversion_id, converted_asset, converted_units, payout_id)
    SELECT n, 1 + n % :owners, 1 + n % :owners, 'eth', 970, 'paid', 1 + (n - 1) / :a_conversion, 'usdterc20', 970, 1 + (n - 1) / :a_payout
      FROM generate_series(1, :payments) n
    """,
    """
    INSERT INTO quote (payout_id, from_asset, from_units, to_asset, to_units, priced_at)
    SELECT n, 'usdterc20', 970 * :a_payout, 'btc', 1, pgp_now() FROM generate_series(1, :payments / :a_payout) n
    """,
    """
    INSERT INTO swap (reference, quote_id, payout_id, state, from_asset, from_units, to_asset, to_units, payout_address, refund_address, deadline,
                      provider_id, payin_address, ended_at)
    SELECT gen_random_uuid(), n, n, 'finished', 'usdterc20', 970 * :a_payout, 'btc', 1, 'an address', 'r', pgp_now(), 'p' || n, {address}, pgp_now()
      FROM generate_series(1, :payments / :a_payout) n
    """,
    """
    INSERT INTO wallet (address, chain_id, first_nonce, next_nonce, scanned_block)
    VALUES ('0x00000000000000000000000000000000000A11cE', 1, 0, :payments / :a_payout, 1)
    """,
    "INSERT INTO wallet_home (wallet_id, reason) VALUES (1, 'filled')",
    """
    INSERT INTO transfer (wallet_id, purpose, swap_id, asset, recipient, units, state, nonce, calldata_hash, max_total_fee_wei, mined_hash, mined_block, signed_at)
    SELECT 1, 'swap', n, 'usdterc20', {address}, 970 * :a_payout, 'final', n - 1, 'x', 1, '0x' || lpad(to_hex(n), 64, '0'), n, pgp_now() - interval '2 days'
      FROM generate_series(1, :payments / :a_payout) n
    """,
    """
    INSERT INTO transfer_attempt (transfer_id, seq, wallet_id, nonce, asset, recipient, units, calldata_hash, raw, tx_hash, gas_limit, max_fee_wei, max_priority_wei)
    SELECT n, 1, 1, n - 1, 'usdterc20', {address}, 970 * :a_payout, 'x', 'x', '0x' || lpad(to_hex(n), 64, '0'), 1, 1, 1
      FROM generate_series(1, :payments / :a_payout) n
    """,
    """
    INSERT INTO work (step, subject, state, wake_at, signature, correlation, sender, done_at)
    SELECT 'payment.settle', CAST(n AS text), 'done', pgp_now(), 's', 'c', 'x', pgp_now() FROM generate_series(1, 3 * :payments) n
    """,
    "INSERT INTO ledger_account (code, asset, side) VALUES ('np_transit', 'eth', 'D'), ('income:fee', 'eth', 'C'), ('in_flight', 'eth', 'D')",
    "INSERT INTO ledger_account (code, asset, side, owner_id) SELECT 'owner\\:' || n || '\\:pending', 'eth', 'C', n FROM generate_series(1, :owners) n",
    """
    INSERT INTO ledger_tx (kind, reference, actor)
    SELECT kind, CAST(n AS text), 'x' FROM generate_series(1, :payments) n, unnest(ARRAY['payment.credit', 'payout.settle']) kind ORDER BY n, kind
    """,
    """
    INSERT INTO ledger_posting (tx_id, line, account_id, asset, units)
    SELECT t.id, l.line, CASE WHEN l.account = 0 THEN 4 + CAST(t.reference AS bigint) % :owners ELSE l.account END, 'eth', l.units
      FROM ledger_tx t JOIN (VALUES ('payment.credit', 1, 1, 1000), ('payment.credit', 2, 0, -970), ('payment.credit', 3, 2, -30),
                                    ('payout.settle', 1, 0, 970), ('payout.settle', 2, 3, -970)) AS l (kind, line, account, units) ON l.kind = t.kind
    """,
    "UPDATE ledger_account a SET balance = p.units FROM (SELECT account_id, sum(units) AS units FROM ledger_posting GROUP BY 1) p WHERE p.account_id = a.id",
)
COUNTS = {"order": 1, "payment": 1, "invite": 1, "accumulation": 1, "conversion": A_CONVERSION, "payout": A_PAYOUT, "swap": A_PAYOUT, "transfer": A_PAYOUT}


def fill(db: BaseDatabaseManager, *, payments: int) -> None:
    """Write so many payments (a multiple of a hundred) and all that came of them, past the rules that would have watched each step, and let statistics be made."""
    sizes = {":owners": OWNERS, ":payments": payments, ":a_conversion": A_CONVERSION, ":a_payout": A_PAYOUT}
    with db.transaction() as tx:
        tx.run("SET LOCAL session_replication_role = replica")
        tx.run("SET LOCAL statement_timeout = 0")
        for statement in STATEMENTS:
            tx.run(_with(statement.replace("{address}", ADDRESS), sizes))
        # In the order in which things happened: what is one payment's stands together.
        rows = ", ".join(
            f"({number}, '{machine}', {COUNTS[machine]}, {'NULL' if number == 0 else repr(states[number - 1])}, '{state}')"
            for machine, states in STATES.items()
            for number, state in enumerate(states)
        )
        history: Any = f"""
            INSERT INTO state_history (machine, subject, source, target, actor)
            SELECT s.machine, n / s.each, s.source, s.target, 'x' FROM generate_series(1, {payments}) n
              JOIN (VALUES {rows}) AS s (number, machine, each, source, target) ON n % s.each = 0 ORDER BY n, s.machine, s.number
            """
        tx.run(history)
    with db.reading() as tx:
        tx.run("SET statement_timeout = 0")
        tx.run("ANALYZE")
        tx.run("RESET statement_timeout")


def _with(statement: str, sizes: dict[str, int]) -> Any:
    for name, value in sizes.items():
        statement = statement.replace(name, str(value))
    return statement

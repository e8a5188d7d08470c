"""Mistakes in how work is claimed, kept, sent and woken, in who gets in, and in who may be in a channel."""

from __future__ import annotations

from tests.simulation.mutants_kinds import CLAIMS, DATABASE, MACHINES, Mutant, mutant

WORK = (
    mutant(
        "the fence is dropped",
        CLAIMS,
        "CAST(:lease AS int))) END\n         WHERE id = :id AND fence = :fence AND lease_owner = :owner AND state = 'open'",
        "CAST(:lease AS int))) END\n         WHERE id = :id",
        f"{DATABASE}test_engine.py::test_a_slow_worker_whose_lease_ran_out_cannot_write_what_another_has_written",
    ),
    mutant(
        "a claim does not look at the lease",
        CLAIMS,
        "AND (lease_until IS NULL OR lease_until <= pgp_now())\n           AND not_before",
        "AND not_before",
        f"{DATABASE}test_races_work.py::test_whoever_finds_it_held_goes_away_and_the_sweep_comes_back_when_the_holder_has_died",
    ),
    mutant(
        "a held delivery is forgotten and nobody comes back",
        CLAIMS,
        "wake_at = pgp_now() + make_interval(secs => :lease)\n         WHERE step",
        "wake_at = pgp_now() + make_interval(secs => 9999 * CAST(:lease AS int))\n         WHERE step",
        f"{DATABASE}test_races_work.py::test_whoever_finds_it_held_goes_away_and_the_sweep_comes_back_when_the_holder_has_died",
    ),
    mutant(
        "published before the commit",
        "PGP_COMMON/database.py",
        "            wakes = work.flush()\n",
        "            wakes = work.flush()\n            if wakes and self._publish:\n                self._publish(wakes)\n",
        f"{DATABASE}test_races_work.py::test_nobody_is_woken_for_what_the_commit_refused",
    ),
    mutant(
        "a switched off machine goes on",
        CLAIMS,
        "\n           AND (CAST(:switch AS text) = '' OR NOT is_switched_off(:switch))\n        RETURNING",
        "\n        RETURNING",
        f"{DATABASE}test_engine.py::test_a_switched_off_machine_takes_no_work_and_goes_on_when_it_is_switched_on",
    ),
    mutant(
        "two sweeps wake the same row",
        "PGP_COMMON/sweep.py",
        "ORDER BY wake_at LIMIT :limit FOR UPDATE SKIP LOCKED)",
        "ORDER BY wake_at LIMIT :limit)",
        f"{DATABASE}test_races_work.py::test_eight_sweeps_at_once_wake_each_row_once",
    ),
    mutant(
        "a retry reopens what is not dead",
        f"{MACHINES}dead_letters.py",
        "WHERE id = :id AND state = 'dead'\n        RETURNING",
        "WHERE id = :id\n        RETURNING",
        f"{DATABASE}test_races_work.py::test_a_retry_of_what_was_done_meanwhile_runs_nothing",
    ),
    mutant(
        "work is sent in any order",
        "PGP_COMMON/outbox.py",
        'sorted(self._rows, key=lambda row: (row["step"], row["subject"]))',
        "list(self._rows)",
        f"{DATABASE}test_races_work.py::test_two_who_send_the_same_work_in_opposite_orders_lock_nobody_out",
    ),
    mutant(
        "members are noted in the order of the turn",
        "PGP_SERVER_v1/steps.py",
        "sorted(members_store.members(tx, turn=job.subject, limit=PAGE_OF_LOOKS), key=lambda row: row.id)",
        "members_store.members(tx, turn=job.subject, limit=PAGE_OF_LOOKS)",
        f"{DATABASE}test_races_locks.py::test_two_looks_at_the_same_members_lock_nobody_out",
    ),
    mutant(
        "finds are kept in any order",
        "PGP_ORCHESTRATOR_v1/finding.py",
        "for body in sorted(bodies(findings.missed.values())):",
        "for body in bodies(findings.missed.values()):",
        f"{DATABASE}test_races_payments.py::test_two_runs_that_find_the_same_payments_in_opposite_orders_lock_nobody_out",
    ),
    mutant(
        "a payout's row is locked after its swap's",
        "PGP_HOSTPAY_v1/hostpay1_orchestrator/steps.py",
        "    payout = payouts.lock(tx, payout_id) if payout_id is not None else None\n    swap = swaps.lock(tx, job.id)\n",
        "    swap = swaps.lock(tx, job.id)\n    payout = payouts.lock(tx, payout_id) if payout_id is not None else None\n",
        f"{DATABASE}test_races_locks.py::test_no_transaction_takes_locks_against_the_order_and_no_two_can_wait_for_each_other",
    ),
    mutant(
        "an invoice is locked before its order",
        f"{MACHINES}orders.py",
        "WHERE i.id = :id FOR NO KEY UPDATE OF o",
        "WHERE i.id = :id",
        f"{DATABASE}test_races_locks.py::test_an_invoice_whose_answer_comes_while_a_payment_for_it_is_settled_locks_nobody_out",
    ),
    mutant(
        "a death under an open alarm leaves the letter as it is",
        "PGP_COMMON/engine.py",
        '("DO NOTHING" if work_id is None else TAKE_OVER)',
        '"DO NOTHING"',
        f"{DATABASE}test_engine.py::test_a_step_that_dies_under_an_open_alarm_takes_its_letter_and_keeps_what_it_said",
    ),
    mutant(
        "signing keys are read when the transaction has begun",
        "PGP_COMMON/database.py",
        "            work = Transaction(connection, outbox)",
        "            work = Transaction(connection, self._outbox() if self._outbox else None)",
        f"{DATABASE}test_secrets_before_begin.py",
    ),
)

ACCESS = (
    mutant(
        "a renewal begins now",
        f"{MACHINES}access.py",
        "SELECT greatest(pgp_now(), max(ends_at)) AS starts_at",
        "SELECT pgp_now() + 0 * (max(ends_at) - pgp_now()) AS starts_at",
        f"{DATABASE}test_properties_access.py",
    ),
    mutant(
        "a renewal begins at the end of what was revoked",
        f"{MACHINES}access.py",
        "FROM entitlement WHERE membership_id = :membership_id AND revoked_at IS NULL) run",
        "FROM entitlement WHERE membership_id = :membership_id) run",
        f"{DATABASE}test_properties_access.py",
    ),
    mutant(
        "the end of access is not read again",
        "PGP_SERVER_v1/steps.py",
        "    now = access.lock_ending(tx, before.id)\n",
        "    now: access.Ending | None = before\n",
        f"{DATABASE}test_bot_access.py::test_a_renewal_that_comes_while_he_is_seen_out_gives_him_a_way_back",
    ),
    mutant(
        "whoever has renewed is put out",
        "PGP_SERVER_v1/steps.py",
        "    if not ending.renewed:\n",
        "    if ending.over:\n",
        f"{DATABASE}test_bot_access.py::test_a_renewal_before_the_end_keeps_him_in_and_loses_no_day",
    ),
    mutant(
        "a thief's use does not see the owner's next token",
        "PGP_WEBAPI_v1/account_store.py",
        "WHERE family = (SELECT family FROM refresh_token WHERE token_hash = :hash) ORDER BY id LIMIT 1 FOR UPDATE",
        "WHERE token_hash = :hash FOR UPDATE",
        f"{DATABASE}test_races_people.py::test_a_thief_who_races_the_owners_next_refresh_leaves_no_token_of_the_family_alive",
    ),
)

WORKING: tuple[Mutant, ...] = (
    *WORK,
    *ACCESS,
)

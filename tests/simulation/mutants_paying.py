"""Mistakes between what owners have earned and what they are paid."""

from __future__ import annotations

from tests.simulation.mutants_kinds import COMMON, DATABASE, HOSTPAY, HOSTPAY1, MACHINES, MICROBATCH, Edit, Mutant, mutant

PAYOUTS = (
    mutant(
        "payouts are summed first and then taken by their state",
        f"{MACHINES}accumulations.py",
        "payout_id = :payout_id WHERE id = ANY(CAST(:ids AS bigint[])) AND state = 'converted'",
        "payout_id = :payout_id WHERE owner_id = (SELECT owner_id FROM payout_accumulation WHERE id = (CAST(:ids AS bigint[]))[1]) AND state = 'converted'",
        f"{DATABASE}test_payout_planning.py::test_two_schedulers_never_reserve_the_same_money_twice",
    ),
    mutant(
        "conversions are summed first and then taken by their state",
        f"{MACHINES}accumulations.py",
        "SET state = 'converting', conversion_id = :conversion_id\n         WHERE id = ANY(CAST(:ids AS bigint[])) AND state = 'pending'",
        "SET state = 'converting', conversion_id = :conversion_id\n         WHERE cardinality(CAST(:ids AS bigint[])) > 0 AND state = 'pending'",
        f"{DATABASE}test_conversion_planning.py::test_money_that_has_not_arrived_is_left_pending",
        f"{DATABASE}test_conversion_planning.py::test_nothing_is_lost_or_doubled_while_two_schedulers_plan_and_payments_come_in",
    ),
    mutant(
        "two plans for one owner at once",
        "PGP_BATCH_v1/store.py",
        "FROM client_table WHERE id = :owner_id FOR NO KEY UPDATE",
        "FROM client_table WHERE id = :owner_id",
        f"{DATABASE}test_races_planning.py::test_whoever_plans_for_an_owner_while_another_one_does_waits_and_finds_him_taken",
    ),
    mutant(
        "a conversion takes rows that another one holds",
        f"{MACHINES}accumulations.py",
        "ORDER BY a.id LIMIT :limit\n           FOR UPDATE OF a SKIP LOCKED",
        "ORDER BY a.id LIMIT :limit",
        f"{DATABASE}test_conversion_planning.py::test_nothing_is_lost_or_doubled_while_two_schedulers_plan_and_payments_come_in",
    ),
    mutant(
        "paid when it is reserved",
        f"{MACHINES}accumulations.py",
        "SET state = 'attached', payout_id = :payout_id",
        "SET state = 'paid', payout_id = :payout_id",
        f"{DATABASE}test_payout_planning.py::test_an_owner_above_his_threshold_gets_one_payout_of_everything",
    ),
    mutant(
        "money that has not arrived is converted",
        f"{MACHINES}accumulations.py",
        "           AND EXISTS (SELECT 1 FROM arrival r WHERE r.payment_id = a.payment_id AND r.cause = 'payment' AND r.asset = a.asset)\n",
        "",
        f"{DATABASE}test_conversion_planning.py::test_money_that_has_not_arrived_is_left_pending",
    ),
    mutant(
        "a changed address counts at once",
        "PGP_BATCH_v1/store.py",
        "WHERE owner_id = :owner_id AND usable_from <= pgp_now() ORDER BY",
        "WHERE owner_id = :owner_id ORDER BY",
        f"{DATABASE}test_payout_planning.py::test_a_changed_address_is_used_only_after_its_waiting_time",
    ),
    mutant(
        "coin and address of a payout are read at two moments",
        f"{MACHINES}payouts.py",
        "SELECT d.owner_id, d.id, :asset, :units, d.asset, d.address, d.extra_id,",
        "SELECT d.owner_id, d.id, :asset, :units, d.asset, (SELECT n.address FROM payout_details n WHERE n.owner_id = d.owner_id ORDER BY n.id DESC LIMIT 1), d.extra_id,",
        f"{DATABASE}test_payout_planning.py::test_a_changed_address_is_used_only_after_its_waiting_time",
    ),
    mutant(
        "what was promised is shared out, not what arrived",
        f"{MICROBATCH}endings.py",
        'received=received)\n    logger.info("a conversion is done"',
        'received=swap.to_units)\n    logger.info("a conversion is done"',
        f"{DATABASE}test_conversion_endings.py::test_what_arrived_is_shared_out_to_the_last_unit",
    ),
    mutant(
        "the first row gets all that is left over",
        "PGP_COMMON/money.py",
        "    for i in order[: total - sum(parts)]:\n        parts[i] += 1\n",
        "    parts[order[0]] += total - sum(parts)\n",
        f"{COMMON}test_money.py",
    ),
    mutant(
        "the fee cap is not asked",
        "PGP_SPLIT_v1/split1_orchestrator/steps.py",
        "if quote.cost_bps is not None and fees.is_above_cap(",
        "if quote.cost_bps is None and fees.is_above_cap(",
        f"{DATABASE}test_payout_pricing.py::test_a_quote_above_the_fee_cap_gives_the_money_back",
    ),
    mutant(
        "an old look at the exchange opens the gate",
        f"{HOSTPAY1}steps.py",
        "if not swaps.was_looked_at(tx, swap.id, within_s=LOOK_HOLDS_S):",
        "if not swaps.was_looked_at(tx, swap.id, within_s=LOOK_HOLDS_S * 1000):",
        f"{DATABASE}test_transfer_payouts.py::test_a_look_that_is_older_than_a_minute_funds_nothing",
    ),
    mutant(
        "an exchange that does not wait for coins is funded",
        f"{HOSTPAY1}steps.py",
        'if standing(swap.vendor_status or "") is not Standing.FUNDABLE:',
        'if standing(swap.vendor_status or "") is Standing.FINISHED:',
        f"{DATABASE}test_transfer_payouts.py::test_an_exchange_that_does_not_wait_for_our_coins_is_not_funded",
    ),
    mutant(
        "the margin of the rate is not kept at the gate",
        f"{HOSTPAY1}steps.py",
        'if swaps.lapses(tx, swap.id, margin_s=job.config.integer("SWAP_DEADLINE_MARGIN_S")):',
        "if swaps.lapses(tx, swap.id, margin_s=0):",
        f"{DATABASE}test_transfer_payouts.py::test_a_rate_that_is_nearly_over_is_not_funded",
    ),
    mutant(
        "the slower worker's order is funded",
        f"{MACHINES}swaps.py",
        "payin_address = :payin_address WHERE id = :id AND state = 'planned' AND provider_id IS NULL",
        "payin_address = :payin_address WHERE id = :id AND state = 'planned'",
        f"{DATABASE}test_conversion_ordering.py::test_the_slower_of_two_workers_leaves_an_orphan",
    ),
    mutant(
        "an order that pays out to somebody else is taken",
        f"{MACHINES}swap_desk.py",
        "if not addresses.same(to_family, order.payout_address, swap.payout_address):",
        "if not order.payout_address:",
        f"{COMMON}money_machines/test_swap_desk.py",
    ),
    mutant(
        "a refund is released before it arrived",
        f"{HOSTPAY1}closing.py",
        'if arrivals.of_swap(tx, swap.id, cause="refund") is not None:',
        "if swap.refund_hash is not None:",
        f"{DATABASE}test_transfer_payouts.py::test_a_refund_that_never_arrives_is_a_persons_after_three_days",
    ),
    mutant(
        "less than agreed is finished",
        "PGP_HOSTPAY_v1/following.py",
        "if units < swap.to_units:",
        "if units < swap.to_units // 2:",
        f"{HOSTPAY}test_following.py",
    ),
    mutant(
        "a payout is settled by everybody who comes",
        f"{MACHINES}payouts.py",
        "WHERE id = :id AND state = :source AND state IN ('funding', 'funded', 'review')\n            \"\"\",\n            id=payout_id,\n            source=source.value,\n            units=",
        'WHERE id = :id AND :source <> \'\'\n            """,\n            id=payout_id,\n            source=source.value,\n            units=',
        f"{DATABASE}test_races_closing.py::test_of_five_settlements_releases_and_refunds_at_once_one_succeeds",
    ),
    Mutant(
        "the exchange's second word counts as well",
        (
            Edit(
                "PGP_HOSTPAY_v1/hostpay2_status_checker/steps.py",
                "    swap = swaps.lock(tx, swap_id)\n    if not _is_open(swap):",
                "    swap = swaps.lock(tx, swap_id)\n    if not swap:",
            ),
            Edit(
                f"{MACHINES}swaps.py",
                "refund_hash = CAST(:hash AS text), ended_at = pgp_now()\n             WHERE id = :id AND state IN ('funded', 'hold')",
                "refund_hash = CAST(:hash AS text), ended_at = pgp_now()\n             WHERE id = :id AND state IN ('funded', 'hold', 'finished')",
            ),
        ),
        (f"{DATABASE}test_races_closing.py::test_an_exchange_that_says_finished_refunded_and_failed_at_once_is_believed_once",),
    ),
)

PAYING: tuple[Mutant, ...] = PAYOUTS

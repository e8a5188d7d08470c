"""Mistakes in what a payment is worth, and in what the books and the database refuse."""

from __future__ import annotations

from tests.simulation.mutants_kinds import BOOKS, COMMON, DATABASE, MACHINES, TABLES, Edit, Mutant, mutant

PAYMENTS = (
    mutant(
        "the parent of a repeated deposit is ignored",
        "PGP_ORCHESTRATOR_v1/verdict.py",
        "parent_provider_id=answer.parent_payment_id or parent,",
        "parent_provider_id=None,",
        f"{DATABASE}test_payment_settling.py::test_a_repeated_deposit_counts_toward_an_open_order_by_its_parents_amount",
    ),
    Mutant(
        "`confirmed` is money",
        (
            Edit("PGP_ORCHESTRATOR_v1/verdict.py", 'frozenset({"partially_paid", "finished"})', 'frozenset({"partially_paid", "finished", "confirmed"})'),
            Edit("PGP_ORCHESTRATOR_v1/verdict.py", 'nowpayments.RANKS["partially_paid"]', 'nowpayments.RANKS["confirmed"]'),
        ),
        (f"{DATABASE}test_properties_statuses.py::test_every_status_has_an_answer_whatever_is_known[confirmed]",),
    ),
    mutant(
        "the vendor's Python sample checks the signature",
        "PGP_NP_IPN_v1/canonical.py",
        "parse_int=Literal, parse_float=Literal,",
        "parse_int=int, parse_float=float,",
        "tests/unit/PGP_NP_IPN_v1/test_canonical.py",
    ),
    Mutant(
        "a notice that is told twice is two notices",
        (
            Edit(TABLES, "body_sha256 bytea NOT NULL UNIQUE CHECK", "body_sha256 bytea NOT NULL CHECK"),
            Edit(
                f"{MACHINES}inbox.py",
                "ON CONFLICT (body_sha256) DO UPDATE SET times_seen = i.times_seen + 1, last_seen = pgp_now()\n",
                "ON CONFLICT DO NOTHING\n",
            ),
        ),
        (f"{DATABASE}test_races_payments.py::test_fifty_equal_notices_at_once_through_the_door_are_one_row_and_one_credit",),
    ),
    mutant(
        "a notice is believed without a look-up",
        "PGP_ORCHESTRATOR_v1/steps.py",
        "    answer = _ask(job.clients.nowpayments, case.told.payment_id)\n",
        "    answer: Answer | None = case.told\n",
        f"{DATABASE}test_payment_trouble.py::test_a_vendor_whose_books_are_behind_its_notice_is_asked_again",
    ),
    mutant(
        "the price is not compared with the invoice's",
        "PGP_ORCHESTRATOR_v1/verdict.py",
        'if answer.price_currency != "usd" or answer.price_amount != sold.invoice_usd:',
        'if answer.price_currency != "usd":',
        f"{DATABASE}test_payment_review.py::test_it_is_booked_to_suspense_and_opens_no_channel",
    ),
    mutant(
        "credited without the order's lock",
        f"{MACHINES}orders.py",
        "WHERE o.unique_id = :unique_id\n           FOR NO KEY UPDATE OF o",
        "WHERE o.unique_id = :unique_id",
        f"{DATABASE}test_races_payments.py::test_two_halves_that_are_settled_at_once_make_a_whole_order",
    ),
    mutant(
        "a payment's rank may fall",
        f"{MACHINES}payments.py",
        "WHERE p.status_rank < excluded.status_rank",
        "WHERE p.status_rank <> excluded.status_rank",
        f"{DATABASE}test_races_payments.py::test_every_status_at_once_and_in_any_order_is_one_credit",
    ),
    mutant(
        "a refund leaves the money to be converted",
        f"{MACHINES}crediting.py",
        "frozen = accumulations.freeze(tx, payment.id)",
        "frozen = 0",
        f"{DATABASE}test_payment_review.py::test_a_refund_after_the_credit_freezes_what_is_not_converted",
    ),
    mutant(
        "a refund freezes what is being converted",
        f"{MACHINES}accumulations.py",
        "WHERE payment_id = :payment_id AND state = 'pending'",
        "WHERE payment_id = :payment_id",
        f"{DATABASE}test_races_payments.py::test_a_refund_that_races_the_plan_freezes_the_money_or_finds_it_converting_and_never_both",
    ),
    mutant(
        "float in the fee",
        "PGP_COMMON/money.py",
        "return int(Decimal(units) * percent / 100)",
        "return int(float(units) * float(percent) / 100)",
        f"{COMMON}test_money.py",
    ),
    mutant(
        "the fee is rounded for the platform",
        "PGP_COMMON/money.py",
        "return int(Decimal(units) * percent / 100)",
        "return -(-units * int(percent * 100) // 10_000)",
        f"{COMMON}test_money.py",
    ),
    mutant(
        "the first address of X-Forwarded-For is the caller",
        "PGP_COMMON/doors.py",
        "given = forwarded[-hops] if",
        "given = forwarded[0] if",
        f"{DATABASE}test_payment_intake.py::test_only_known_addresses_may_call_when_that_fence_is_up",
    ),
    mutant(
        "a route is let in without its proof",
        "PGP_COMMON/web.py",
        "    doors.prove(runtime(), route)\n",
        "    doors.prove(runtime(), route) if route.proof is not Proof.NOWPAYMENTS else None\n",
        f"{DATABASE}test_payment_intake.py::test_a_notice_with_a_bad_signature_is_refused_and_leaves_nothing_but_a_count",
    ),
    mutant(
        "a route that the manifest does not have",
        "PGP_NP_IPN_v1/app.py",
        '@blueprint.get("/payment-processing")',
        '@blueprint.get("/books")\n@blueprint.get("/payment-processing")',
        f"{DATABASE}test_doors.py::test_every_service_says_that_it_is_alive_ready_and_what_it_is_for",
    ),
    mutant(
        "what comes beyond a credit is the platform's",
        f"{MACHINES}transit.py",
        "kept = max(0, outcome - total)",
        "kept = outcome - total",
        f"{DATABASE}test_payment_arriving.py",
    ),
)

BOOKKEEPING = (
    mutant(
        "an owner can be paid what he is not owed",
        BOOKS,
        "CHECK (NOT floor_at_zero OR (side = 'C' AND balance <= 0) OR (side = 'D' AND balance >= 0))",
        "CHECK (balance IS NOT NULL)",
        f"{DATABASE}test_ledger.py::test_an_owner_cannot_be_paid_what_he_is_not_owed_and_a_fact_is_booked_whatever_it_does",
    ),
    Mutant(
        "an event is booked as often as it is told",
        (
            Edit(BOOKS, "    UNIQUE (kind, reference)\n);", "    CHECK (kind <> '')\n);"),
            Edit(BOOKS, "    ON CONFLICT (kind, reference) DO NOTHING RETURNING id INTO v_tx;", "    RETURNING id INTO v_tx;"),
        ),
        (f"{DATABASE}test_ledger.py::test_a_posting_moves_both_sides_once",),
    ),
    mutant(
        "the database takes what does not balance",
        BOOKS,
        "GROUP BY asset HAVING sum(units) <> 0) THEN",
        "HAVING sum(units) <> 0) THEN",
        f"{DATABASE}test_properties_books.py::test_the_database_posts_exactly_what_balances_in_every_asset",
    ),
    mutant(
        "an illegal move is let through",
        BOOKS,
        "WHERE machine = TG_ARGV[0] AND source = OLD.state AND target = NEW.state)",
        "WHERE machine = TG_ARGV[0] AND target = NEW.state)",
        f"{DATABASE}test_properties_books.py::test_a_random_walk_goes_exactly_where_the_table_lets_it",
    ),
    mutant(
        "an owner may have two open payouts",
        TABLES,
        "CREATE UNIQUE INDEX split_payout_que_open",
        "CREATE INDEX split_payout_que_open",
        f"{DATABASE}test_races_indexes.py::test_an_owner_has_one_open_payout_though_nobody_held_his_row",
    ),
    mutant(
        "a swap may have two transfers",
        TABLES,
        "CREATE UNIQUE INDEX transfer_live_swap",
        "CREATE INDEX transfer_live_swap",
        f"{DATABASE}test_races_indexes.py::test_a_swap_and_a_direct_payout_have_one_transfer_however_many_ask_at_once",
    ),
    mutant(
        "a payout may have two swaps",
        TABLES,
        "CREATE UNIQUE INDEX swap_live_payout",
        "CREATE INDEX swap_live_payout",
        f"{DATABASE}test_races_indexes.py::test_a_payout_and_a_conversion_have_one_swap_that_may_carry_money",
    ),
    mutant(
        "a nonce may be two transfers'",
        "migrations/versions/0007_guards.sql",
        "CREATE UNIQUE INDEX transfer_nonce",
        "CREATE INDEX transfer_nonce",
        f"{DATABASE}test_races_indexes.py::test_one_nonce_of_a_wallet_is_one_transfers",
    ),
)

EARNING: tuple[Mutant, ...] = (
    *PAYMENTS,
    *BOOKKEEPING,
)

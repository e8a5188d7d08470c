"""The treasury: what is held adds up to whose it is, deposits are found, and nothing but the platform's own can be taken out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from PGP_COMMON.errors import BadInput, Conflict, NotFound
from PGP_COMMON.money_machines import chest, ledger, transfers, wallet
from PGP_COMMON.operators import treasury
from PGP_HOSTPAY_v1.hostpay2_status_checker.reconciling import LASTS_S
from tests.support.earnings import DOLLAR, ETHER
from tests.support.fake_exchange import an_address
from tests.support.hostpay import FINAL_BLOCKS, Harbour, TestChain, a_chain, a_harbour
from tests.support.verbs import Operator, at_once, deaf_queue

RESERVE = 2 * 10**16
# The platform's own, at the start of every test.
OWN_WEI, OWN_USDT = 5 * ETHER, 5_000 * DOLLAR


@pytest.fixture(scope="module")
def chain() -> Iterator[TestChain]:
    with a_chain() as made:
        yield made


@pytest.fixture
def harbour(database_url: str, chain: TestChain) -> Iterator[Harbour]:
    with a_harbour(database_url, chain) as made:
        made.known_breaches = ()
        yield made
        made.check_invariants()
        made.check_books()


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    return deaf_queue(monkeypatch)


@pytest.fixture
def pgp(harbour: Harbour, woken: list[tuple[str, str]]) -> Operator:
    return Operator(harbour._environment)


def final(harbour: Harbour, transfer_id: int) -> None:
    harbour.until(lambda: harbour.transfer(transfer_id).state == "final")
    harbour.work()


def letters(harbour: Harbour) -> list[str]:
    return [reason for _, _, reason in harbour.letters()]


# --- what is held, and for whom


def test_both_sides_add_up_to_the_unit_while_money_is_everywhere(harbour: Harbour, pgp: Operator) -> None:
    harbour.earn(harbour.owner(), ETHER, fee=ETHER // 33, arrived=False)
    harbour.earn(harbour.owner(), ETHER // 3, fee=7)
    harbour.reserved(units=123 * DOLLAR)
    payout = harbour.reserved(asset="usdterc20", address=an_address(), units=77 * DOLLAR)
    harbour.direct(payout)
    harbour.until(lambda: harbour.count("transfer", "state = 'signed'") == 1, blocks=0, but=("transfer.watch",))
    with harbour.db.reading() as tx:
        found = {one.asset: one for one in chest.chests(tx)}
    eth, usdt = found["eth"], found["usdterc20"]
    assert (eth.held, usdt.held) == (eth.whose, usdt.whose)
    assert (eth.np_transit, eth.pending, eth.own) == (ETHER + ETHER // 33, ETHER + ETHER // 3, OWN_WEI + ETHER // 33 + 7)
    assert (usdt.in_flight, usdt.reserved, usdt.np_transit, usdt.own) == (77 * DOLLAR, 200 * DOLLAR, 200 * DOLLAR, OWN_USDT)
    assert (eth.other, usdt.other) == (0, 0)
    told = pgp("treasury", why=False)
    assert "THE BOOKS DO NOT ADD UP" not in told
    assert all(word in told for word in ("77 USDTERC20", "owners, reserved", "the platform's own", "may leave from equity"))


def test_the_chain_is_told_beside_the_books_at_one_block_even_in_flight(harbour: Harbour, pgp: Operator) -> None:
    for state in ("signed", "mined"):
        asked = harbour.ask(units=DOLLAR)
        harbour.until(lambda state=state, asked=asked: harbour.transfer(asked).state == state, but=("transfer.watch",) if state == "signed" else ())
        told = pgp.reads("treasury")["chain"]
        assert told["units"] == told["expected"]
    assert told["units"]["usdterc20"] == OWN_USDT


def test_without_a_chain_the_books_are_told_alone(harbour: Harbour, woken: list[tuple[str, str]]) -> None:
    pgp = Operator({**harbour._environment, "ETHEREUM_RPC_URL": "http://127.0.0.1:9"})
    assert "unknown" in pgp.reads("treasury")["chain"]
    assert "the wallet may sign" in pgp("treasury", why=False)


def test_what_waits_for_gas_is_told_with_the_reason(harbour: Harbour, pgp: Operator) -> None:
    assert "nothing waits for the wallet" in pgp("treasury", why=False)
    payout = harbour.reserved(units=50 * DOLLAR)
    with harbour.db.transaction() as tx:
        wallet.freeze(tx, harbour.wallet_id, reason="a test")
        tx.run("UPDATE split_payout_que SET reason = 'gas money is below the reserve: a deposit of ETH is needed'")
    asked = harbour.ask(units=DOLLAR)
    harbour.work()
    told = pgp.reads("treasury")
    assert told["obstacle"] == "the wallet is frozen: a test"
    assert [(one["what"], one["id"], one["why"]) for one in told["waiting"]] == [
        ("payout", payout, "gas money is below the reserve: a deposit of ETH is needed"),
        ("transfer", asked, "the wallet is frozen: a test"),
    ]
    assert "a deposit of ETH is needed" in pgp("treasury", why=False)


# --- deposits


def test_a_deposit_that_is_announced_first_is_found_by_itself(harbour: Harbour, pgp: Operator, chain: TestChain, woken: list[tuple[str, str]]) -> None:
    tx_hash = chain.send(harbour.address, ETHER)
    assert "once its block is final" in pgp("treasury", "expect", tx_hash.upper().replace("0X", "0x"))
    assert ("arrival.look", tx_hash) in woken
    assert "announced before" in pgp("treasury", "expect", tx_hash)
    harbour.until(lambda: harbour.count("arrival", "cause = 'treasury'") == 1)
    assert harbour.account_of(ledger.equity("eth")) == OWN_WEI + ETHER
    assert harbour.count("audit_log", "action = 'treasury.expect'") == 1


def test_a_deposit_that_came_before_it_was_announced_is_booked_at_once_and_its_letter_closed(harbour: Harbour, pgp: Operator, chain: TestChain) -> None:
    tx_hash = chain.send(harbour.address, 9 * DOLLAR, token=True)
    chain.mine(FINAL_BLOCKS)
    harbour.fire("arrival.look", tx_hash)
    harbour.work()
    harbour.pass_time(25 * 3600)
    harbour.work()
    assert letters(harbour) == ["unknown_arrival"]
    assert "booked to equity: 1 arrivals" in pgp("treasury", "expect", tx_hash)
    assert (letters(harbour), harbour.account_of(ledger.equity("usdterc20"))) == ([], OWN_USDT + 9 * DOLLAR)
    assert "announced before" in pgp("treasury", "expect", tx_hash)
    harbour.do_everything_again()
    assert harbour.account_of(ledger.equity("usdterc20")) == OWN_USDT + 9 * DOLLAR


def test_a_deposit_that_was_asked_for_closes_the_letter_that_asked(harbour: Harbour, pgp: Operator, chain: TestChain) -> None:
    with harbour.db.transaction() as tx:
        tx.run("UPDATE wallet SET gas_reserve_wei = 5500000000000000000")
    subject = harbour.fire("wallet.reconcile")
    for _ in range(20):
        harbour.hurry("wallet.reconcile", subject)
        if harbour.run("wallet.reconcile", subject) == "done":
            break
    assert letters(harbour) == ["deposit_needed"]
    tx_hash = chain.send(harbour.address, ETHER)
    chain.mine(FINAL_BLOCKS)
    harbour.fire("arrival.look", tx_hash)
    harbour.work()
    pgp("treasury", "expect", tx_hash)
    assert letters(harbour) == []


def test_a_look_that_was_given_up_is_named(harbour: Harbour, pgp: Operator) -> None:
    tx_hash = "0x" + "cd" * 32
    harbour.fire("arrival.look", tx_hash)
    harbour.pass_time(25 * 3600)
    harbour.work()
    assert letters(harbour) == ["not_final"]
    assert "pgp dead retry" in pgp("treasury", "expect", tx_hash)


def test_what_is_known_to_be_something_else_is_not_the_platforms(harbour: Harbour, pgp: Operator) -> None:
    harbour.earn(harbour.owner(), ETHER)
    with pytest.raises(Conflict, match="the money of payment"):
        pgp("treasury", "expect", harbour.value("SELECT payout_hash FROM processed_payments"))
    asked = harbour.ask(units=DOLLAR)
    harbour.run("transfer.sign", asked)
    with pytest.raises(Conflict, match="our own transfers"):
        pgp("treasury", "expect", harbour.attempts(asked)[0].tx_hash)


@pytest.mark.parametrize("tx_hash", ["", "0x", "0x" + "zz" * 32, "0x" + "ab" * 31, "'; DROP TABLE wallet"])
def test_what_is_no_hash_is_not_announced(harbour: Harbour, pgp: Operator, tx_hash: str) -> None:
    with pytest.raises(BadInput, match="not a transaction's hash"):
        pgp("treasury", "expect", tx_hash)
    assert harbour.count("expected_deposit") == 0


# --- what the chain has and the books have not


def compare(harbour: Harbour) -> None:
    """Two comparisons with the chain, minutes apart, so that what they see is no longer under way."""
    for turn in range(2):
        harbour.pass_time(LASTS_S * turn)
        subject = harbour.fire("wallet.reconcile")
        for _ in range(20):
            harbour.hurry("wallet.reconcile", subject)
            if harbour.run("wallet.reconcile", subject) == "done":
                break


def adds(harbour: Harbour, wei: int) -> None:
    """The wallet's balance changes past every transaction that anybody could see, as by way of a contract."""
    node = harbour.test_chain.node
    node.call("anvil_setBalance", harbour.address, hex(node.balance(harbour.address) + wei))
    harbour.test_chain.mine(FINAL_BLOCKS)


def test_what_came_by_way_of_a_contract_is_booked_once_comparisons_agree_for_minutes(harbour: Harbour, pgp: Operator) -> None:
    with pytest.raises(Conflict, match="the books say what the chain says"):
        pgp("treasury", "book", "--asset", "eth")
    adds(harbour, 7)
    compare(harbour)
    assert letters(harbour) == ["balance_differs"]
    assert "0.000000000000000007 ETH are booked as equity" in pgp("treasury", "book", "--asset", "eth")
    assert (harbour.account_of(ledger.equity("eth")), letters(harbour)) == (OWN_WEI + 7, [])
    with pytest.raises(Conflict, match="the books say what the chain says"):
        pgp("treasury", "book", "--asset", "eth")
    compare(harbour)
    assert letters(harbour) == []


def test_what_is_gone_is_a_loss_and_the_wallet_stays_frozen_until_somebody_says_otherwise(harbour: Harbour, pgp: Operator) -> None:
    adds(harbour, -5)
    compare(harbour)
    assert letters(harbour) == ["wallet_frozen", "balance_differs"]
    assert "booked as a loss" in pgp("treasury", "book", "--asset", "eth")
    assert (harbour.account_of(ledger.loss_expense("eth")), letters(harbour)) == (5, ["wallet_frozen"])
    pgp("wallet", "unfreeze")
    assert letters(harbour) == []


def test_a_difference_that_nobody_has_seen_twice_or_that_may_still_be_explained_is_not_booked(harbour: Harbour, pgp: Operator, chain: TestChain) -> None:
    compare(harbour)
    adds(harbour, 9)
    subject = harbour.fire("wallet.reconcile")
    with pytest.raises(Conflict, match="the books say what"):
        # The chain has not been read as far as that.
        pgp("treasury", "book", "--asset", "eth")
    while harbour.run("wallet.reconcile", subject) != "done":
        harbour.hurry("wallet.reconcile", subject)
    tx_hash = chain.send(harbour.address, 3)
    chain.mine(FINAL_BLOCKS)
    harbour.fire("arrival.look", tx_hash)
    with pytest.raises(Conflict, match=f"{tx_hash} is still being looked for"):
        pgp("treasury", "book", "--asset", "eth")
    adds(harbour, 1)
    harbour.run("arrival.look", tx_hash)
    with harbour.db.transaction() as tx:
        tx.run("UPDATE wallet SET scanned_block = :block", block=harbour.chain.finalized())
    with pytest.raises(Conflict, match="the difference is 10, and the last comparison saw 9"):
        pgp("treasury", "book", "--asset", "eth")
    assert harbour.account_of(ledger.equity("eth")) == OWN_WEI


# --- withdrawals


def test_a_withdrawal_leaves_and_is_taken_from_its_account(harbour: Harbour, pgp: Operator, chain: TestChain, woken: list[tuple[str, str]]) -> None:
    to = an_address()
    assert "transfer 1 takes 12.5 USDTERC20 from equity" in pgp(
        "treasury", "withdraw", "--asset", "usdterc20", "--amount", "12.5", "--to", to, "--from", "equity"
    )
    assert ("transfer.sign", "1") in woken
    final(harbour, 1)
    assert chain.received(to, token=True) == 12_500_000
    assert harbour.account_of(ledger.equity("usdterc20")) == OWN_USDT - 12_500_000
    assert harbour.rows("SELECT subject, after->>'units' FROM audit_log WHERE action = 'treasury.withdraw'") == [("transfer 1", "12500000")]


def test_fees_are_taken_out_only_once_their_money_has_come(harbour: Harbour, pgp: Operator) -> None:
    harbour.earn(harbour.owner(), ETHER, fee=ETHER // 10, arrived=False)
    words = ("treasury", "withdraw", "--asset", "eth", "--to", an_address(), "--from", "income:fee", "--units")
    with pytest.raises(Conflict, match="more than the 0 that"):
        pgp(*words, 1)
    harbour.arrive(int(harbour.value("SELECT max(id) FROM processed_payments")))
    with pytest.raises(Conflict, match=f"more than the {ETHER // 10} that"):
        pgp(*words, ETHER // 10 + 1)
    pgp(*words, ETHER // 10)


def test_the_gas_reserve_and_what_is_owed_to_others_stay(harbour: Harbour, pgp: Operator) -> None:
    harbour.earn(harbour.owner(), 100 * ETHER)
    harbour.earn(harbour.owner(), 10_000 * DOLLAR, asset="usdterc20")
    words = ("treasury", "withdraw", "--to", an_address(), "--from", "equity", "--units")
    for asset, most in (("eth", OWN_WEI - RESERVE), ("usdterc20", OWN_USDT)):
        with pytest.raises(Conflict, match=f"more than the {most} that"):
            pgp(*words, most + 1, "--asset", asset)
        pgp(*words, most, "--asset", asset)
        with pytest.raises(Conflict, match="more than the 0 that"):
            pgp(*words, 1, "--asset", asset)


def test_losses_and_costs_are_paid_before_anything_is_taken_out(harbour: Harbour, pgp: Operator) -> None:
    with harbour.db.transaction() as tx:
        lines = [ledger.debit(ledger.swap_expense("usdterc20"), 4_000 * DOLLAR), ledger.credit(ledger.in_flight("usdterc20"), 4_000 * DOLLAR)]
        ledger.post(tx, "refund.cost", 77, lines)
    with pytest.raises(Conflict, match=f"more than the {1_000 * DOLLAR} that"):
        pgp("treasury", "withdraw", "--asset", "usdterc20", "--amount", "1000.000001", "--to", an_address(), "--from", "equity")


def test_what_was_burned_between_request_and_signature_is_not_taken_from_owners(harbour: Harbour, pgp: Operator) -> None:
    pgp("treasury", "withdraw", "--asset", "usdterc20", "--amount", "5000", "--to", an_address(), "--from", "equity")
    with harbour.db.transaction() as tx:
        ledger.post(tx, "refund.cost", 77, [ledger.debit(ledger.swap_expense("usdterc20"), 1), ledger.credit(ledger.in_flight("usdterc20"), 1)])
    harbour.work()
    assert harbour.value("SELECT last_error FROM work WHERE step = 'transfer.sign'") == "it is more than the platform's own by now"
    assert harbour.value("SELECT next_nonce FROM wallet") == 0


def test_two_withdrawals_at_once_do_not_both_find_the_same_money(harbour: Harbour, pgp: Operator) -> None:
    with harbour.db.reading() as tx:
        held = wallet.find(tx, harbour.address)
    assert held is not None

    def take(units: int) -> int:
        return pgp.does(lambda tx, why: treasury.withdraw(tx, why, held=held, asset="usdterc20", units=units, recipient=an_address(), account="equity"))

    outcomes = at_once(*(lambda units=units: take(units) for units in (3_000 * DOLLAR, 3_001 * DOLLAR, 3_002 * DOLLAR)))
    assert sum(not isinstance(outcome, Conflict) for outcome in outcomes) == 1
    assert harbour.count("transfer") == 1


def test_the_same_withdrawal_twice_is_asked_about(harbour: Harbour, pgp: Operator) -> None:
    words = ("treasury", "withdraw", "--asset", "usdterc20", "--amount", "10", "--to", an_address(), "--from", "equity")
    pgp(*words)
    with pytest.raises(Conflict, match="transfer 1 does the same"):
        pgp(*words)
    assert "transfer 2" in pgp(*words, "--again")


@pytest.mark.parametrize(
    "words",
    [
        ("--asset", "usdterc20", "--units", "0", "--from", "equity"),
        ("--asset", "usdterc20", "--units", "-5", "--from", "equity"),
        ("--asset", "usdterc20", "--amount", "0.0000001", "--from", "equity"),
        ("--asset", "usdterc20", "--amount", "nan", "--from", "equity"),
        ("--asset", "usdterc20", "--from", "equity"),
        ("--asset", "usdterc20", "--units", "5", "--from", "suspense"),
        ("--asset", "usdterc20", "--units", "5", "--from", "owner:1:pending"),
        ("--asset", "btc", "--units", "5", "--from", "equity"),
    ],
    ids=" ".join,
)
def test_a_withdrawal_that_makes_no_sense_is_refused(harbour: Harbour, pgp: Operator, words: tuple[str, ...]) -> None:
    with pytest.raises(BadInput):
        pgp("treasury", "withdraw", *words, "--to", an_address())
    assert harbour.count("transfer") == 0


def test_nothing_is_withdrawn_to_ourselves_or_to_nobody_or_in_an_unknown_coin(harbour: Harbour, pgp: Operator) -> None:
    for to in (harbour.address, "0x" + "00" * 20, "somewhere"):
        with pytest.raises(BadInput, match="nothing is sent to"):
            pgp("treasury", "withdraw", "--asset", "eth", "--units", 1, "--from", "equity", "--to", to)
    with pytest.raises(NotFound):
        pgp("treasury", "withdraw", "--asset", "gold", "--units", 1, "--from", "equity", "--to", an_address())


def test_a_withdrawal_that_failed_or_was_taken_back_can_be_made_again(harbour: Harbour, pgp: Operator) -> None:
    words = ("treasury", "withdraw", "--asset", "usdterc20", "--amount", "5000", "--to", an_address(), "--from", "equity")
    pgp(*words)
    pgp("transfer", "cancel", 1)
    pgp(*words)
    with harbour.db.reading() as tx:
        assert wallet.withdrawing_units(tx, "usdterc20") == OWN_USDT
        assert [transfers.get(tx, number).state for number in (1, 2)] == ["cancelled", "requested"]

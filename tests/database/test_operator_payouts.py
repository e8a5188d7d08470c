"""A person ends payouts and swaps that cannot end by themselves; whatever could pay an owner twice is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from PGP_COMMON.errors import BadInput, Conflict, NotFound
from PGP_COMMON.money_machines import ledger, spending, transfers
from PGP_COMMON.operators import payouts, swaps
from tests.support.earnings import DOLLAR
from tests.support.fake_exchange import an_address
from tests.support.hostpay import Harbour, TestChain
from tests.support.verbs import Operator, at_once

UNITS = 100 * DOLLAR
IN_FLIGHT = ledger.in_flight("usdterc20")
COST = ledger.swap_expense("usdterc20")
HASH = "ab" * 32


@pytest.fixture
def harbour(harbour: Harbour) -> Iterator[Harbour]:
    harbour.known_breaches = ()
    yield harbour
    harbour.check_invariants()
    harbour.check_books()


@pytest.fixture
def payout(harbour: Harbour) -> int:
    return harbour.reserved(units=UNITS)


def funded(harbour: Harbour, payout: int) -> int:
    """A swap that has our coins; gives back its id."""
    swap_id = harbour.swap_for(payout)
    harbour.until(lambda: harbour.swap(swap_id).state == "funded", but=("swap.follow",))
    return swap_id


def held(harbour: Harbour, payout: int, *, status: str = "failed") -> int:
    """A swap on hold, whose payout is in review; gives back its id."""
    swap_id = funded(harbour, payout)
    harbour.exchange_says(status=status)
    harbour.until(lambda: harbour.payout(payout).state == "review", blocks=0)
    return swap_id


def failed(harbour: Harbour, payout: int) -> int:
    """A swap that was never funded, because its transfer failed on the chain; its payout is in review."""
    swap_id = harbour.swap_for(payout)
    node, token = harbour.test_chain.node, harbour.test_chain.token
    harbour.until(lambda: harbour.count("transfer", "state = 'signed'") == 1, blocks=0, but=("transfer.watch",))
    code = node.code(token)
    node.call("anvil_setCode", token, "0x60006000fd")
    try:
        harbour.until(lambda: harbour.count("transfer", "state = 'failed_onchain'") == 1)
        harbour.work()
    finally:
        node.call("anvil_setCode", token, code)
    assert harbour.payout(payout).state == "review"
    return swap_id


def owed(harbour: Harbour, payout: int, purse: str) -> int:
    return harbour.balance(harbour.payout(payout).owner_id, purse, "usdterc20")


def is_back(harbour: Harbour, payout: int) -> bool:
    """Whether the payout's money is on its owner's balance, and he is told."""
    return (
        harbour.payout(payout).state == "released"
        and (owed(harbour, payout, "reserved"), owed(harbour, payout, "available")) == (0, UNITS)
        and harbour.count("payout_accumulation", "state = 'converted' AND payout_id IS NULL") == 1
        and harbour.count("notification", "kind = 'payout_released'") == 1
    )


def audited(harbour: Harbour, action: str) -> int:
    return harbour.count("audit_log", f"action = '{action}' AND reason = 'a test asks for it'")


# --- release


def test_a_payout_that_nothing_was_started_for_is_released(harbour: Harbour, pgp: Operator, payout: int) -> None:
    assert "is on the balance" in pgp("payout", "release", payout)
    assert is_back(harbour, payout)
    assert audited(harbour, "payout.release") == 1
    with pytest.raises(Conflict, match="is released"):
        pgp("payout", "release", payout)


def test_with_a_payout_that_a_limit_keeps_its_letter_is_closed(harbour: Harbour, pgp: Operator, payout: int) -> None:
    with harbour.db.transaction() as tx:
        runtime = harbour.start("pgp-hostpay3-v1")
        assert spending.limited(runtime.config, tx, asset="usdterc20", units=10**30, what=f"payout {payout}")
    assert harbour.letters() == [("wallet.limit", f"payout {payout}", "above_transfer_limit")]
    pgp("payout", "release", payout)
    assert is_back(harbour, payout)
    assert harbour.letters() == []


def test_with_a_quoted_payout_its_order_is_given_up_and_never_funded(harbour: Harbour, pgp: Operator, payout: int) -> None:
    swap_id = harbour.swap_for(payout)
    with harbour.db.transaction() as tx:
        tx.run("ALTER TABLE split_payout_que DISABLE TRIGGER guard_move")
        tx.run("UPDATE split_payout_que SET state = 'quoted'")
        tx.run("ALTER TABLE split_payout_que ENABLE TRIGGER guard_move")
    harbour.known_breaches = ("I18 payout",)
    pgp("payout", "release", payout)
    assert harbour.swap(swap_id).state == "abandoned"
    harbour.work()
    assert (harbour.count("transfer"), is_back(harbour, payout)) == (0, True)


@pytest.mark.parametrize("state", ["swap_ready", "funding", "funded"])
def test_a_payout_whose_money_may_be_on_its_way_is_not_released(harbour: Harbour, pgp: Operator, payout: int, state: str) -> None:
    swap_id = harbour.swap_for(payout)
    if state != "swap_ready":
        harbour.until(lambda: harbour.payout(payout).state == "funding", blocks=0, but=("transfer.sign",))
    if state == "funded":
        harbour.until(lambda: harbour.swap(swap_id).state == "funded", but=("swap.follow",))
    for verb in ("release", "settle", "resume"):
        with pytest.raises(Conflict, match=f"is {state}"):
            pgp("payout", verb, payout)


def test_a_payout_whose_swap_may_still_pay_is_not_released(harbour: Harbour, pgp: Operator, payout: int) -> None:
    swap_id = held(harbour, payout)
    with pytest.raises(Conflict, match=f"swap {swap_id} is hold: it may still pay"):
        pgp("payout", "release", payout)
    assert owed(harbour, payout, "reserved") == UNITS


def test_a_payout_whose_transfer_is_not_over_is_not_released(harbour: Harbour, pgp: Operator) -> None:
    payout = harbour.reserved(asset="usdterc20", address=an_address(), units=UNITS)
    harbour.direct(payout)
    harbour.until(lambda: harbour.count("transfer", "state = 'signed'") == 1, blocks=0, but=("transfer.watch",))
    asked = int(harbour.value("SELECT id FROM transfer"))
    with harbour.db.transaction() as tx:
        assert transfers.stick(tx, asked, reason="test")
        tx.run("UPDATE split_payout_que SET state = 'review'")
    for verb in ("release", "resume"):
        with pytest.raises(Conflict, match=f"transfer {asked} is stuck: it is not over"):
            pgp("payout", verb, payout)
    pgp("wallet", "fill", asked)
    for verb in ("release", "resume"):
        with pytest.raises(Conflict, match="not yet over in the books"):
            pgp("payout", verb, payout)


def test_a_payout_whose_nonce_was_filled_is_released_once_that_is_final(harbour: Harbour, pgp: Operator) -> None:
    payout = harbour.reserved(asset="usdterc20", address=an_address(), units=UNITS)
    harbour.direct(payout)
    harbour.until(lambda: harbour.count("transfer", "state = 'signed'") == 1, blocks=0, but=("transfer.watch",))
    with harbour.db.transaction() as tx:
        assert transfers.stick(tx, 1, reason="test")
    pgp("wallet", "fill", 1)
    harbour.until(lambda: harbour.payout(payout).state == "review")
    pgp("payout", "release", payout)
    assert is_back(harbour, payout)
    assert (harbour.account_of(IN_FLIGHT), harbour.letters()) == (0, [])


def test_after_a_transfer_that_failed_a_payout_is_released_and_its_letter_closed(harbour: Harbour, pgp: Operator, payout: int) -> None:
    failed(harbour, payout)
    assert [reason for _, _, reason in harbour.letters()] == ["transfer_failed_onchain"]
    pgp("payout", "release", payout)
    assert is_back(harbour, payout)
    assert (harbour.letters(), harbour.account_of(IN_FLIGHT)) == ([], 0)


def test_a_payout_that_was_paid_is_not_released(harbour: Harbour, pgp: Operator, payout: int) -> None:
    held(harbour, payout, status="expired")
    harbour.exchange_says(status="finished", amountTo="0.0009", payoutHash="late")
    harbour.work()
    harbour.work()
    with pytest.raises(Conflict, match=f"has paid the owner: `pgp payout settle {payout}`"):
        pgp("payout", "release", payout)


def test_money_that_was_sent_back_is_released_once_it_is_seen_and_the_platform_bears_the_rest(
    harbour: Harbour, pgp: Operator, payout: int, chain: TestChain
) -> None:
    swap_id = held(harbour, payout)
    came = chain.send(harbour.address, 97 * DOLLAR, token=True)
    harbour.exchange_says(status="refunded", refundHash=came)
    harbour.work()
    with pytest.raises(Conflict, match="has not arrived"):
        pgp("payout", "release", payout)
    harbour.until(lambda: harbour.count("arrival", "cause = 'refund'") == 1)
    pgp("payout", "release", payout)
    assert is_back(harbour, payout)
    assert (harbour.account_of(COST), harbour.account_of(IN_FLIGHT)) == (3 * DOLLAR, 0)
    assert harbour.swap(swap_id).state == "refunded"


def test_money_that_never_came_back_is_the_platforms_loss_until_it_comes_after_all(harbour: Harbour, pgp: Operator, payout: int, chain: TestChain) -> None:
    held(harbour, payout)
    came = chain.send(harbour.address, 97 * DOLLAR, token=True)
    harbour.exchange_says(status="refunded", refundHash=came)
    harbour.work()
    pgp("payout", "release", payout, "--although-missing")
    assert is_back(harbour, payout)
    assert (harbour.account_of(COST), harbour.account_of(IN_FLIGHT)) == (UNITS, 0)
    harbour.until(lambda: harbour.count("arrival", "cause = 'refund'") == 1)
    assert (harbour.account_of(COST), harbour.account_of(IN_FLIGHT)) == (3 * DOLLAR, 0)


# --- settle


def test_a_payout_whose_swap_finished_after_review_is_settled_with_what_the_books_know(harbour: Harbour, pgp: Operator, payout: int) -> None:
    swap_id = held(harbour, payout, status="expired")
    harbour.exchange_says(status="finished", amountTo="0.00091", payoutHash="0xAB" + "cd" * 31)
    harbour.until(lambda: harbour.swap(swap_id).state == "finished", blocks=0)
    harbour.work()
    with pytest.raises(Conflict, match="the books say 91000 units"):
        pgp("payout", "settle", payout, "--units", "90000")
    assert "0.00091 BTC by 0xabcdcd" in pgp("payout", "settle", payout)
    assert settled_with(harbour, payout) == (91_000, "0xab" + "cd" * 31)
    assert harbour.letters() == []


def settled_with(harbour: Harbour, payout: int) -> tuple[int | None, str | None]:
    """What a settled payout brought its owner; the books have nothing left of it."""
    row = harbour.payout(payout)
    assert row.state == "settled"
    assert (owed(harbour, payout, "reserved"), harbour.account_of(IN_FLIGHT)) == (0, 0)
    assert harbour.count("payout_accumulation", "state = 'paid'") == 1
    assert harbour.count("notification", "kind = 'payout_settled'") == 1
    return row.paid_out_units, row.tx_hash


def test_a_swap_on_hold_that_paid_is_finished_with_what_the_operator_knows(harbour: Harbour, pgp: Operator, payout: int) -> None:
    swap_id = held(harbour, payout)
    for words in ((), ("--tx", HASH), ("--amount", "0.0008")):
        with pytest.raises(BadInput, match="is on hold: say with which transaction"):
            pgp("payout", "settle", payout, *words)
    assert "0.00085 BTC" in pgp("payout", "settle", payout, "--tx", HASH, "--amount", "0.00085")
    assert settled_with(harbour, payout) == (85_000, HASH)
    assert harbour.swap(swap_id).state == "finished"
    harbour.exchange_says(status="refunded", refundHash="0x" + "ab" * 32)
    harbour.work()
    assert harbour.payout(payout).state == "settled"
    with pytest.raises(Conflict, match="is settled"):
        pgp("payout", "settle", payout, "--tx", HASH, "--amount", "0.00085")


@pytest.mark.parametrize(
    "words",
    [
        ("--units", "0"),
        ("--units", "-1"),
        ("--amount", "900"),
        ("--amount", "0.000000001"),
        ("--amount", "much"),
        ("--amount", "1", "--units", "1"),
    ],
    ids=" ".join,
)
def test_an_amount_that_cannot_be_meant_settles_nothing(harbour: Harbour, pgp: Operator, payout: int, words: tuple[str, ...]) -> None:
    held(harbour, payout)
    with pytest.raises(BadInput):
        pgp("payout", "settle", payout, "--tx", HASH, *words)
    assert harbour.payout(payout).state == "review"


@pytest.mark.parametrize("tx_hash", ["", "x", "a hash", "<script>", "0x" + "ab" * 80])
def test_what_is_no_hash_settles_nothing(harbour: Harbour, pgp: Operator, payout: int, tx_hash: str) -> None:
    held(harbour, payout)
    with pytest.raises(BadInput, match="no transaction's hash"):
        pgp("payout", "settle", payout, "--tx", tx_hash, "--units", "90000")


def test_a_payout_that_nobody_paid_is_not_settled(harbour: Harbour, pgp: Operator, payout: int) -> None:
    failed(harbour, payout)
    with pytest.raises(Conflict, match="nothing has paid the owner"):
        pgp("payout", "settle", payout, "--tx", HASH, "--units", "90000")


# --- resume


def test_a_payout_goes_on_with_the_exchange_that_works_again(harbour: Harbour, pgp: Operator, payout: int) -> None:
    swap_id = held(harbour, payout)
    with pytest.raises(Conflict, match="it may still pay"):
        pgp("payout", "resume", payout)
    harbour.exchange_says(status="exchanging")
    harbour.work()
    assert (harbour.swap(swap_id).state, harbour.payout(payout).state) == ("funded", "review")
    assert "it is funded" in pgp("payout", "resume", payout)
    harbour.exchange_says(status="finished", amountTo="0.0009", payoutHash="good")
    harbour.until(lambda: harbour.payout(payout).state == "settled", blocks=0)


def test_a_second_hold_of_a_swap_is_a_matter_of_its_own(harbour: Harbour, pgp: Operator, payout: int) -> None:
    held(harbour, payout)
    harbour.exchange_says(status="exchanging")
    harbour.work()
    pgp("payout", "resume", payout)
    assert harbour.letters() == []
    harbour.exchange_says(status="failed")
    harbour.until(lambda: harbour.payout(payout).state == "review", blocks=0)
    assert [reason for _, _, reason in harbour.letters()] == ["the exchange says failed"]


def test_a_payout_that_nothing_left_for_is_priced_anew(harbour: Harbour, pgp: Operator, payout: int) -> None:
    swap_id = failed(harbour, payout)
    quote_id = harbour.swap(swap_id).quote_id
    assert "it is reserved" in pgp("payout", "resume", payout)
    assert harbour.count("work", f"step = 'payout.requote' AND subject = '{quote_id}' AND state = 'open'") == 1
    assert harbour.payout(payout).quotes_failed == 0
    again = harbour.swap_for(payout)
    harbour.until(lambda: harbour.swap(again).state == "funded", but=("swap.follow",))


# --- swaps


def test_a_lost_swap_is_the_platforms_loss_and_its_payout_can_be_released(harbour: Harbour, pgp: Operator, payout: int) -> None:
    swap_id = held(harbour, payout)
    assert f"now `pgp payout release {payout}`" in pgp("swap", "lost", swap_id)
    assert (harbour.swap(swap_id).state, harbour.account_of(COST), harbour.account_of(IN_FLIGHT)) == ("lost", UNITS, 0)
    harbour.exchange_says(status="finished", amountTo="0.0009", payoutHash="late")
    harbour.work()
    pgp("payout", "release", payout)
    assert is_back(harbour, payout)
    assert harbour.letters() == []
    for verb in (("lost",), ("hold",), ("finished", "--tx", HASH, "--units", "1"), ("refunded", "--tx", "0x" + HASH)):
        with pytest.raises(Conflict, match="is lost"):
            pgp("swap", verb[0], swap_id, *verb[1:])


def test_a_swap_that_is_lost_while_its_payout_waits_brings_the_payout_to_a_person(harbour: Harbour, pgp: Operator, payout: int) -> None:
    swap_id = funded(harbour, payout)
    harbour.exchange_says(status="verifying")
    harbour.work()
    assert (harbour.swap(swap_id).state, harbour.payout(payout).state) == ("hold", "funded")
    pgp("swap", "lost", swap_id)
    assert harbour.payout(payout).state == "review"
    pgp("payout", "resume", payout)
    assert harbour.payout(payout).state == "reserved"


def test_a_swap_that_the_exchange_says_may_still_pay_is_given_up_only_despite_its_word(harbour: Harbour, pgp: Operator, payout: int) -> None:
    swap_id = funded(harbour, payout)
    harbour.exchange_says(status="finished", amountTo="0.0001", payoutHash="less")
    harbour.until(lambda: harbour.payout(payout).state == "review", blocks=0)
    for words in ((), ("--despite", "failed")):
        with pytest.raises(Conflict, match="the exchange says finished: it may still pay"):
            pgp("swap", "lost", swap_id, *words)
    pgp("swap", "lost", swap_id, "--despite", "finished")
    assert harbour.swap(swap_id).state == "lost"


def test_an_exchange_that_fell_silent_is_a_persons_when_he_takes_it(harbour: Harbour, pgp: Operator, payout: int) -> None:
    swap_id = funded(harbour, payout)
    with pytest.raises(Conflict, match="is funded: only one on hold"):
        pgp("swap", "lost", swap_id)
    pgp("swap", "hold", swap_id)
    harbour.until(lambda: harbour.payout(payout).state == "review", blocks=0, but=("swap.follow",))
    with pytest.raises(Conflict, match="is hold"):
        pgp("swap", "hold", swap_id)
    # It answers after all: the payout is the person's, the swap is not.
    harbour.exchange_says(status="exchanging")
    harbour.work()
    assert harbour.swap(swap_id).state == "funded"
    pgp("payout", "resume", payout)
    assert harbour.payout(payout).state == "funded"


def test_a_refund_that_the_exchange_does_not_speak_of_is_found_by_its_transaction(harbour: Harbour, pgp: Operator, payout: int, chain: TestChain) -> None:
    swap_id = held(harbour, payout)
    came = chain.send(harbour.address, UNITS, token=True)
    with pytest.raises(BadInput, match="Ethereum hash"):
        pgp("swap", "refunded", swap_id, "--tx", HASH)
    pgp("swap", "refunded", swap_id, "--tx", came)
    harbour.until(lambda: harbour.count("arrival", "cause = 'refund'") == 1)
    pgp("payout", "release", payout)
    assert is_back(harbour, payout)
    assert (harbour.account_of(COST), harbour.account_of(IN_FLIGHT)) == (0, 0)


def test_a_payout_that_waits_is_settled_by_itself_when_its_swap_is_said_to_have_finished(harbour: Harbour, pgp: Operator, payout: int) -> None:
    swap_id = funded(harbour, payout)
    harbour.exchange_says(status="verifying")
    harbour.work()
    pgp("swap", "finished", swap_id, "--tx", HASH, "--amount", "0.0009")
    harbour.until(lambda: harbour.payout(payout).state == "settled", blocks=0)
    assert settled_with(harbour, payout) == (90_000, HASH)


# --- at once


def test_of_an_operator_and_the_exchange_at_once_one_ends_the_swap_and_the_owner_is_paid_once(harbour: Harbour, pgp: Operator, payout: int) -> None:
    swap_id = held(harbour, payout)
    harbour.exchange_says(status="finished", amountTo="0.0009", payoutHash="real")
    harbour.hurry("swap.follow", swap_id)
    at_once(lambda: harbour.run("swap.follow", swap_id), lambda: pgp.does(lambda tx, why: swaps.lose(tx, swap_id, why)))
    state = harbour.swap(swap_id).state
    assert state in {"finished", "lost"}
    harbour.work()
    if state == "lost":
        pgp("payout", "release", payout)
        assert is_back(harbour, payout)
    else:
        pgp("payout", "settle", payout)
        assert settled_with(harbour, payout) == (90_000, "real")


def test_of_settle_release_and_resume_at_once_one_succeeds(harbour: Harbour, pgp: Operator, payout: int) -> None:
    swap_id = held(harbour, payout)
    pgp("swap", "lost", swap_id)
    outcomes = at_once(
        lambda: pgp.does(lambda tx, why: payouts.release(tx, payout, why)),
        lambda: pgp.does(lambda tx, why: payouts.resume(tx, payout, why)),
        lambda: pgp.does(lambda tx, why: payouts.settle(tx, payout, why, tx_hash=HASH, units=1)),
        lambda: pgp.does(lambda tx, why: payouts.release(tx, payout, why)),
    )
    # A resumed payout is reserved, and may be released by whoever comes next.
    succeeded = [outcome for outcome in outcomes if not isinstance(outcome, Conflict)]
    assert len(succeeded) in {1, 2}
    assert harbour.payout(payout).state in {"released", "reserved"}
    assert harbour.count("ledger_tx", "kind = 'payout.release'") <= 1


def test_a_release_and_the_gate_at_once_leave_one_of_them(harbour: Harbour, pgp: Operator) -> None:
    payout = harbour.reserved(asset="usdterc20", address=an_address(), units=UNITS)
    quote_id = harbour.direct(payout)
    at_once(lambda: harbour.run("payout.direct", quote_id), lambda: pgp.does(lambda tx, why: payouts.release(tx, payout, why)))
    outcome = (harbour.payout(payout).state, harbour.count("transfer"))
    assert outcome in {("released", 0), ("funding", 1)}


def test_an_operator_who_dies_before_anybody_is_woken_has_moved_it_all_the_same(harbour: Harbour, pgp: Operator, payout: int) -> None:
    swap_id = held(harbour, payout)
    # Nobody is woken in these tests: the work is a row, and whoever looks for rows finds it.
    pgp("swap", "finished", swap_id, "--tx", HASH, "--units", "90000")
    harbour.until(lambda: ("swap.ended", str(swap_id), "finished_after_review") in harbour.letters(), blocks=0)
    pgp("payout", "settle", payout)
    before = harbour.picture()
    harbour.do_everything_again()
    assert harbour.picture() == before


# --- lists


def test_the_lists_show_what_waits_and_for_what(harbour: Harbour, pgp: Operator, payout: int) -> None:
    swap_id = held(harbour, payout)
    told = pgp("payout", "list", why=False)
    assert all(word in told for word in ("review", "100 USDTERC20", "the exchange says failed"))
    assert [one["id"] for one in pgp.reads("payout", "list")] == [payout]
    assert harbour.payout(payout).address in pgp("payout", "show", payout, why=False)
    assert pgp.reads("payout", "show", payout)["swaps"][0]["id"] == swap_id
    assert "failed" in pgp("swap", "list", why=False)
    assert harbour.swap(swap_id).provider_id in pgp("swap", "show", swap_id, why=False)
    assert pgp.reads("swap", "show", swap_id)["about"] == f"payout {payout}"
    pgp("swap", "lost", swap_id)
    pgp("payout", "release", payout)
    assert "no payout is on its way" in pgp("payout", "list", why=False)
    assert "no swap is under way" in pgp("swap", "list", why=False)
    assert [one["state"] for one in pgp.reads("payout", "list", "--all")] == ["released"]
    assert [one["state"] for one in pgp.reads("swap", "list", "--all")] == ["lost"]


@pytest.mark.parametrize("words", [("payout", "show"), ("payout", "release"), ("payout", "settle"), ("payout", "resume"), ("swap", "show"), ("swap", "lost")])
def test_what_is_not_there_is_answered_with_a_sentence(harbour: Harbour, pgp: Operator, words: tuple[str, str]) -> None:
    with pytest.raises(NotFound, match="there is no"):
        pgp(*words, 404, why=words[1] != "show")

"""From a payout that waits for our coins to an owner who has his: HOSTPAY1 to 3 over a real chain and an exchange in memory."""

from __future__ import annotations

import pytest

from PGP_COMMON.money_machines import ledger, transfers, wallet
from tests.support.earnings import DOLLAR, ETHER
from tests.support.fake_exchange import an_address
from tests.support.hostpay import Harbour

UNITS = 100 * DOLLAR
IN_FLIGHT = ledger.in_flight("usdterc20")


@pytest.fixture
def payout(harbour: Harbour) -> int:
    return harbour.reserved(units=UNITS)


def funded(harbour: Harbour, payout: int) -> int:
    """A swap that has our coins; gives back its id."""
    swap_id = harbour.swap_for(payout)
    harbour.until(lambda: harbour.swap(swap_id).state == "funded", but=("swap.follow",))
    return swap_id


def owed(harbour: Harbour, payout: int, purse: str) -> int:
    return harbour.balance(harbour.payout(payout).owner_id, purse, "usdterc20")


# --- USDT on Ethereum itself


def test_an_owner_of_usdt_is_paid_directly_and_told_once(harbour, chain):
    address = an_address()
    payout = harbour.reserved(asset="usdterc20", address=address, units=UNITS)
    harbour.direct(payout)
    harbour.until(lambda: harbour.payout(payout).state == "settled")
    row = harbour.payout(payout)
    transfer = harbour.transfer(int(harbour.value("SELECT id FROM transfer")))
    assert chain.received(address, token=True) == UNITS
    assert (row.paid_out_units, row.tx_hash) == (UNITS, transfer.mined_hash)
    assert (transfer.purpose, transfer.recipient, transfer.deadline) == ("direct", address, None)
    assert harbour.count("notification", "kind = 'payout_settled'") == 1
    assert harbour.count("payout_accumulation", "state = 'paid'") == 1
    assert (harbour.account_of(IN_FLIGHT), owed(harbour, payout, "reserved")) == (0, 0)
    before = harbour.picture()
    harbour.do_everything_again()
    assert harbour.picture() == before
    harbour.check_books()


def test_a_direct_payout_that_may_not_be_sent_is_quoted_again_and_counts(harbour):
    payout = harbour.reserved(asset="usdterc20", address=harbour.address, units=UNITS)
    quote_id = harbour.direct(payout)
    harbour.until(lambda: harbour.payout(payout).state == "reserved", blocks=0)
    row = harbour.payout(payout)
    assert (row.quotes_failed, row.reason) == (1, "goes to the wallet itself")
    assert harbour.count("work", f"step = 'payout.requote' AND subject = '{quote_id}'") == 1


# --- through the exchange


def test_a_swap_is_funded_with_exactly_its_amount_and_the_owner_is_settled_when_it_has_finished(harbour, chain, payout):
    swap_id = funded(harbour, payout)
    swap = harbour.swap(swap_id)
    assert chain.received(str(swap.payin_address), token=True) == UNITS
    assert harbour.payout(payout).state == "funded"
    assert owed(harbour, payout, "reserved") == UNITS
    harbour.exchange_says(status="exchanging")
    harbour.work()
    assert harbour.swap(swap_id).state == "funded"
    harbour.exchange_says(status="finished", amountTo="0.0009", payoutHash="ABCDEF")
    harbour.until(lambda: harbour.payout(payout).state == "settled")
    row = harbour.payout(payout)
    assert (row.paid_out_units, row.tx_hash) == (90_000, "ABCDEF")
    assert harbour.swap(swap_id).state == "finished"
    assert (harbour.account_of(IN_FLIGHT), owed(harbour, payout, "reserved")) == (0, 0)
    assert harbour.count("notification", "kind = 'payout_settled'") == 1
    before = harbour.picture()
    harbour.do_everything_again()
    assert harbour.picture() == before
    assert harbour.letters() == []


@pytest.mark.parametrize(
    ("status", "reason"), [("exchanging", "the exchange says exchanging"), ("expired", "the exchange says expired"), ("new_word", "the exchange says new_word")]
)
def test_an_exchange_that_does_not_wait_for_our_coins_is_not_funded(harbour, payout, status, reason):
    swap_id = harbour.swap_for(payout)
    harbour.exchange_says(status=status)
    harbour.until(lambda: harbour.swap(swap_id).state == "abandoned", blocks=0)
    row = harbour.payout(payout)
    assert (row.state, row.quotes_failed, row.reason) == ("reserved", 1, reason)
    assert harbour.count("transfer") == 0
    assert harbour.count("work", f"step = 'payout.requote' AND subject = '{harbour.swap(swap_id).quote_id}'") == 1


def test_an_exchange_that_names_another_pay_in_address_is_not_funded(harbour, payout):
    swap_id = harbour.swap_for(payout)
    harbour.exchange_says(payinAddress=an_address())
    harbour.until(lambda: harbour.swap(swap_id).state == "abandoned", blocks=0)
    assert harbour.count("transfer") == 0


def test_an_exchange_that_does_not_answer_decides_nothing(harbour, payout):
    swap_id = harbour.swap_for(payout)
    harbour.run("swap.fund", swap_id)
    harbour.exchange.on_look = ["down"] * 5
    assert harbour.run("swap.check", swap_id) == "retry"
    assert harbour.swap(swap_id).state == "created"
    assert harbour.count("work", "step = 'swap.fundable'") == 0


def test_a_rate_that_is_nearly_over_is_not_funded(harbour, payout):
    swap_id = harbour.swap_for(payout, valid_s=295)
    harbour.until(lambda: harbour.swap(swap_id).state == "abandoned", blocks=0)
    assert (harbour.payout(payout).state, harbour.payout(payout).reason) == ("reserved", "deadline too near")
    assert harbour.count("transfer") == 0


def test_a_look_that_is_older_than_a_minute_funds_nothing(harbour, payout):
    swap_id = harbour.swap_for(payout)
    harbour.run("swap.fund", swap_id)
    harbour.run("swap.check", swap_id)
    harbour.pass_time(61)
    harbour.run("swap.fundable", swap_id)
    assert (harbour.swap(swap_id).state, harbour.payout(payout).reason) == ("abandoned", "the exchange was asked too long ago")


def test_a_transfer_that_waited_too_long_for_a_slot_is_cancelled_and_that_does_not_count(harbour, payout):
    with harbour.db.transaction() as tx:
        wallet.freeze(tx, harbour.wallet_id, reason="test")
    swap_id = harbour.swap_for(payout)
    harbour.until(lambda: harbour.count("transfer") == 1, blocks=0)
    transfer = int(harbour.value("SELECT id FROM transfer"))
    harbour.work()
    assert harbour.transfer(transfer).state == "requested"
    harbour.pass_time(1200 - 299)
    harbour.work()
    harbour.work()
    assert harbour.transfer(transfer).state == "cancelled"
    assert harbour.swap(swap_id).state == "abandoned"
    row = harbour.payout(payout)
    assert (row.state, row.quotes_failed, row.reason) == ("reserved", 0, "deadline too near")
    assert harbour.value("SELECT next_nonce FROM wallet") == 0
    # The next quote funds a new swap, and the old one is never paid.
    with harbour.db.transaction() as tx:
        wallet.unfreeze(tx, harbour.wallet_id)
    again = harbour.swap_for(payout)
    harbour.until(lambda: harbour.swap(again).state == "funded", but=("swap.follow",))
    assert harbour.test_chain.received(str(harbour.swap(swap_id).payin_address), token=True) == 0


def test_one_swap_has_one_transfer_however_often_it_is_said_to_be_fundable(harbour, payout):
    swap_id = harbour.swap_for(payout)
    harbour.until(lambda: harbour.count("transfer") == 1, blocks=0)
    harbour.do_everything_again()
    harbour.until(lambda: harbour.swap(swap_id).state == "funded", but=("swap.follow",))
    assert harbour.count("transfer") == 1
    assert harbour.test_chain.received(str(harbour.swap(swap_id).payin_address), token=True) == UNITS


def test_a_transfer_that_no_longer_fits_its_swap_is_never_signed(harbour, payout):
    swap_id = harbour.swap_for(payout)
    harbour.until(lambda: harbour.count("transfer") == 1, blocks=0, but=("transfer.sign",))
    with harbour.db.transaction() as tx:
        tx.run("UPDATE swap SET state = 'abandoned' WHERE id = :id", id=swap_id)
    harbour.work()
    transfer = harbour.transfer(int(harbour.value("SELECT id FROM transfer")))
    assert (transfer.state, transfer.reason) == ("cancelled", "differs from its swap")


@pytest.mark.parametrize("wrong", [{"recipient": "0x" + "ab" * 20}, {"units": UNITS + 1}, {"asset": "eth"}])
@pytest.mark.parametrize("purpose", ["swap", "direct"])
def test_a_transfer_that_says_anything_else_than_what_it_is_for_is_never_signed(harbour, wrong, purpose):
    address = an_address()
    payout = harbour.reserved(asset="usdterc20", address=address) if purpose == "direct" else harbour.reserved()
    swap_id = None if purpose == "direct" else harbour.swap_for(payout)
    right = {"recipient": address if swap_id is None else str(harbour.swap(swap_id).payin_address), "units": UNITS, "asset": "usdterc20"}
    with harbour.db.transaction() as tx:
        for state in ("quoted", "funding"):
            tx.run("UPDATE split_payout_que SET state = :state WHERE id = :id AND state <> 'swap_ready' OR :state = 'funding'", state=state, id=payout)
        tx.run("UPDATE swap SET state = 'funding'")
        about = {"payout_id": payout} if swap_id is None else {"swap_id": swap_id}
        asked = transfers.request(tx, wallet_id=harbour.wallet_id, purpose=purpose, **{**right, **wrong}, **about)
    harbour.fire("transfer.sign", str(asked))
    assert harbour.run("transfer.sign", asked) == "done"
    assert harbour.transfer(int(asked or 0)).reason == f"differs from its {'payout' if purpose == 'direct' else 'swap'}"
    assert harbour.value("SELECT next_nonce FROM wallet") == 0


def test_a_transfer_that_fails_on_the_chain_sends_the_payout_to_a_person(harbour, chain, payout):
    swap_id = harbour.swap_for(payout)
    harbour.until(lambda: harbour.count("transfer", "state = 'signed'") == 1, blocks=0, but=("transfer.watch",))
    # The token refuses what the wallet asks for: it no longer has the units.
    slot_code = chain.node.code(chain.token)
    chain.node.call("anvil_setCode", chain.token, "0x60006000fd")
    try:
        harbour.until(lambda: harbour.count("transfer", "state = 'failed_onchain'") == 1)
        harbour.work()
    finally:
        chain.node.call("anvil_setCode", chain.token, slot_code)
    assert harbour.payout(payout).state == "review"
    assert harbour.swap(swap_id).state == "abandoned"
    assert harbour.account_of(IN_FLIGHT) == 0
    assert owed(harbour, payout, "reserved") == UNITS
    assert harbour.letters()[0][2] == "transfer_failed_onchain"
    harbour.check_books()


# --- the exchange does something else


def test_a_refund_that_arrives_gives_the_owner_his_balance_back_and_the_platform_pays_what_is_missing(harbour, chain, payout):
    swap_id = funded(harbour, payout)
    came_back = chain.send(harbour.address, 98 * DOLLAR, token=True)
    harbour.exchange_says(status="refunded", refundHash=came_back, refundAmount="98")
    harbour.work()
    harbour.work()
    assert harbour.swap(swap_id).state == "refunded"
    assert harbour.payout(payout).state == "refunding"
    harbour.until(lambda: harbour.payout(payout).state == "released")
    assert (owed(harbour, payout, "reserved"), owed(harbour, payout, "available")) == (0, UNITS)
    assert harbour.account_of(ledger.swap_expense("usdterc20")) == 2 * DOLLAR
    assert (harbour.account_of(IN_FLIGHT), harbour.account_of(ledger.arrivals("usdterc20"))) == (0, 0)
    assert harbour.count("payout_accumulation", "state = 'converted' AND payout_id IS NULL") == 1
    assert harbour.count("notification", "kind = 'payout_released'") == 1
    before = harbour.picture()
    harbour.do_everything_again()
    assert harbour.picture() == before
    harbour.check_books()


def test_a_refund_may_be_known_before_its_transaction_is(harbour, chain, payout):
    swap_id = funded(harbour, payout)
    harbour.exchange_says(status="refunded")
    harbour.until(lambda: harbour.payout(payout).state == "refunding", blocks=0)
    assert harbour.swap(swap_id).refund_hash is None
    came_back = chain.send(harbour.address, UNITS, token=True)
    harbour.exchange_says(status="refunded", refundHash=came_back)
    harbour.until(lambda: harbour.payout(payout).state == "released")
    assert harbour.account_of(ledger.swap_expense("usdterc20")) == 0


def test_a_refund_that_never_arrives_is_a_persons_after_three_days(harbour, payout):
    funded(harbour, payout)
    harbour.exchange_says(status="refunded", refundHash="0x" + "ab" * 32)
    harbour.until(lambda: harbour.payout(payout).state == "refunding", blocks=0)
    harbour.pass_time(73 * 3600)
    harbour.work()
    assert harbour.payout(payout).state == "review"
    assert owed(harbour, payout, "reserved") == UNITS
    assert "refund_missing" in [reason for _, _, reason in harbour.letters()]


@pytest.mark.parametrize("says", [{"status": "failed"}, {"status": "expired"}, {"status": "finished", "amountTo": "0.00089999", "payoutHash": "h"}])
def test_an_exchange_that_failed_or_paid_less_is_a_persons_at_once(harbour, payout, says):
    swap_id = funded(harbour, payout)
    harbour.exchange_says(**says)
    harbour.until(lambda: harbour.payout(payout).state == "review", blocks=0)
    assert harbour.swap(swap_id).state == "hold"
    assert owed(harbour, payout, "reserved") == UNITS
    assert harbour.letters()[0][0] == "swap.ended"


def test_a_hold_ends_by_itself_within_three_days_or_becomes_a_persons(harbour, payout):
    swap_id = funded(harbour, payout)
    harbour.exchange_says(status="verifying")
    harbour.work()
    assert (harbour.swap(swap_id).state, harbour.payout(payout).state) == ("hold", "funded")
    assert harbour.letters() == []
    harbour.exchange_says(status="exchanging")
    harbour.work()
    assert harbour.swap(swap_id).state == "funded"
    harbour.exchange_says(status="verifying")
    harbour.pass_time(72 * 3600 + 60)
    harbour.until(lambda: harbour.payout(payout).state == "review", blocks=0)
    harbour.exchange_says(status="finished", amountTo="0.0009", payoutHash="late")
    harbour.work()
    harbour.work()
    assert harbour.swap(swap_id).state == "finished"
    # Only an operator moves a payout out of review.
    assert harbour.payout(payout).state == "review"


def test_a_word_that_nobody_knows_is_a_hold_and_an_alarm(harbour, payout):
    swap_id = funded(harbour, payout)
    harbour.exchange_says(status="contemplating")
    harbour.work()
    assert harbour.swap(swap_id).state == "hold"
    assert ("swap.follow", str(swap_id), "the exchange says contemplating") in harbour.letters()


def test_an_exchange_that_forgot_its_order_is_a_hold_and_not_a_wait(harbour, payout):
    swap_id = funded(harbour, payout)
    harbour.exchange.on_look = ["unknown"] * 3
    harbour.work()
    assert harbour.swap(swap_id).state == "hold"


# --- conversions


def a_conversion(harbour: Harbour, *, wei: int) -> tuple[int, int]:
    """A conversion whose swap waits for our ETH, as MICROBATCH leaves it; gives back both ids."""
    owner = harbour.owner()
    earned = harbour.earn(owner, wei)
    with harbour.db.transaction() as tx:
        conversion = int(
            tx.value("INSERT INTO batch_conversions (from_asset, from_units, to_asset, correlation) VALUES ('eth', :w, 'usdterc20', 'c') RETURNING id", w=wei)
        )
        tx.run("UPDATE payout_accumulation SET state = 'converting', conversion_id = :c WHERE id = :id", c=conversion, id=earned)
        lines = [ledger.debit(ledger.owed(owner, "pending", "eth"), wei), ledger.credit(ledger.owed(owner, "converting", "eth"), wei)]
        ledger.post(tx, "conv.start", conversion, lines)
    return conversion, harbour.swap_of_conversion(conversion, wei=wei)


def test_a_conversion_is_funded_with_eth_and_told_when_the_usdt_is_on_its_way(harbour, chain):
    chain.node.call("anvil_setBalance", harbour.address, hex(7 * ETHER))
    conversion, swap_id = a_conversion(harbour, wei=2 * ETHER)
    harbour.until(lambda: harbour.swap(swap_id).state == "funded", but=("swap.follow",))
    assert chain.received(str(harbour.swap(swap_id).payin_address), token=False) == 2 * ETHER
    bought = chain.send(harbour.address, 6_000 * DOLLAR, token=True)
    harbour.exchange_says(status="finished", amountTo="6000", payoutHash=bought.upper().replace("0X", "0x"))
    harbour.until(lambda: harbour.count("arrival", "cause = 'swap'") == 1)
    assert harbour.count("work", f"step = 'conversion.finish' AND subject = '{swap_id}'") == 1
    # What it bought is shared out by the conversion, which posts it.
    assert harbour.account_of(ledger.arrivals("usdterc20")) == 6_000 * DOLLAR
    assert harbour.account_of(ledger.in_flight("eth")) == 2 * ETHER
    assert conversion


def test_a_conversion_whose_transfer_is_cancelled_is_told(harbour):
    with harbour.db.transaction() as tx:
        wallet.freeze(tx, harbour.wallet_id, reason="test")
    _, swap_id = a_conversion(harbour, wei=ETHER)
    harbour.until(lambda: harbour.count("transfer") == 1, blocks=0)
    harbour.pass_time(1000)
    harbour.work()
    harbour.work()
    assert harbour.swap(swap_id).state == "abandoned"
    assert harbour.count("work", f"step = 'conversion.finish' AND subject = '{swap_id}'") == 1

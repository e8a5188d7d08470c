"""What comes to our wallet is booked once, from final blocks only; what goes out and is not ours freezes it; and the books agree with the chain."""

from __future__ import annotations

from PGP_COMMON.money_machines import arrivals, conversions, ledger, reconciliations, swaps
from PGP_HOSTPAY_v1.hostpay2_status_checker.reconciling import LASTS_S
from tests.support.earnings import DOLLAR, ETHER
from tests.support.fake_exchange import an_address
from tests.support.hostpay import CHAIN_ID, FINAL_BLOCKS, Harbour

GWEI = 10**9


def unpaid(harbour: Harbour, *, units: int, fee: int = 0, asset: str = "eth") -> int:
    """A credited payment whose money has not come; gives back its id."""
    harbour.earn(harbour.owner(), units, arrived=False, fee=fee, asset=asset)
    return int(harbour.value("SELECT max(id) FROM processed_payments"))


def reconcile(harbour: Harbour) -> None:
    """Run one whole comparison with the chain, and nothing else."""
    subject = harbour.fire("wallet.reconcile")
    for _ in range(20):
        harbour.hurry("wallet.reconcile", subject)
        if harbour.run("wallet.reconcile", subject) == "done":
            return
    raise AssertionError(harbour.rows("SELECT state, last_error FROM work WHERE step = 'wallet.reconcile'"))


def breaks(harbour: Harbour) -> list[dict[str, str]]:
    with harbour.db.reading() as tx:
        return reconciliations.last_breaks(tx, "wallet")


# --- one arrival


def test_money_is_booked_only_when_its_block_is_final_and_only_once(harbour, chain):
    tx_hash = chain.send(harbour.address, ETHER)
    harbour.fire("arrival.look", tx_hash)
    harbour.work()
    assert harbour.count("arrival") == 0
    chain.mine()
    harbour.work()
    assert harbour.count("arrival") == 0
    harbour.until(lambda: harbour.count("arrival") == 1)
    assert harbour.rows("SELECT asset, units, log, cause FROM arrival") == [("eth", ETHER, "native", None)]
    assert harbour.account_of(ledger.arrivals("eth")) == ETHER
    harbour.do_everything_again()
    reconcile(harbour)
    assert harbour.count("arrival") == 1
    assert harbour.account_of(ledger.arrivals("eth")) == ETHER
    harbour.check_books()


def test_a_block_that_is_taken_back_brings_nothing(harbour, chain):
    tx_hash = chain.send(harbour.address, ETHER)
    chain.mine()
    harbour.fire("arrival.look", tx_hash)
    harbour.work()
    chain.node.call("anvil_reorg", 1, [])
    chain.mine(FINAL_BLOCKS)
    for _ in range(3):
        harbour.work()
    assert harbour.count("arrival") == 0


def test_tokens_are_booked_by_their_event_and_other_peoples_transfers_are_not(harbour, chain):
    ours, theirs = chain.send(harbour.address, 7 * DOLLAR, token=True), chain.send(an_address(), 9 * DOLLAR, token=True)
    chain.mine(FINAL_BLOCKS)
    for tx_hash in (ours, theirs):
        harbour.fire("arrival.look", tx_hash)
    harbour.work()
    assert harbour.rows("SELECT asset, units, tx_hash FROM arrival") == [("usdterc20", 7 * DOLLAR, ours)]
    harbour.pass_time(25 * 3600)
    harbour.work()
    assert ("arrival.look", theirs, "brought_nothing") in harbour.letters()


def test_a_transaction_that_nobody_knows_is_a_persons_after_a_day(harbour):
    tx_hash = "0x" + "cd" * 32
    harbour.fire("arrival.look", tx_hash)
    harbour.work()
    assert harbour.letters() == []
    harbour.pass_time(25 * 3600)
    harbour.work()
    assert harbour.letters() == [("arrival.look", tx_hash, "not_final")]


# --- its cause


def test_a_payments_money_leaves_transit_and_what_the_vendor_kept_is_the_platforms_cost(harbour, chain):
    payment = unpaid(harbour, units=ETHER, fee=ETHER // 10)
    assert harbour.account_of(ledger.np_transit("eth")) == ETHER + ETHER // 10
    tx_hash = chain.send(harbour.address, ETHER + ETHER // 20)
    with harbour.db.transaction() as tx:
        tx.run("UPDATE processed_payments SET payout_hash = :hash WHERE id = :id", hash=tx_hash, id=payment)
    harbour.fire("arrival.look", tx_hash)
    harbour.until(lambda: harbour.count("arrival", "cause = 'payment'") == 1)
    assert harbour.value("SELECT payment_id FROM arrival") == payment
    assert harbour.account_of(ledger.np_transit("eth")) == 0
    assert harbour.account_of(ledger.arrivals("eth")) == 0
    assert harbour.account_of(ledger.swap_expense("eth")) == ETHER // 20
    harbour.check_books()


def test_a_payments_hash_that_becomes_known_later_still_explains_the_arrival(harbour, chain):
    payment = unpaid(harbour, units=ETHER)
    tx_hash = chain.send(harbour.address, ETHER)
    chain.mine(FINAL_BLOCKS)
    reconcile(harbour)
    harbour.work()
    assert harbour.rows("SELECT tx_hash, cause FROM arrival") == [(tx_hash, None)]
    with harbour.db.transaction() as tx:
        tx.run("UPDATE processed_payments SET payout_hash = :hash WHERE id = :id", hash=tx_hash, id=payment)
    harbour.work()
    assert harbour.value("SELECT cause FROM arrival") == "payment"
    assert harbour.account_of(ledger.np_transit("eth")) == 0


def test_a_payment_that_is_not_booked_yet_explains_nothing(harbour, chain):
    payment = unpaid(harbour, units=ETHER)
    tx_hash = chain.send(harbour.address, ETHER, token=False)
    with harbour.db.transaction() as tx:
        tx.run("UPDATE processed_payments SET payout_hash = :hash, outcome_asset = 'usdterc20' WHERE id = :id", hash=tx_hash, id=payment)
    harbour.fire("arrival.look", tx_hash)
    chain.mine(FINAL_BLOCKS)
    harbour.work()
    assert harbour.value("SELECT cause FROM arrival") is None


def test_an_announced_deposit_is_the_platforms_own(harbour, chain):
    tx_hash = chain.send(harbour.address, 3 * ETHER)
    with harbour.db.transaction() as tx:
        assert arrivals.expect(tx, tx_hash.upper().replace("0X", "0x"), reason="more gas")
        assert not arrivals.expect(tx, tx_hash, reason="again")
    chain.mine(FINAL_BLOCKS)
    reconcile(harbour)
    harbour.work()
    assert harbour.value("SELECT cause FROM arrival") == "treasury"
    assert harbour.account_of(ledger.equity("eth")) == 8 * ETHER


def test_an_arrival_that_nobody_explains_is_an_alarm_after_a_day_and_never_a_posting(harbour, chain):
    chain.send(harbour.address, ETHER)
    chain.mine(FINAL_BLOCKS)
    reconcile(harbour)
    harbour.work()
    harbour.pass_time(25 * 3600)
    harbour.work()
    reconcile(harbour)
    assert harbour.letters() == [("arrival", str(harbour.value("SELECT id FROM arrival")), "unknown_arrival")]
    assert harbour.account_of(ledger.arrivals("eth")) == ETHER
    with harbour.db.transaction() as tx:
        arrivals.expect(tx, str(harbour.value("SELECT tx_hash FROM arrival")), reason="explained at last")
    reconcile(harbour)
    assert harbour.account_of(ledger.arrivals("eth")) == 0


def test_dust_that_nobody_explains_keeps_no_late_cause_from_being_found(harbour, chain):
    dust = [chain.send(harbour.address, number) for number in range(1, 26)]
    chain.mine(FINAL_BLOCKS)
    reconcile(harbour)
    harbour.work()
    with harbour.db.transaction() as tx:
        conversion = conversions.plan(tx, from_asset="eth", from_units=ETHER, to_asset="usdterc20", correlation="c")
    swap_id = harbour.swap_of_conversion(conversion, wei=ETHER)
    harbour.until(lambda: harbour.swap(swap_id).state == "funded", but=("swap.follow",))
    bought = chain.send(harbour.address, 2_990 * DOLLAR, token=True)
    chain.mine(FINAL_BLOCKS)
    reconcile(harbour)
    harbour.work(but=("swap.follow",))
    harbour.pass_time(25 * 3600)
    harbour.work(but=("swap.follow",))
    # What the exchange says more than a day after its money came.
    with harbour.db.transaction() as tx:
        assert swaps.finish(tx, swap_id, received_units=2_990 * DOLLAR, payout_hash=bought)
    for _ in range(10):
        reconcile(harbour)
    assert harbour.value("SELECT cause FROM arrival WHERE tx_hash = :hash", hash=bought) == "swap"
    assert harbour.value("SELECT count(*) FROM arrival WHERE matched_at IS NULL AND tx_hash = ANY(:dust)", dust=dust) == len(dust)


# --- the whole wallet


def test_the_books_agree_with_the_chain_at_every_moment_of_a_transfers_life(harbour, chain):
    asked = [harbour.ask(units=ETHER, asset="eth"), harbour.ask(units=40 * DOLLAR)]
    seen = set()
    for _ in range(14):
        reconcile(harbour)
        assert breaks(harbour) == []
        seen |= {harbour.transfer(transfer_id).state for transfer_id in asked}
        harbour.work(but=("wallet.reconcile", "transfer.ended"))
        reconcile(harbour)
        assert breaks(harbour) == []
        chain.mine()
    assert seen >= {"requested", "broadcast", "mined", "final"}
    assert harbour.letters() == []


def test_the_books_agree_with_the_chain_when_a_transfer_fails(harbour, chain):
    recipient = an_address()
    asked = harbour.ask(units=ETHER, asset="eth", recipient=recipient)
    harbour.run("transfer.sign", asked)
    chain.node.call("anvil_setCode", recipient, "0xfe")
    for _ in range(10):
        harbour.work(but=("transfer.ended",))
        reconcile(harbour)
        assert breaks(harbour) == []
        chain.mine()
    assert harbour.transfer(asked).state == "failed_onchain"
    harbour.work()
    reconcile(harbour)
    assert breaks(harbour) == []


def test_a_transaction_that_is_not_ours_freezes_the_wallet(harbour, chain):
    asked = harbour.ask(units=DOLLAR)
    fields = {
        "type": 2,
        "chainId": CHAIN_ID,
        "nonce": 0,
        "gas": 21_000,
        "maxFeePerGas": 50 * GWEI,
        "maxPriorityFeePerGas": GWEI,
        "to": an_address(),
        "value": 1,
    }
    signed = harbour.account.sign_transaction(fields)
    tx_hash = chain.node.call("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())
    chain.mine(FINAL_BLOCKS)
    reconcile(harbour)
    assert tx_hash in str(harbour.value("SELECT frozen_reason FROM wallet"))
    assert ("wallet", harbour.address, "wallet_frozen") in harbour.letters()
    harbour.hurry("transfer.sign", asked)
    assert harbour.run("transfer.sign", asked) == "paused"


def test_our_own_transactions_freeze_nothing(harbour, chain):
    asked = [harbour.ask(units=DOLLAR) for _ in range(3)]
    harbour.until(lambda: all(harbour.transfer(transfer_id).state == "final" for transfer_id in asked))
    reconcile(harbour)
    assert harbour.value("SELECT frozen_reason FROM wallet") is None
    assert harbour.value("SELECT scanned_block FROM wallet") == harbour.chain.finalized()


def test_money_that_a_contract_passed_on_shows_as_a_difference_and_stops_nothing(harbour, chain):
    chain.node.call("anvil_setBalance", harbour.address, hex(5 * ETHER + 1))
    chain.mine(FINAL_BLOCKS)
    reconcile(harbour)
    assert harbour.letters() == []
    harbour.pass_time(LASTS_S)
    reconcile(harbour)
    assert harbour.letters() == [("wallet.reconcile", "eth", "balance_differs")]
    assert breaks(harbour)[0]["differs"] == "1"
    assert harbour.value("SELECT frozen_reason FROM wallet") is None


def test_money_that_is_gone_freezes_the_wallet_once_every_look_of_some_minutes_agrees(harbour, chain):
    chain.node.call("anvil_setBalance", harbour.address, hex(4 * ETHER))
    chain.mine(FINAL_BLOCKS)
    # However often one looks, what is just being booked may take so long.
    for _ in range(3):
        reconcile(harbour)
        assert harbour.value("SELECT frozen_reason FROM wallet") is None
        harbour.pass_time(LASTS_S // 3)
    reconcile(harbour)
    assert harbour.value("SELECT frozen_reason FROM wallet") == "less eth on the chain than in the books"


def test_a_difference_that_was_gone_in_between_begins_anew(harbour, chain):
    for wei in (1, 0, 1):
        chain.node.call("anvil_setBalance", harbour.address, hex(5 * ETHER + wei))
        chain.mine(FINAL_BLOCKS)
        reconcile(harbour)
        harbour.pass_time(LASTS_S // 2 + 5)
    reconcile(harbour)
    assert harbour.letters() == []
    harbour.pass_time(LASTS_S)
    reconcile(harbour)
    assert harbour.letters() == [("wallet.reconcile", "eth", "balance_differs")]


def test_a_wallet_that_is_low_on_gas_money_asks_a_person_for_a_deposit(harbour):
    reconcile(harbour)
    assert harbour.letters() == []
    with harbour.db.transaction() as tx:
        tx.run("UPDATE wallet SET gas_reserve_wei = :reserve", reserve=6 * ETHER)
    reconcile(harbour)
    assert harbour.letters() == [("wallet.deposit", harbour.address, "deposit_needed")]


def test_nonces_that_we_did_not_give_freeze_the_wallet(harbour, chain):
    chain.node.call("anvil_setNonce", harbour.address, "0x3")
    chain.mine(FINAL_BLOCKS)
    reconcile(harbour)
    assert harbour.value("SELECT frozen_reason FROM wallet") == "the chain has nonces that we did not give"


def test_a_long_absence_is_read_in_pieces_and_nothing_is_missed(harbour, chain):
    hashes = []
    for _ in range(3):
        hashes.append(chain.send(harbour.address, ETHER))
        chain.mine(45)
    chain.mine(FINAL_BLOCKS)
    reconcile(harbour)
    harbour.work()
    assert {found for (found,) in harbour.rows("SELECT tx_hash FROM arrival")} == set(hashes)


def test_an_order_that_nobody_may_fund_and_that_has_money_is_an_alarm(harbour):
    swap_id = harbour.swap_for(harbour.reserved())
    with harbour.db.transaction() as tx:
        swaps.disown(tx, swap_id, provider_id="orphan", payin_address=an_address())
    harbour.exchange.exchanges["orphan"] = {**next(iter(harbour.exchange.exchanges.values())), "id": "orphan", "payinAddress": an_address()}
    reconcile(harbour)
    assert harbour.letters() == []
    harbour.exchange_says(status="exchanging", amountFrom="100")
    reconcile(harbour)
    assert ("swap.orphan", "orphan", "orphan_has_money") in harbour.letters()
    # The living order says the same, and we have paid nothing for it either.
    assert ("swap.compare", str(swap_id), "differs_at_the_exchange") in harbour.letters()


def test_a_swap_that_nobody_follows_is_an_alarm(harbour):
    swap_id = harbour.swap_for(harbour.reserved())
    harbour.until(lambda: harbour.swap(swap_id).state == "funded", but=("swap.follow",))
    harbour.pass_time(3 * 3600)
    reconcile(harbour)
    assert ("swap.follow", str(swap_id), "not_followed") in harbour.letters()


def test_an_exchange_that_is_away_does_not_stop_the_comparison(harbour):
    swap_id = harbour.swap_for(harbour.reserved())
    with harbour.db.transaction() as tx:
        swaps.disown(tx, swap_id, provider_id="orphan", payin_address=an_address())
    harbour.exchange.on_look = ["down"] * 10
    subject = harbour.fire("wallet.reconcile")
    assert harbour.run("wallet.reconcile", subject) == "done"
    with harbour.db.reading() as tx:
        assert [found["exchange"] for found in reconciliations.last_breaks(tx, "exchanges")] == ["vendor_down"]

"""What a transfer must pass before it is signed: everything is checked again in the transaction that signs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from PGP_COMMON.clients.ethereum_signing import decode_raw, meaning
from PGP_COMMON.engine import Job, Later
from PGP_COMMON.errors import BrokenRule
from PGP_COMMON.money_machines import ledger, transfers, wallet
from PGP_HOSTPAY_v1.hostpay3_executor import steps, watch
from tests.support.earnings import DOLLAR, ETHER
from tests.support.fake_exchange import an_address
from tests.support.hostpay import CHAIN_ID, Harbour, TestChain, a_chain, a_harbour

GWEI = 10**9


def sign(harbour: Harbour, asked: int) -> str:
    harbour.hurry("transfer.sign", asked)
    return harbour.run("transfer.sign", asked)


def waits(harbour: Harbour, asked: int, reason: str) -> None:
    """It waits for this reason, as often as it is asked, and nothing was used up."""
    assert sign(harbour, asked) == "later"
    row = harbour.transfer(asked)
    assert (row.state, row.nonce) == ("requested", None)
    assert reason in str(harbour.value("SELECT last_error FROM work WHERE step = 'transfer.sign' AND subject = :id", id=str(asked)))
    assert harbour.count("transfer_attempt") == 0


def test_what_is_kept_says_exactly_what_was_asked_for(harbour, chain):
    for asset, units, token in (("usdterc20", 5 * DOLLAR, chain.token), ("eth", 3, None)):
        recipient = an_address()
        asked = harbour.ask(units=units, asset=asset, recipient=recipient)
        assert sign(harbour, asked) == "done"
        (attempt,) = harbour.attempts(asked)
        fields, signer, tx_hash = decode_raw(bytes(attempt.raw))
        assert meaning(fields.call) == (token, recipient, units)
        assert (signer, tx_hash) == (harbour.address, attempt.tx_hash)
        assert (fields.chain_id, fields.nonce) == (CHAIN_ID, harbour.transfer(asked).nonce)
        assert (fields.gas, fields.max_fee_wei) == (attempt.gas_limit, attempt.max_fee_wei)


def test_a_second_delivery_signs_nothing(harbour):
    asked = harbour.ask(units=DOLLAR)
    assert sign(harbour, asked) == "done"
    harbour.do_everything_again()
    assert harbour.count("transfer_attempt") == 1
    assert harbour.value("SELECT next_nonce FROM wallet") == 1


def test_a_frozen_wallet_signs_nothing(harbour):
    asked = harbour.ask(units=DOLLAR)
    with harbour.db.transaction() as tx:
        wallet.freeze(tx, harbour.wallet_id, reason="a person said so")
    waits(harbour, asked, "the wallet is frozen: a person said so")
    with harbour.db.transaction() as tx:
        wallet.unfreeze(tx, harbour.wallet_id)
    assert sign(harbour, asked) == "done"


def test_a_frozen_wallet_and_a_switched_off_signer_raise_no_fees_either(harbour, chain):
    asked = harbour.ask(units=DOLLAR)
    sign(harbour, asked)
    harbour.work()
    chain.base_fee(100 * GWEI)
    harbour.pass_time(600)
    with harbour.db.transaction() as tx:
        tx.run("INSERT INTO machine_pause (switch, reason) VALUES ('sign', 'test')")
    harbour.work()
    assert len(harbour.attempts(asked)) == 1
    with harbour.db.transaction() as tx:
        tx.run("DELETE FROM machine_pause")
        wallet.freeze(tx, harbour.wallet_id, reason="test")
    harbour.work()
    assert len(harbour.attempts(asked)) == 1
    with harbour.db.transaction() as tx:
        wallet.unfreeze(tx, harbour.wallet_id)
    harbour.work()
    assert len(harbour.attempts(asked)) == 2
    chain.base_fee(GWEI)


def test_a_switched_off_signer_signs_nothing(harbour):
    asked = harbour.ask(units=DOLLAR)
    with harbour.db.transaction() as tx:
        tx.run("INSERT INTO machine_pause (switch, reason) VALUES ('sign', 'test')")
    assert sign(harbour, asked) == "paused"
    assert harbour.transfer(asked).state == "requested"


def test_a_switch_that_is_flipped_while_the_chain_is_asked_signs_nothing(harbour):
    asked = harbour.ask(units=DOLLAR)
    commit = steps.sign_once(a_job(harbour, "transfer.sign", asked))
    with harbour.db.transaction() as tx:
        tx.run("INSERT INTO machine_pause (switch, reason) VALUES ('sign', 'test')")
    assert harbour.services["pgp-hostpay3-v1"].db.rerun(commit) == Later(60, "signing is switched off")
    assert (harbour.transfer(asked).state, harbour.count("transfer_attempt")) == ("requested", 0)


def test_while_a_wallet_is_full_nobody_asks_the_chain_and_whoever_stands_further_back_waits_longer(harbour):
    line = [harbour.ask(units=DOLLAR) for _ in range(4)]
    with harbour.db.transaction() as tx:
        tx.run("UPDATE wallet SET max_in_flight = 1")
    assert sign(harbour, line[0]) == "done"
    waits_s = []
    for transfer in line[1:]:
        job = a_job(harbour, "transfer.sign", transfer)
        # There is no chain to ask.
        commit = steps.sign_once(replace(job, clients=replace(job.clients, chain=None)))
        outcome = harbour.services["pgp-hostpay3-v1"].db.rerun(commit)
        assert outcome.reason == "all slots of the wallet are taken"
        waits_s.append(outcome.seconds)
    poll_s = waits_s[0]
    assert waits_s == [poll_s, 2 * poll_s, 3 * poll_s]


def test_a_full_wallet_lets_transfers_wait_for_a_slot(harbour):
    with harbour.db.transaction() as tx:
        tx.run("UPDATE wallet SET max_in_flight = 1")
    first, second = harbour.ask(units=DOLLAR), harbour.ask(units=DOLLAR)
    assert sign(harbour, first) == "done"
    assert sign(harbour, second) == "later"
    assert harbour.transfer(second).state == "requested"
    harbour.until(lambda: harbour.transfer(first).state == "final")
    harbour.until(lambda: harbour.transfer(second).state == "final")
    assert harbour.letters() == []


def test_gas_money_below_the_reserve_lets_transfers_wait(harbour):
    asked = harbour.ask(units=DOLLAR)
    with harbour.db.transaction() as tx:
        tx.run("UPDATE wallet SET gas_reserve_wei = :reserve", reserve=6 * ETHER)
    waits(harbour, asked, "gas money is below the reserve")


def test_owners_money_pays_for_no_gas(harbour):
    owner = harbour.owner()
    harbour.earn(owner, 3 * ETHER)
    asked = harbour.ask(units=DOLLAR)
    with harbour.db.transaction() as tx:
        tx.run("UPDATE wallet SET gas_reserve_wei = :reserve", reserve=5 * ETHER)
        assert wallet.gas_money_wei(tx) == 5 * ETHER
        assert ledger.balance(tx, ledger.wallet("eth")) == 8 * ETHER
    waits(harbour, asked, "gas money is below the reserve")


def test_fees_pay_for_gas_only_once_their_money_has_arrived(harbour):
    owner = harbour.owner()
    harbour.earn(owner, ETHER, arrived=False, fee=ETHER // 10)
    with harbour.db.reading() as tx:
        assert wallet.gas_money_wei(tx) == 5 * ETHER
    harbour.arrive(int(harbour.value("SELECT max(id) FROM processed_payments")))
    with harbour.db.reading() as tx:
        assert wallet.gas_money_wei(tx) == 5 * ETHER + ETHER // 10


def test_the_platforms_usdt_below_zero_lets_transfers_wait(harbour):
    asked = harbour.ask(units=DOLLAR)
    with harbour.db.transaction() as tx:
        lines = [ledger.debit(ledger.swap_expense("usdterc20"), 6_000 * DOLLAR), ledger.credit(ledger.in_flight("usdterc20"), 6_000 * DOLLAR)]
        ledger.post(tx, "refund.cost", "test", lines)
    waits(harbour, asked, "the platform's USDT is below zero")


@pytest.mark.parametrize(("asset", "units"), [("usdterc20", 5_001 * DOLLAR), ("eth", 6 * ETHER)])
def test_more_than_the_wallet_holds_on_the_chain_waits(harbour, asset, units):
    waits(harbour, harbour.ask(units=units, asset=asset), "the wallet holds too little on the chain")


def test_more_than_the_books_hold_waits_although_the_chain_has_it(harbour, chain):
    chain.mint(harbour.address, 1_000 * DOLLAR)
    waits(harbour, harbour.ask(units=5_500 * DOLLAR), "the books hold too little")


def test_eth_keeps_the_gas_reserve(harbour):
    with harbour.db.reading() as tx:
        ours = wallet.find(tx, harbour.address)
        assert ours is not None
        assert wallet.covers(tx, ours, asset="eth", units=5 * ETHER - ours.gas_reserve_wei, fees_wei=0)
        assert not wallet.covers(tx, ours, asset="eth", units=5 * ETHER - ours.gas_reserve_wei + 1, fees_wei=0)
        assert not wallet.covers(tx, ours, asset="eth", units=5 * ETHER - ours.gas_reserve_wei, fees_wei=1)


def test_gas_above_the_cap_of_a_transfer_waits_for_a_cheaper_block(harbour, chain):
    asked = harbour.ask(units=DOLLAR)
    chain.base_fee(10_000 * GWEI)
    waits(harbour, asked, "gas costs more than one transfer may burn")
    chain.base_fee(GWEI)
    assert sign(harbour, asked) == "done"


def test_a_days_worth_of_transfers_is_enough(database_url, chain):
    with a_harbour(database_url, chain, DAILY_TRANSFER_LIMIT="2") as harbour:
        asked = [harbour.ask(units=DOLLAR) for _ in range(3)]
        assert [sign(harbour, transfer_id) for transfer_id in asked] == ["done", "done", "later"]
        harbour.pass_time(24 * 3600 + 1)
        assert sign(harbour, asked[2]) == "done"


def test_a_contract_that_refuses_cancels_the_transfer_before_it_has_a_nonce(harbour, chain):
    recipient = an_address()
    # PUSH 0, PUSH 0, REVERT.
    chain.node.call("anvil_setCode", recipient, "0x60006000fd")
    asked = harbour.ask(units=ETHER, asset="eth", recipient=recipient)
    assert sign(harbour, asked) == "done"
    row = harbour.transfer(asked)
    assert (row.state, row.nonce, row.reason) == ("cancelled", None, "the chain refuses: reverted")
    assert harbour.value("SELECT next_nonce FROM wallet") == 0
    harbour.work()
    assert harbour.account_of(ledger.in_flight("eth")) == 0


def test_our_own_address_is_paid_nothing(harbour):
    asked = harbour.ask(units=DOLLAR, recipient=harbour.address.lower())
    assert sign(harbour, asked) == "done"
    assert harbour.transfer(asked).reason == "goes to the wallet itself"


def test_a_nonce_that_we_did_not_give_freezes_the_wallet(harbour, chain):
    asked = harbour.ask(units=DOLLAR)
    chain.node.call("anvil_setNonce", harbour.address, "0x1")
    waits(harbour, asked, "the wallet is frozen")
    assert ("wallet", harbour.address, "wallet_frozen") in harbour.letters()
    assert harbour.value("SELECT frozen_reason FROM wallet") == "the chain has nonces that we did not give"


def test_a_nonce_that_somebody_takes_after_the_wallet_was_looked_at_is_noticed_at_the_next_signature(harbour, chain):
    assert sign(harbour, harbour.ask(units=DOLLAR)) == "done"
    chain.node.call("anvil_setNonce", harbour.address, "0x2")
    asked = harbour.ask(units=DOLLAR)
    assert sign(harbour, asked) == "later"
    assert (harbour.transfer(asked).state, harbour.count("transfer_attempt")) == ("requested", 1)
    assert harbour.value("SELECT frozen_reason FROM wallet") == "the chain has nonces that we did not give"


@pytest.mark.parametrize("setting", ["HOST_WALLET_PRIVATE_KEY", "HOST_WALLET_ETH_ADDRESS", "HOST_WALLET_USDT_ADDRESS"])
def test_a_key_or_an_address_of_another_wallet_signs_nothing(harbour, setting):
    other = {"HOST_WALLET_PRIVATE_KEY": "0x" + "77" * 32}.get(setting, an_address())
    asked = harbour.ask(units=DOLLAR)
    harbour._environment[setting] = other
    harbour.services["pgp-hostpay3-v1"] = harbour.start("pgp-hostpay3-v1")
    assert sign(harbour, asked) == "dead"
    assert harbour.count("transfer_attempt") == 0
    assert harbour.letters()[0][2] == "misconfigured"
    assert "77" * 8 not in str(harbour.rows("SELECT detail FROM failed_transactions"))


def test_another_chain_behind_the_address_signs_nothing(harbour):
    asked = harbour.ask(units=DOLLAR)
    harbour._environment["ETHEREUM_CHAIN_ID"] = "1"
    harbour.services["pgp-hostpay3-v1"] = harbour.start("pgp-hostpay3-v1")
    assert sign(harbour, asked) == "dead"
    assert harbour.transfer(asked).state == "requested"


def test_nodes_that_see_different_chains_sign_nothing(harbour, chain):
    asked = harbour.ask(units=DOLLAR)
    with a_chain() as other:
        other.mine(50)
        harbour._environment["ETHEREUM_RPC_URL"] = f"{chain.url},{other.url}"
        harbour.services["pgp-hostpay3-v1"] = harbour.start("pgp-hostpay3-v1")
        if abs(other.node.head() - chain.node.head()) <= 3:
            other.mine(10)
        waits(harbour, asked, "the nodes do not see the same chain")


def test_the_database_itself_refuses_a_second_nonce_and_a_changed_recipient(harbour):
    asked = harbour.ask(units=DOLLAR)
    sign(harbour, asked)
    for change in ("nonce = 7", f"recipient = '{an_address()}'", "units = 1", "asset = 'eth'"):
        with pytest.raises(BrokenRule, match="terms"), harbour.db.transaction() as tx:
            tx.run(f"UPDATE transfer SET {change} WHERE id = :id", id=asked)
    with pytest.raises(BrokenRule, match="append-only"), harbour.db.transaction() as tx:
        tx.run("UPDATE transfer_attempt SET raw = 'x'")


# --- decisions that came too late


def a_job(harbour: Harbour, step: str, subject: int) -> Job[Any]:
    runtime = harbour.services["pgp-hostpay3-v1"]
    return Job(step, str(subject), "start", 1, 1, runtime.db, runtime.config, runtime.engine.clients)


def test_two_decisions_to_sign_make_one_signature(harbour):
    asked = harbour.ask(units=DOLLAR)
    first, second = (steps.sign_once(a_job(harbour, "transfer.sign", asked)) for _ in range(2))
    runtime = harbour.services["pgp-hostpay3-v1"]
    for commit in (first, second):
        runtime.db.rerun(commit)
    assert harbour.count("transfer_attempt") == 1
    assert harbour.value("SELECT next_nonce FROM wallet") == 1


def test_a_decision_about_a_transfer_that_has_moved_on_changes_nothing(harbour, chain):
    asked = harbour.ask(units=DOLLAR)
    sign(harbour, asked)
    late = watch.look(a_job(harbour, "transfer.watch", asked))
    harbour.until(lambda: harbour.transfer(asked).state == "mined")
    before = harbour.transfer(asked).missing, harbour.transfer(asked).mined_hash
    outcome = harbour.services["pgp-hostpay3-v1"].db.rerun(late)
    assert outcome == Later(1, "somebody else moved it")
    assert (harbour.transfer(asked).missing, harbour.transfer(asked).mined_hash) == before
    assert harbour.transfer(asked).state == "mined"


def test_a_deadline_that_passes_while_the_chain_is_asked_cancels(harbour):
    payout = harbour.reserved()
    swap_id = harbour.swap_for(payout)
    harbour.until(lambda: harbour.count("transfer") == 1, blocks=0, but=("transfer.sign",))
    asked = int(harbour.value("SELECT id FROM transfer"))
    commit = steps.sign_once(a_job(harbour, "transfer.sign", asked))
    harbour.pass_time(1000)
    harbour.services["pgp-hostpay3-v1"].db.rerun(commit)
    assert harbour.transfer(asked).state == "cancelled"
    assert harbour.swap(swap_id).state == "funding"
    harbour.until(lambda: harbour.swap(swap_id).state == "abandoned", blocks=0)


# --- somebody else used the nonce


def steal_nonce(harbour: Harbour, chain: TestChain, nonce: int) -> str:
    """Somebody with the wallet's key sends a transaction of his own."""
    fields = {
        "type": 2,
        "chainId": CHAIN_ID,
        "nonce": nonce,
        "gas": 21_000,
        "maxFeePerGas": 100 * GWEI,
        "maxPriorityFeePerGas": GWEI,
        "to": an_address(),
        "value": 1,
    }
    signed = harbour.account.sign_transaction(fields)
    tx_hash = str(chain.node.call("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex()))
    chain.mine(6)
    return tx_hash


def test_a_stolen_nonce_stops_the_transfer_and_freezes_the_wallet_and_never_takes_another_nonce(harbour, chain):
    asked = harbour.ask(units=DOLLAR)
    sign(harbour, asked)
    steal_nonce(harbour, chain, 0)
    for _ in range(39):
        harbour.work()
    assert harbour.transfer(asked).state == "signed"
    assert harbour.value("SELECT frozen_reason FROM wallet") is None
    harbour.work()
    assert harbour.transfer(asked).state == "stuck"
    assert harbour.value("SELECT frozen_reason FROM wallet") == "somebody else used the transfer's nonce"
    harbour.work()
    assert (harbour.transfer(asked).nonce, len(harbour.attempts(asked))) == (0, 1)
    assert ("wallet", harbour.address, "wallet_frozen") in harbour.letters()


def test_a_stuck_transfer_is_over_when_the_operators_own_transaction_is_final(harbour, chain):
    asked = harbour.ask(units=DOLLAR)
    sign(harbour, asked)
    fields = {
        "type": 2,
        "chainId": CHAIN_ID,
        "nonce": 0,
        "gas": 21_000,
        "maxFeePerGas": 200 * GWEI,
        "maxPriorityFeePerGas": GWEI,
        "to": harbour.address,
        "value": 0,
    }
    signed = harbour.account.sign_transaction(fields)
    with harbour.db.transaction() as tx:
        transfers.stick(tx, asked, reason="test")
        assert transfers.supersede(tx, asked, raw=bytes(signed.raw_transaction), tx_hash="0x" + bytes(signed.hash).hex(), reason="given up")
    harbour.until(lambda: harbour.count("work", "step = 'transfer.ended' AND state = 'done'") == 1)
    assert harbour.transfer(asked).state == "superseded"
    assert harbour.account_of(ledger.in_flight("usdterc20")) == 0
    assert harbour.account_of(ledger.wallet("eth")) == chain.node.balance(harbour.address)
    assert ("transfer.ended", str(asked), "transfer_superseded") in harbour.letters()

"""Many transfers and two executors on one wallet, and a person who stops everything in the middle."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from PGP_COMMON.engine import Engine, Job
from PGP_COMMON.errors import BrokenRule
from PGP_COMMON.money_machines import dead_letters, transfers, wallet
from PGP_HOSTPAY_v1.hostpay3_executor import steps
from tests.support.crowd import a_crowd, at_once
from tests.support.earnings import DOLLAR
from tests.support.hostpay import FINAL_BLOCKS, Harbour, TestChain, a_harbour

# Three times as many as a wallet has slots.
TRANSFERS, SLOTS = 200, 64


@pytest.fixture
def harbour(database_url: str, chain: TestChain) -> Iterator[Harbour]:
    with a_harbour(database_url, chain, DAILY_TRANSFER_LIMIT="1000") as made:
        with made.db.transaction() as tx:
            tx.run("UPDATE wallet SET max_in_flight = :slots", slots=SLOTS)
        yield made


def executors(harbour: Harbour) -> list[Engine]:
    return [harbour.start("pgp-hostpay3-v1").engine for _ in range(2)]


def run_open(harbour: Harbour, engine: Engine, seed: int) -> None:
    """Every transfer that is watched, and more that wait to be signed than there are slots, once, in an order of its own."""
    open_work = "SELECT step, subject FROM work WHERE step = :step AND state = 'open' ORDER BY random() LIMIT :most"
    found = harbour.rows(open_work, step="transfer.watch", most=TRANSFERS) + harbour.rows(open_work, step="transfer.sign", most=SLOTS)
    random.Random(seed).shuffle(found)
    for step, subject in found:
        engine.run(step, subject)


def hurry_all(harbour: Harbour) -> None:
    with harbour.db.reading() as tx:
        tx.run("UPDATE work SET not_before = pgp_now() WHERE state = 'open' AND (lease_until IS NULL OR lease_until <= pgp_now())")


@pytest.mark.timeout(900)
def test_two_executors_on_one_wallet_send_two_hundred_transfers_each_once_and_leave_no_gap(harbour: Harbour, chain: TestChain) -> None:
    asked = [harbour.ask(units=DOLLAR) for _ in range(TRANSFERS)]
    engines = executors(harbour)
    for turn in range(60):
        hurry_all(harbour)
        at_once(*(partial(run_open, harbour, engine, 2 * turn + number) for number, engine in enumerate(engines)), timeout_s=250)
        if harbour.count("transfer", "state = 'final'") == TRANSFERS:
            break
        chain.mine(FINAL_BLOCKS)
    assert sorted(int(nonce) for (nonce,) in harbour.rows("SELECT nonce FROM transfer")) == list(range(TRANSFERS))
    assert harbour.rows("SELECT state, count(*) FROM transfer GROUP BY state") == [("final", TRANSFERS)]
    # A slow machine may have raised a fee meanwhile: another attempt of the same nonce.
    assert harbour.value("SELECT next_nonce FROM wallet") == harbour.value("SELECT count(DISTINCT nonce) FROM transfer_attempt") == TRANSFERS
    assert chain.node.nonce(harbour.address) == TRANSFERS
    assert all(chain.received(harbour.transfer(one).recipient, token=True) == DOLLAR for one in asked)
    assert not [letter for letter in harbour.letters() if letter[0] != "transfer.watch"]
    harbour.check_books()


# --- a person stops it


def decided(harbour: Harbour, engine: Engine, asked: int) -> Job[object]:
    return Job("transfer.sign", str(asked), "start", 1, 1, engine.db, engine.config, engine.clients)


@pytest.mark.parametrize("how", ["pause", "freeze"])
def test_once_a_person_has_stopped_it_nothing_is_signed_any_more(harbour: Harbour, how: str) -> None:
    """Every signer has asked the chain and is about to sign. Whoever holds the wallet signs; whoever comes after the stop does not."""
    engines = executors(harbour)
    asked = [harbour.ask(units=DOLLAR) for _ in range(24)]
    commits = [steps.sign_once(decided(harbour, engines[number % 2], one)) for number, one in enumerate(asked)]
    signed_before: list[int] = []
    has_signed = threading.Semaphore(0)

    def stop() -> None:
        for _ in range(4):
            assert has_signed.acquire(timeout=60)
        with harbour.db.transaction() as tx:
            if how == "pause":
                dead_letters.switch_off(tx, "sign", reason="a drill", actor="a person")
            else:
                wallet.freeze(tx, harbour.wallet_id, reason="a drill")
        signed_before.append(harbour.count("transfer", "nonce IS NOT NULL"))

    def sign_all(number: int) -> None:
        for commit in commits[number::4]:
            engines[number % 2].db.rerun(commit)
            has_signed.release()

    at_once(*(partial(sign_all, number) for number in range(4)), stop)
    assert harbour.count("transfer", "nonce IS NOT NULL") == signed_before[0]
    assert 4 <= signed_before[0] < len(asked)
    assert harbour.value("SELECT next_nonce FROM wallet") == signed_before[0] == harbour.count("transfer_attempt")
    # What was signed is still watched and ends; what waits says why.
    harbour.until(lambda: harbour.count("transfer", "state = 'final'") == signed_before[0])
    waiting = {reason for (reason,) in harbour.rows("SELECT w.last_error FROM work w WHERE w.step = 'transfer.sign' AND w.state = 'open'")}
    assert waiting <= {None, "signing is switched off", "the wallet is frozen: a drill"}
    harbour.check_books()


def test_nobody_is_given_bytes_that_are_not_kept_yet(harbour: Harbour, chain: TestChain) -> None:
    """A signature whose commit fails has never left: its nonce is free, and no node has heard of it."""
    engine = harbour.services["pgp-hostpay3-v1"].engine
    asked = harbour.ask(units=DOLLAR)
    commit = steps.sign_once(decided(harbour, engine, asked))
    with pytest.raises(BrokenRule), engine.db.transaction() as tx:
        commit(tx)
        # The commit itself refuses this.
        tx.run("INSERT INTO ledger_tx (kind, reference) VALUES ('odd', '1')")
    assert chain.node.number("eth_getTransactionCount", harbour.address, "pending") == 0
    assert harbour.transfer(asked).state == transfers.Transfer.REQUESTED
    engine.db.rerun(steps.sign_once(decided(harbour, engine, asked)))
    assert chain.node.number("eth_getTransactionCount", harbour.address, "pending") == 0
    assert harbour.transfer(asked).nonce == 0


def test_a_stop_waits_for_the_signature_that_is_being_made(harbour: Harbour) -> None:
    """When `pgp pause sign` comes back, whoever was signing has committed."""
    engine = harbour.services["pgp-hostpay3-v1"].engine
    asked = harbour.ask(units=DOLLAR)
    commit = steps.sign_once(decided(harbour, engine, asked))

    def stop() -> None:
        with harbour.db.transaction() as tx:
            dead_letters.switch_off(tx, "sign", reason="a drill", actor="a person")

    with a_crowd() as crowd:
        with engine.db.transaction() as tx:
            commit(tx)
            stopper = crowd.start(stop)
            stopper.join(0.3)
            assert stopper.is_alive()
            assert harbour.count("machine_pause") == 0
        stopper.join()
    assert harbour.transfer(asked).state == transfers.Transfer.SIGNED
    assert harbour.count("machine_pause") == 1

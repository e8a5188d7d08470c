"""`pgp wallet`: the books begin with what the chain says, and a freeze has a reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from typer.testing import CliRunner

from PGP_COMMON.cli.wallet import app
from PGP_COMMON.database import BaseDatabaseManager
from PGP_COMMON.engine import bury
from PGP_COMMON.errors import BadAnswer, BadInput, Conflict, NotFound
from PGP_COMMON.money_machines import ledger, transfers, wallet
from tests.support.earnings import DOLLAR, ETHER
from tests.support.fake_exchange import an_address
from tests.support.hostpay import CHAIN_ID, FINAL_BLOCKS, Harbour, TestChain

Verb = Callable[..., str]


@pytest.fixture
def address(chain: TestChain) -> str:
    made = str(Account.create().address)
    chain.base_fee(10**9)
    chain.node.call("anvil_setBalance", made, hex(2 * ETHER))
    chain.mint(made, 30 * DOLLAR)
    chain.mine(FINAL_BLOCKS)
    return made


@pytest.fixture
def verb(database_url: str, chain: TestChain, address: str, tmp_path: Path) -> Verb:
    given = {
        "DATABASE_URL": database_url,
        "ETHEREUM_RPC_URL": chain.url,
        "ETHEREUM_CHAIN_ID": str(CHAIN_ID),
        "USDT_CONTRACT": chain.token,
        "HOST_WALLET_ETH_ADDRESS": address,
        "HOST_WALLET_USDT_ADDRESS": address,
        "PGP_STATE_DIR": str(tmp_path),
    }

    def call(*words: str, **more: str) -> str:
        result = CliRunner().invoke(app, list(words), env={**given, **more})
        if result.exception is not None:
            raise result.exception
        return str(result.output)

    return call


def value(db: BaseDatabaseManager, sql: Any) -> Any:
    with db.reading() as tx:
        return tx.value(sql)


def test_the_books_begin_with_what_the_chain_says_and_only_once(db, verb, address):
    assert "is open at block" in verb("init")
    assert verb("init") == f"wallet {address} is open\n"
    with db.reading() as tx:
        ours = wallet.find(tx, address.lower())
        assert ours is not None
        assert (ours.first_nonce, ours.next_nonce, ours.frozen_reason) == (0, 0, None)
        assert ledger.balance(tx, ledger.equity("eth")) == ledger.balance(tx, ledger.wallet("eth")) == 2 * ETHER
        assert ledger.balance(tx, ledger.equity("usdterc20")) == 30 * DOLLAR
    assert value(db, "SELECT count(*) FROM audit_log WHERE action = 'wallet.init'") == 1


def test_what_is_not_final_yet_opens_no_books(db, verb, chain, address):
    chain.mint(address, DOLLAR)
    with pytest.raises(Conflict, match="not final"):
        verb("init", "--patience-s", "0")
    assert value(db, "SELECT count(*) FROM wallet") == 0


def test_a_token_that_is_younger_than_the_final_block_is_waited_for_and_one_that_is_nowhere_is_not(db, verb, chain):
    young, nowhere = an_address(), an_address()
    chain.node.call("anvil_setCode", young, chain.node.code(chain.token))
    chain.mine()
    with pytest.raises(Conflict, match="not final"):
        verb("init", "--patience-s", "0", USDT_CONTRACT=young)
    with pytest.raises(BadAnswer):
        verb("init", "--patience-s", "0", USDT_CONTRACT=nowhere)
    chain.mine(FINAL_BLOCKS)
    assert "is open at block" in verb("init", "--patience-s", "0", USDT_CONTRACT=young)


def test_a_second_wallet_is_refused(db, verb):
    verb("init")
    other = str(Account.create().address)
    with pytest.raises(Conflict):
        verb("init", HOST_WALLET_ETH_ADDRESS=other, HOST_WALLET_USDT_ADDRESS=other)


def test_a_freeze_and_its_end_have_a_reason_in_the_audit_log(db, verb, address):
    verb("init")
    verb("freeze", "--reason", "a strange transaction")
    assert json.loads(verb("show", "--json"))["obstacle"] == "the wallet is frozen: a strange transaction"
    with pytest.raises(Conflict, match="frozen already"):
        verb("freeze", "--reason", "again")
    with db.transaction() as tx:
        bury(tx, source="wallet", subject=address, reason="wallet_frozen")
    verb("unfreeze", "--reason", "it was ours")
    assert value(db, "SELECT resolution FROM failed_transactions") == "handled: it was ours"
    with pytest.raises(Conflict, match="not frozen"):
        verb("unfreeze", "--reason", "again")
    with db.reading() as tx:
        entries = tx._execute("SELECT action, subject, reason FROM audit_log WHERE action LIKE 'wallet%' ORDER BY id", {}).rows
    assert [tuple(entry) for entry in entries][1:] == [
        ("wallet.freeze", address, "a strange transaction"),
        ("wallet.unfreeze", address, "it was ours"),
    ]


def test_a_wallet_whose_nonces_are_ahead_of_the_books_stays_frozen(db, verb, chain, address):
    verb("init")
    verb("freeze", "--reason", "restored")
    chain.node.call("anvil_setNonce", address, "0x5")
    with pytest.raises(Conflict, match="older database"):
        verb("unfreeze", "--reason", "hope")
    assert value(db, "SELECT frozen_reason FROM wallet") == "restored"


def test_without_a_wallet_the_verbs_say_what_to_do(verb):
    for words in (("show",), ("freeze", "--reason", "x"), ("unfreeze", "--reason", "x")):
        with pytest.raises(NotFound, match="pgp wallet init"):
            verb(*words)


def test_showing_a_wallet_says_what_it_may_spend(verb):
    verb("init")
    shown = json.loads(verb("show", "--json"))
    assert shown["gas_money_wei"] == 2 * ETHER
    assert shown["platform_usdt_units"] == 30 * DOLLAR
    assert (shown["in_flight"], shown["obstacle"]) == (0, None)
    assert "gas_money_wei" in verb("show")


# --- a stuck nonce


def fill(harbour: Harbour, *words: str) -> str:
    result = CliRunner().invoke(app, ["fill", *words], env=harbour._environment)
    if result.exception is not None:
        raise result.exception
    return str(result.output)


def a_stuck_transfer(harbour: Harbour) -> int:
    asked = harbour.ask(units=DOLLAR)
    harbour.run("transfer.sign", asked)
    with harbour.db.transaction() as tx:
        transfers.stick(tx, asked, reason="test")
    return asked


def test_a_stuck_transfer_is_given_up_for_a_transfer_of_nothing(harbour):
    asked = a_stuck_transfer(harbour)
    fill(harbour, str(asked), "--reason", "the chain lost it")
    harbour.until(lambda: harbour.count("work", "step = 'transfer.ended' AND state = 'done'") == 1)
    assert harbour.account_of(ledger.in_flight("usdterc20")) == 0
    assert harbour.account_of(ledger.wallet("eth")) == harbour.test_chain.node.balance(harbour.address)
    assert harbour.count("audit_log", "action = 'wallet.fill'") == 1


def test_a_nonce_that_somebody_used_is_named_and_not_taken_again(harbour, chain):
    asked = a_stuck_transfer(harbour)
    call = {"to": an_address(), "value": 1, "gas": 21_000, "maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**9}
    signed = harbour.account.sign_transaction({"type": 2, "chainId": CHAIN_ID, "nonce": 0, **call})
    tx_hash = str(chain.node.call("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex()))
    chain.mine(FINAL_BLOCKS)
    with pytest.raises(Conflict, match="--taken-by"):
        fill(harbour, str(asked), "--reason", "x")
    with pytest.raises(BadInput, match="no mined transaction"):
        fill(harbour, str(asked), "--reason", "x", "--taken-by", chain.send(an_address(), 1))
    fill(harbour, str(asked), "--reason", "an old script", "--taken-by", tx_hash)
    harbour.until(lambda: harbour.count("work", "step = 'transfer.ended' AND state = 'done'") == 1)
    assert harbour.account_of(ledger.in_flight("usdterc20")) == 0


def test_a_transfer_that_is_not_stuck_is_never_given_up(harbour):
    asked = harbour.ask(units=DOLLAR)
    harbour.run("transfer.sign", asked)
    with pytest.raises(Conflict, match="only a stuck one"):
        fill(harbour, str(asked), "--reason", "impatience")

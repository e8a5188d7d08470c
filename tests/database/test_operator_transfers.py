"""A person lets a stuck transfer go on, or takes back what he asked for himself; the chain has the last word."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from PGP_COMMON.clients.ethereum import Ethereum
from PGP_COMMON.clients.ethereum_answers import Sending
from PGP_COMMON.errors import BadInput, Conflict, NotFound
from PGP_COMMON.money_machines import ledger, transfers
from PGP_COMMON.money_machines.audit import Act
from PGP_COMMON.operators import transfers as moves
from tests.support.earnings import DOLLAR, ETHER
from tests.support.fake_exchange import an_address
from tests.support.hostpay import CHAIN_ID, FINAL_BLOCKS, Harbour, TestChain
from tests.support.verbs import Operator, at_once

IN_FLIGHT = ledger.in_flight("usdterc20")


@pytest.fixture
def harbour(harbour: Harbour) -> Iterator[Harbour]:
    harbour.known_breaches = ()
    yield harbour
    harbour.check_invariants()


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Everything that the nodes were given, in order."""
    kept: list[bytes] = []
    really = Ethereum.send_raw

    def send_raw(chain: Ethereum, raw: bytes) -> Sending:
        kept.append(bytes(raw))
        return really(chain, raw)

    monkeypatch.setattr(Ethereum, "send_raw", send_raw)
    return kept


def signed(harbour: Harbour, *, account: str = "equity", asset: str = "usdterc20", units: int = DOLLAR) -> int:
    """A withdrawal that is signed and that no node has seen; gives back its id."""
    with harbour.db.transaction() as tx:
        asked = transfers.request(tx, wallet_id=harbour.wallet_id, purpose="treasury", asset=asset, recipient=an_address(), units=units, reason=account)
    harbour.fire("transfer.sign", str(asked))
    assert harbour.run("transfer.sign", asked) == "done"
    return int(asked or 0)


def stuck(harbour: Harbour, **how: object) -> int:
    """A transfer of which everybody believes that its nonce is somebody else's."""
    asked = signed(harbour, **how)  # type: ignore[arg-type]
    with harbour.db.transaction() as tx:
        assert transfers.stick(tx, asked, reason="somebody else used the transfer's nonce")
    return asked


def send(harbour: Harbour, transfer_id: int) -> None:
    """Give the newest attempt's bytes to the chain, past our own watch."""
    harbour.test_chain.node.call("eth_sendRawTransaction", "0x" + harbour.attempts(transfer_id)[-1].raw.hex())


def foreign(harbour: Harbour) -> str:
    """Somebody else uses the wallet's key for its first nonce; gives back the transaction."""
    call = {"to": an_address(), "value": 1, "gas": 21_000, "maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**9}
    raw = harbour.account.sign_transaction({"type": 2, "chainId": CHAIN_ID, "nonce": 0, **call}).raw_transaction
    tx_hash = str(harbour.test_chain.node.call("eth_sendRawTransaction", "0x" + bytes(raw).hex()))
    harbour.test_chain.mine(FINAL_BLOCKS)
    return tx_hash


def final(harbour: Harbour, transfer_id: int) -> None:
    harbour.until(lambda: harbour.transfer(transfer_id).state == "final")
    harbour.work()


def test_a_withdrawal_that_was_stuck_is_taken_from_the_account_that_it_was_asked_from(harbour: Harbour, pgp: Operator) -> None:
    harbour.earn(harbour.owner(), DOLLAR, asset="usdterc20", fee=50 * DOLLAR)
    asked = stuck(harbour, account="income:fee")
    assert "goes on with the same bytes" in pgp("transfer", "resume", asked)
    final(harbour, asked)
    assert harbour.account_of(ledger.fee_income("usdterc20")) == 49 * DOLLAR
    assert harbour.account_of(ledger.equity("usdterc20")) == 5_000 * DOLLAR


def test_a_stuck_transfer_whose_nonce_is_free_is_sent_again_and_arrives_once(harbour: Harbour, pgp: Operator, chain: TestChain) -> None:
    asked = stuck(harbour)
    pgp("transfer", "resume", asked)
    final(harbour, asked)
    assert chain.received(harbour.transfer(asked).recipient, token=True) == DOLLAR
    assert len(harbour.attempts(asked)) == 1
    with pytest.raises(Conflict, match="only a stuck one"):
        pgp("transfer", "resume", asked)


def test_a_stuck_transfer_that_was_mined_after_all_ends_by_itself(harbour: Harbour, pgp: Operator) -> None:
    asked = stuck(harbour)
    send(harbour, asked)
    harbour.test_chain.mine(FINAL_BLOCKS)
    pgp("transfer", "resume", asked)
    final(harbour, asked)
    assert harbour.account_of(IN_FLIGHT) == 0


def test_a_nonce_that_somebody_else_has_used_is_not_tried_again(harbour: Harbour, pgp: Operator) -> None:
    asked = stuck(harbour)
    foreign(harbour)
    with pytest.raises(Conflict, match="--taken-by"):
        pgp("transfer", "resume", asked)
    assert harbour.transfer(asked).state == "stuck"


def test_a_transfer_that_was_given_up_too_early_is_taken_back_when_the_chain_has_it(harbour: Harbour, pgp: Operator, chain: TestChain) -> None:
    asked = stuck(harbour)
    pgp("wallet", "fill", asked)
    with pytest.raises(Conflict, match="none of its attempts"):
        pgp("transfer", "resume", asked)
    send(harbour, asked)
    chain.mine(FINAL_BLOCKS)
    harbour.work()
    assert [reason for _, _, reason in harbour.letters()] == ["one of its attempts was mined after all"]
    pgp("transfer", "resume", asked)
    assert harbour.letters() == []
    final(harbour, asked)
    assert harbour.count("ledger_tx", "kind = 'transfer.return'") == 0
    assert harbour.account_of(IN_FLIGHT) == 0
    assert chain.received(harbour.transfer(asked).recipient, token=True) == DOLLAR


def test_a_transfer_whose_watch_died_under_an_open_alarm_is_resumed_and_its_watch_is_retried(harbour: Harbour, pgp: Operator, chain: TestChain) -> None:
    asked = stuck(harbour)
    pgp("wallet", "fill", asked)
    send(harbour, asked)
    chain.mine(FINAL_BLOCKS)
    harbour.work()
    with harbour.db.reading() as tx:
        tx.run("UPDATE work SET attempts = 50, not_before = pgp_now(), lease_until = NULL WHERE step = 'transfer.watch'")
    assert harbour.run("transfer.watch", asked) == "dead"
    (letter,) = pgp.reads("dead", "list")
    assert (letter["reason"], letter["detail"]["alarm"]["reason"]) == ("died_too_often", "one of its attempts was mined after all")
    # That the transfer goes on is no answer to that nobody watches it.
    pgp("transfer", "resume", asked)
    assert [reason for _, _, reason in harbour.letters()] == ["died_too_often"]
    assert "runs again" in pgp("dead", "retry", letter["id"], "--note", "repaired", why=False)
    final(harbour, asked)
    assert harbour.letters() == []
    assert chain.received(harbour.transfer(asked).recipient, token=True) == DOLLAR


def test_a_transfer_that_is_over_in_the_books_is_not_taken_back(harbour: Harbour, pgp: Operator) -> None:
    asked = stuck(harbour)
    pgp("wallet", "fill", asked)
    harbour.until(lambda: harbour.count("ledger_tx", "kind = 'transfer.return'") == 1)
    with pytest.raises(Conflict, match="is over"):
        pgp.does(lambda tx, why: moves.resume(tx, asked, why, is_mined=True, is_free=True))
    harbour.known_breaches = ()


def test_a_resumed_transfer_sends_its_own_bytes_and_not_the_fill_that_it_had_been_given(harbour: Harbour, pgp: Operator, given: list[bytes]) -> None:
    asked = stuck(harbour)
    pgp("wallet", "fill", asked)
    with harbour.db.transaction() as tx:
        # It was in a block that a re-organisation takes away at once: no look finds its receipt.
        moves.resume(tx, asked, Act("a person", "a test"), is_mined=True, is_free=False)
    final(harbour, asked)
    assert set(given) == {bytes(harbour.attempts(asked)[0].raw)}
    assert harbour.test_chain.received(harbour.transfer(asked).recipient, token=True) == DOLLAR


def test_a_transfer_with_the_nonce_that_a_fill_gave_way_to_sends_its_own_bytes(harbour: Harbour, given: list[bytes]) -> None:
    asked = signed(harbour)
    with harbour.db.transaction() as tx:
        tx.run("INSERT INTO nonce_fill (wallet_id, nonce, tx_hash, raw, reason) SELECT wallet_id, nonce, tx_hash, '', 'adopted' FROM transfer_attempt")
    final(harbour, asked)
    assert set(given) == {bytes(harbour.attempts(asked)[0].raw)}


def test_nothing_is_sent_for_a_nonce_that_another_transaction_took_by_itself(harbour: Harbour, given: list[bytes]) -> None:
    asked = stuck(harbour)
    with harbour.db.transaction() as tx:
        assert transfers.supersede(tx, asked, raw=b"", tx_hash="0x" + "ab" * 32, reason="a test")
    harbour.work()
    assert given == []
    assert harbour.value("SELECT state FROM work WHERE step = 'transfer.watch'") == "open"


def test_what_is_not_signed_can_be_taken_back_and_its_asker_is_told(harbour: Harbour, pgp: Operator) -> None:
    asked = harbour.ask(units=DOLLAR)
    with pytest.raises(Conflict, match="only a stuck one"):
        pgp("transfer", "resume", asked)
    pgp("transfer", "cancel", asked)
    harbour.work()
    assert harbour.transfer(asked).state == "cancelled"
    assert harbour.letters() == [("transfer.ended", str(asked), "transfer_cancelled")]
    assert harbour.value("SELECT next_nonce FROM wallet") == 0
    with pytest.raises(Conflict, match="is cancelled"):
        pgp("transfer", "cancel", asked)


def test_what_is_signed_or_part_of_a_payout_is_not_taken_back(harbour: Harbour, pgp: Operator) -> None:
    with pytest.raises(Conflict, match="may always be mined"):
        pgp("transfer", "cancel", signed(harbour))
    payout = harbour.reserved(asset="usdterc20", address=an_address())
    harbour.direct(payout)
    harbour.run("payout.direct", harbour.value("SELECT max(id) FROM quote"))
    with pytest.raises(Conflict, match="not taken back by itself"):
        pgp("transfer", "cancel", harbour.value("SELECT max(id) FROM transfer"))


def test_of_a_signature_and_a_cancellation_at_once_only_one_happens(harbour: Harbour, pgp: Operator) -> None:
    asked = harbour.ask(units=DOLLAR)
    at_once(lambda: harbour.run("transfer.sign", asked), lambda: pgp.does(lambda tx, why: moves.cancel(tx, asked, why)))
    state = harbour.transfer(asked).state
    assert (state, harbour.value("SELECT next_nonce FROM wallet"), harbour.account_of(IN_FLIGHT)) in {("cancelled", 0, 0), ("signed", 1, DOLLAR)}


def test_the_lists_say_what_is_in_flight_and_why_it_waits(harbour: Harbour, pgp: Operator) -> None:
    assert "nothing is in flight" in pgp("transfer", "list", why=False)
    asked, eth = signed(harbour), harbour.ask(units=ETHER // 100, asset="eth")
    told = pgp("transfer", "list", why=False)
    assert "1 USDTERC20" in told
    assert "0.01 ETH" in told
    assert [(one["id"], one["state"], one["nonce"]) for one in pgp.reads("transfer", "list")] == [(asked, "signed", 0), (eth, "requested", None)]
    assert harbour.attempts(asked)[0].tx_hash in pgp("transfer", "show", asked, why=False)
    assert pgp.reads("transfer", "show", asked)["attempts"] == [harbour.attempts(asked)[0].tx_hash]
    for verb in ("show", "resume", "cancel"):
        with pytest.raises(NotFound):
            pgp("transfer", verb, 999, why=verb != "show")
    with pytest.raises(BadInput, match="say why"):
        pgp("transfer", "cancel", eth, "--reason", " ", why=False)

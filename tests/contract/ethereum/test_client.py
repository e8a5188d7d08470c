"""Ethereum's client against a real node with the test token on it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from deploy.simulators.chain.deploy import mint
from PGP_COMMON.clients.ethereum import Ethereum
from PGP_COMMON.clients.ethereum_answers import Outcome, Receipt
from PGP_COMMON.clients.ethereum_signing import Signed, TransactionFields, sign_transfer
from PGP_COMMON.errors import Misconfigured, Refused
from tests.contract.conftest import TOKEN_KEY, Chain

CHAIN_ID = 31337
GWEI = 10**9


@pytest.fixture
def ethereum(chain: Chain) -> Iterator[Ethereum]:
    ethereum = Ethereum([chain.url, chain.url], chain_id=CHAIN_ID, tokens={"usdterc20": chain.token})
    yield ethereum
    ethereum.close()


def signed(ethereum: Ethereum, account, asset: str, recipient: str, units: int, *, nonce: int = 0, gas: int = 60_000, tip: int = GWEI) -> Signed:
    call = ethereum.call_for(asset, recipient=recipient, units=units)
    fields = TransactionFields(CHAIN_ID, nonce, gas, 100 * GWEI, tip, call)
    return sign_transfer("0x" + bytes(account.key).hex(), fields)


def mined(ethereum: Ethereum, tx_hash: str) -> Receipt:
    last = time.monotonic() + 20
    while time.monotonic() < last:
        found = ethereum.receipts([tx_hash])
        assert found.complete
        if tx_hash in found.by_hash:
            return found.by_hash[tx_hash]
        time.sleep(0.05)
    raise AssertionError("it was not mined")


def test_a_transfer_of_ether_from_the_first_question_to_the_last_block(ethereum, chain):
    payer, receiver = chain.account(10**18), chain.account().address
    ethereum.check_chain()
    assert max(ethereum.heads()) - min(ethereum.heads()) <= 3
    fees = ethereum.fees()
    assert fees.base_fee_wei >= 0
    assert fees.tip_wei > 0
    assert ethereum.gas_for("eth", sender=payer.address, recipient=receiver, units=1) == 21_000
    one = signed(ethereum, payer, "eth", receiver, 12345, gas=21_000)
    assert ethereum.send_raw(one.raw).outcome in {Outcome.SENT, Outcome.ALREADY_KNOWN}
    receipt = mined(ethereum, one.hash)
    assert (receipt.succeeded, receipt.gas_used, receipt.sender, receipt.transfers) == (True, 21_000, payer.address, ())
    assert ethereum.has_block(number=receipt.block_number, block_hash=receipt.block_hash)
    assert not ethereum.has_block(number=receipt.block_number, block_hash="0x" + "ab" * 32)
    assert ethereum.balance("eth", receiver) == 12345
    assert ethereum.balance("eth", receiver, block=receipt.block_number - 1) == 0
    assert ethereum.nonce(payer.address) == ethereum.nonce(payer.address, block="pending") == 1
    transaction = ethereum.transaction(one.hash)
    assert transaction is not None
    assert (transaction.sender, transaction.recipient, transaction.value_wei) == (payer.address, receiver, 12345)
    for address in (payer.address, receiver):
        (row,) = ethereum.transactions_of(address, block=receipt.block_number)
        assert row.transaction == transaction
        assert row.receipt == receipt
    while ethereum.finalized() < receipt.block_number:
        time.sleep(0.05)
    assert ethereum.nonce(payer.address, block="finalized") == 1


def test_a_transfer_of_the_token_shows_in_its_receipt_and_in_the_receivers_logs(ethereum, chain):
    payer, receiver = chain.account(10**18), chain.account().address
    mint(chain.url, TOKEN_KEY, chain.token, payer.address, 5_000_000)
    gas = ethereum.gas_for("usdterc20", sender=payer.address, recipient=receiver, units=2_000_000)
    assert 30_000 < gas <= 100_000
    one = signed(ethereum, payer, "usdterc20", receiver, 2_000_000, gas=gas)
    ethereum.send_raw(one.raw)
    receipt = mined(ethereum, one.hash)
    (transfer,) = receipt.transfers
    assert (transfer.token, transfer.sender, transfer.recipient, transfer.units) == (chain.token, payer.address, receiver, 2_000_000)
    assert ethereum.transfers_to("usdterc20", receiver, from_block=0, to_block=receipt.block_number) == (transfer,)
    assert ethereum.transfers_to("usdterc20", receiver, from_block=0, to_block=receipt.block_number - 1) == ()
    assert ethereum.balance("usdterc20", receiver) == 2_000_000


def test_a_token_transfer_that_the_contract_refuses_is_never_signed(ethereum, chain):
    with pytest.raises(Refused) as refused:
        ethereum.gas_for("usdterc20", sender=chain.account(10**18).address, recipient=chain.account().address, units=1)
    assert refused.value.code == "reverted"


def test_the_node_names_the_outcome_of_every_kind_of_sending(ethereum, chain):
    payer, receiver = chain.account(10**18), chain.account().address
    first = signed(ethereum, payer, "eth", receiver, 1)
    ethereum.send_raw(first.raw)
    mined(ethereum, first.hash)
    other = signed(ethereum, payer, "eth", receiver, 2)
    assert ethereum.send_raw(other.raw).outcome is Outcome.NONCE_TOO_LOW
    assert ethereum.send_raw(signed(ethereum, chain.account(), "eth", receiver, 1).raw).outcome is Outcome.INSUFFICIENT_FUNDS
    assert ethereum.send_raw(signed(ethereum, payer, "eth", receiver, 1, nonce=1, gas=20_000).raw).outcome is Outcome.BUG
    assert ethereum.send_raw(b"\x02\xc0").outcome is Outcome.BUG
    # A gap keeps it in the pool: the same bytes are known then, and a cheaper twin is refused.
    waiting = signed(ethereum, payer, "eth", receiver, 1, nonce=5)
    assert ethereum.send_raw(waiting.raw).outcome is Outcome.SENT
    assert ethereum.send_raw(waiting.raw).outcome is Outcome.ALREADY_KNOWN
    assert ethereum.send_raw(signed(ethereum, payer, "eth", receiver, 3, nonce=5).raw).outcome is Outcome.REPLACEMENT_UNDERPRICED


def test_nothing_is_known_of_a_hash_that_was_never_sent(ethereum):
    unknown = "0x" + "11" * 32
    assert ethereum.transaction(unknown) is None
    assert ethereum.receipts([unknown]).by_hash == {}
    assert ethereum.receipts([]).complete


def test_a_node_on_another_chain_is_found_out(chain):
    ethereum = Ethereum([chain.url], chain_id=1, tokens={})
    with pytest.raises(Misconfigured, match="31337"):
        ethereum.check_chain()
    ethereum.close()

"""The lagging node over a real one: it sees no further than it says, holds transactions back, and fails at its control door's word."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deploy.simulators.chain.node import HASHES_ONLY, Node, NodeError
from PGP_COMMON.clients.ethereum import Ethereum
from PGP_COMMON.clients.ethereum_answers import Outcome
from PGP_COMMON.clients.ethereum_signing import Signed, TransactionFields, sign_transfer
from PGP_COMMON.errors import VendorDown
from tests.contract.conftest import Chain
from tests.support.simulators import Simulator, eventually, simulator

CHAIN_ID = 31337
LAG = 4


@pytest.fixture
def laggard(own_chain: Chain, tmp_path: Path) -> Iterator[Simulator]:
    own_chain.node.call("anvil_mine", hex(20))
    own_chain.node.call("evm_setIntervalMining", 0)
    with simulator("laggard", "--state-dir", tmp_path, "--rpc-url", own_chain.url, "--lag", LAG) as found:
        yield found


@pytest.fixture
def behind(laggard: Simulator) -> Node:
    return Node(laggard.url)


def signed(account, recipient: str, units: int, *, nonce: int = 0) -> Signed:
    call = Ethereum(["http://127.0.0.1:9"], chain_id=CHAIN_ID, tokens={}).call_for("eth", recipient=recipient, units=units)
    return sign_transfer("0x" + bytes(account.key).hex(), TransactionFields(CHAIN_ID, nonce, 21_000, 100 * 10**9, 10**9, call))


def sent(node: Node, transaction: Signed) -> str:
    return str(node.call("eth_sendRawTransaction", "0x" + transaction.raw.hex()))


def test_it_sees_so_many_blocks_less_and_its_final_block_lags_as_well(own_chain, behind):
    head = own_chain.node.head()
    final = int(own_chain.node.call("eth_getBlockByNumber", "finalized", HASHES_ONLY)["number"], 16)
    assert behind.head() == head - LAG
    assert int(behind.call("eth_getBlockByNumber", "latest", HASHES_ONLY)["number"], 16) == head - LAG
    assert int(behind.call("eth_getBlockByNumber", "finalized", HASHES_ONLY)["number"], 16) == final - LAG
    assert behind.block(head) is None
    assert behind.block(head - LAG) == own_chain.node.block(head - LAG)


def test_what_is_mined_is_in_its_pool_until_it_sees_the_block(own_chain, behind):
    payer, receiver = own_chain.account(10**18), own_chain.account().address
    tx_hash = sent(own_chain.node, signed(payer, receiver, 5))
    own_chain.node.call("anvil_mine")
    assert own_chain.node.receipt(tx_hash)
    assert behind.receipt(tx_hash) is None
    assert behind.call("eth_getTransactionByHash", tx_hash)["blockNumber"] is None
    assert (behind.balance(receiver), behind.nonce(payer.address)) == (0, 0)
    own_chain.node.call("anvil_mine", hex(LAG))
    assert behind.receipt(tx_hash) == own_chain.node.receipt(tx_hash)
    assert behind.call("eth_getTransactionByHash", tx_hash)["blockNumber"] is not None
    assert (behind.balance(receiver), behind.nonce(payer.address)) == (5, 1)


def test_a_block_that_it_does_not_see_has_no_state_there(own_chain, behind):
    with pytest.raises(NodeError, match="header not found"):
        behind.call("eth_getBalance", own_chain.account().address, hex(own_chain.node.head()))


def test_the_products_client_takes_the_most_careful_of_two_such_nodes(own_chain, laggard):
    ethereum = Ethereum([own_chain.url, laggard.url], chain_id=CHAIN_ID, tokens={})
    head = own_chain.node.head()
    assert ethereum.heads() == (head, head - LAG)
    assert ethereum.finalized() == int(own_chain.node.call("eth_getBlockByNumber", "finalized", HASHES_ONLY)["number"], 16) - LAG
    payer, receiver = own_chain.account(10**18), own_chain.account().address
    one = signed(payer, receiver, 7)
    # Both addresses lead to one pool, so that the second has it already.
    assert ethereum.send_raw(one.raw).outcome in {Outcome.SENT, Outcome.ALREADY_KNOWN}
    own_chain.node.call("anvil_mine")
    found = ethereum.receipts([one.hash])
    assert found.complete
    assert found.by_hash[one.hash].block_number == head + 1
    ethereum.close()


def test_what_is_sent_to_it_can_be_held_back_and_is_passed_on_once(own_chain, laggard, behind):
    payer, receiver = own_chain.account(10**18), own_chain.account().address
    one = signed(payer, receiver, 9)
    laggard.control("hold", seconds=3600)
    assert sent(behind, one) == sent(behind, one) == one.hash
    own_chain.node.call("anvil_mine")
    assert own_chain.node.receipt(one.hash) is None
    # Killed or not, it passes on what it took.
    laggard.control("reset")
    eventually(lambda: all(row["said"] for row in laggard.book("held")))
    own_chain.node.call("anvil_mine")
    assert own_chain.node.receipt(one.hash)
    assert len(laggard.book("held")) == 1


def test_its_knobs_are_turned_while_it_runs_and_only_within_reason(own_chain, laggard, behind):
    laggard.control("lag", blocks=0)
    assert behind.head() == own_chain.node.head()
    for bad in ({"blocks": -1}, {"blocks": 10**6}, {"blocks": True}, {"blocks": "2"}, {}):
        assert laggard.http.post("/_control/lag", json=bad).status_code == 400


def test_faults_are_armed_by_the_rpc_method_and_met_by_the_products_client(own_chain, laggard):
    ethereum = Ethereum([laggard.url], chain_id=CHAIN_ID, tokens={})
    account = own_chain.account(5).address
    laggard.fault("eth_getBalance", "status", value=500, times=3)
    with pytest.raises(VendorDown):
        ethereum.balance("eth", account)
    laggard.fault("eth_getTransactionReceipt", "lost_answer", times=1)
    assert ethereum.receipts(["0x" + "ab" * 32]).by_hash == {}
    assert {(row["operation"], row["times"]) for row in laggard.http.get("/_control/met").json()} == {("eth_getBalance", 3), ("eth_getTransactionReceipt", 1)}
    ethereum.close()


def test_it_answers_for_a_node_only_and_says_when_none_is_behind_it(laggard, tmp_path):
    ask = {"jsonrpc": "2.0", "id": 1, "method": "anvil_setBalance", "params": []}
    assert laggard.http.post("/", json=ask).json()["error"]["code"] == -32601
    assert laggard.http.post("/", content=b"{").status_code == 400
    with simulator("laggard", "--state-dir", tmp_path / "other", "--rpc-url", "http://127.0.0.1:9") as alone:
        started = time.monotonic()
        assert alone.http.post("/", json={**ask, "method": "eth_blockNumber"}).status_code == httpx.codes.BAD_GATEWAY
        assert time.monotonic() - started < 5

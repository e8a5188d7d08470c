"""What a node that lags makes of questions and answers."""

from __future__ import annotations

import pytest

from deploy.simulators.laggard import view
from deploy.simulators.laggard.view import View

SEEN = View.behind(head=100, finalized=92, lag=3)


def asked(method: str, *params: object) -> object:
    found = view.asked(SEEN, {"id": 1, "method": method, "params": list(params)})
    return None if found is None else found["params"]


def test_a_node_never_sees_less_than_the_first_block() -> None:
    assert View.behind(head=1, finalized=0, lag=5) == View(0, 0)


@pytest.mark.parametrize(
    ("method", "params", "passed"),
    [
        ("eth_getBalance", ["0xa", "latest"], ["0xa", "0x61"]),
        ("eth_getBalance", ["0xa"], ["0xa", "0x61"]),
        ("eth_getBalance", ["0xa", "finalized"], ["0xa", "0x59"]),
        ("eth_getBalance", ["0xa", "0x61"], ["0xa", "0x61"]),
        ("eth_getBalance", ["0xa", "0x62"], None),
        ("eth_getTransactionCount", ["0xa", "pending"], ["0xa", "pending"]),
        ("eth_getTransactionCount", ["0xa", "latest"], ["0xa", "0x61"]),
        ("eth_feeHistory", ["0xa", "latest", [50]], ["0xa", "0x61", [50]]),
        ("eth_getBlockByNumber", ["pending", False], ["0x61", False]),
        ("eth_getBlockByNumber", ["earliest", False], ["earliest", False]),
        ("eth_getBlockByNumber", ["0x64", False], None),
        ("eth_getLogs", [{"fromBlock": "0x1", "toBlock": "0x64"}], [{"fromBlock": "0x1", "toBlock": "0x61"}]),
        ("eth_getLogs", [{"blockHash": "0xab"}], [{"blockHash": "0xab"}]),
        ("eth_chainId", [], []),
    ],
)
def test_a_question_is_asked_about_a_block_that_this_node_has(method: str, params: list[object], passed: list[object] | None) -> None:
    assert asked(method, *params) == passed


def test_a_later_block_is_none_and_its_state_an_error() -> None:
    assert view.unanswerable({"id": 7, "method": "eth_getBlockByNumber"}) == {"jsonrpc": "2.0", "id": 7, "result": None}
    assert view.unanswerable({"id": 7, "method": "eth_getBalance"})["error"]["message"] == "header not found"


def test_what_is_in_a_later_block_waits_in_the_pool_here() -> None:
    later, known = {"blockNumber": "0x62", "blockHash": "0xab", "hash": "0x1"}, {"blockNumber": "0x61", "blockHash": "0xab", "hash": "0x1"}
    assert view.answered(SEEN, "eth_getTransactionReceipt", later) is None
    assert view.answered(SEEN, "eth_getTransactionReceipt", known) == known
    assert view.answered(SEEN, "eth_getTransactionByHash", later) == {"blockNumber": None, "blockHash": None, "transactionIndex": None, "hash": "0x1"}
    assert view.answered(SEEN, "eth_getLogs", [later, known]) == [known]
    assert view.answered(SEEN, "eth_blockNumber", "0x64") == "0x61"
    assert view.answered(SEEN, "eth_getBalance", "0x5") == "0x5"


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"method": "eth_chainId"}, "eth_chainId"),
        ([{"method": "eth_getBlockByNumber"}, {"method": "eth_getLogs"}], "eth_getLogs"),
        ([], None),
        ("text", None),
        ({"method": 7}, None),
    ],
)
def test_a_request_is_named_after_its_method_and_a_batch_after_its_last(body: object, name: str | None) -> None:
    assert view.method_of(body) == name

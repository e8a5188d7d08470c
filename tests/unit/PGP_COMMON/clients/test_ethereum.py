"""Ethereum over nodes that disagree, lag, refuse or do not answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest
from eth_hash.auto import keccak

from PGP_COMMON.clients.ethereum import MOST_GAS, Ethereum
from PGP_COMMON.clients.ethereum_answers import Nonces, Outcome, outcome_of, read_signed, read_transfer, read_transfer_call, transfer_call
from PGP_COMMON.errors import AnswerLost, BadAnswer, BadInput, Misconfigured, Refused, Throttled, TryAgain, VendorDown

USDT = "0xdAC17F958D2ee523a2206206994597C13D831ec7"
WALLET = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
OTHER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
HASH = "0x" + "ab" * 32

Handler = Callable[[str, list[Any]], Any]


class RpcError(Exception):
    """What a scripted node answers instead of a result."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message}


def node(results: Mapping[str, Any] | Handler, asked: list[str] | None = None) -> Callable[[httpx.Request], httpx.Response]:
    """A node that answers by method; an exception among the results is raised or answered as an error."""

    def one(call: dict[str, Any]) -> dict[str, Any]:
        if asked is not None:
            asked.append(call["method"])
        result = results(call["method"], call["params"]) if callable(results) else results[call["method"]]
        if isinstance(result, RpcError):
            return {"jsonrpc": "2.0", "id": call["id"], "error": result.error}
        if isinstance(result, Exception):
            raise result
        return {"jsonrpc": "2.0", "id": call["id"], "result": result}

    def handle(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        return httpx.Response(200, json=[one(call) for call in body] if isinstance(body, list) else one(body))

    return handle


def ethereum(*nodes: Callable[[httpx.Request], httpx.Response]) -> Ethereum:
    def route(request: httpx.Request) -> httpx.Response:
        return nodes[int(request.url.host[-1])](request)

    return Ethereum([f"http://node{i}" for i in range(len(nodes))], chain_id=1, tokens={"usdterc20": USDT}, transport=httpx.MockTransport(route))


DOWN = httpx.ConnectTimeout("down")
SILENT = httpx.ReadTimeout("silent")


# What a node makes of a transaction: every text of the four clients and of Anvil (contracts: 8.2).
@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("already known", Outcome.ALREADY_KNOWN),
        ("ALREADY KNOWN", Outcome.ALREADY_KNOWN),
        ("block already known", Outcome.ALREADY_KNOWN),
        ("AlreadyKnown", Outcome.ALREADY_KNOWN),
        ("OwnNonceAlreadyUsed", Outcome.ALREADY_KNOWN),
        ("Known transaction", Outcome.ALREADY_KNOWN),
        ("transaction already imported", Outcome.ALREADY_KNOWN),
        ("nonce too low: next nonce 7, tx nonce 5", Outcome.NONCE_TOO_LOW),
        ("nonce too low", Outcome.NONCE_TOO_LOW),
        ("OldNonce, Current nonce: 7", Outcome.NONCE_TOO_LOW),
        ("Nonce too low", Outcome.NONCE_TOO_LOW),
        ("nonce too high", Outcome.NONCE_GAP),
        ("NonceGap, Future nonce. Expected nonce: 5", Outcome.NONCE_GAP),
        ("replacement transaction underpriced", Outcome.REPLACEMENT_UNDERPRICED),
        ("Replacement transaction underpriced", Outcome.REPLACEMENT_UNDERPRICED),
        ("replacement transaction underpriced: new tx gas fee cap 1 <= 1 queued + 10%", Outcome.REPLACEMENT_UNDERPRICED),
        ("transaction underpriced", Outcome.UNDERPRICED),
        ("transaction underpriced: gas tip cap 0, minimum needed 1", Outcome.UNDERPRICED),
        ("transaction gas price below minimum: gas tip cap 1, minimum needed 2", Outcome.UNDERPRICED),
        ("max fee per gas less than block base fee: address 0x, maxFeePerGas: 1, baseFee: 2", Outcome.UNDERPRICED),
        ("FeeTooLow, MaxFeePerGas too low.", Outcome.UNDERPRICED),
        ("FeeTooLowToCompete", Outcome.UNDERPRICED),
        ("Gas price below configured minimum gas price", Outcome.UNDERPRICED),
        ("insufficient funds for gas * price + value: balance 1, tx cost 2, overshot 1", Outcome.INSUFFICIENT_FUNDS),
        ("InsufficientFunds, Account balance: 0, cumulative cost: 1", Outcome.INSUFFICIENT_FUNDS),
        ("Upfront cost exceeds account balance", Outcome.INSUFFICIENT_FUNDS),
        ("Insufficient funds for gas * price + value", Outcome.INSUFFICIENT_FUNDS),
        ("tx fee (1.50 ether) exceeds the configured cap (1.00 ether)", Outcome.FEE_CAP),
        ("Transaction fee cap exceeded", Outcome.FEE_CAP),
        ("intrinsic gas too low: gas 20000, minimum needed 21000", Outcome.BUG),
        ("exceeds block gas limit", Outcome.BUG),
        ("transaction gas limit too high (cap: 16777216, tx: 20000000)", Outcome.BUG),
        ("max priority fee per gas higher than max fee per gas: address 0x", Outcome.BUG),
        ("only replay-protected (EIP-155) transactions allowed over RPC", Outcome.BUG),
        ("invalid sender", Outcome.BUG),
        ("invalid chain id for signer: have 5 want 1", Outcome.BUG),
        ("Invalid chainid", Outcome.BUG),
        ("txpool is full", Outcome.UNKNOWN),
        ("account limit exceeded: pooled 16 txs", Outcome.UNKNOWN),
        ("address already reserved", Outcome.UNKNOWN),
        ("in-flight transaction limit reached for delegated accounts", Outcome.UNKNOWN),
        ("transaction indexing is in progress", Outcome.UNKNOWN),
        ("unknown transaction", Outcome.UNKNOWN),
        ("internal error", Outcome.UNKNOWN),
        ("", Outcome.UNKNOWN),
    ],
)
def test_every_text_of_a_node_has_its_meaning(text: str, outcome: Outcome):
    assert outcome_of(text) is outcome
    told = ethereum(node({"eth_sendRawTransaction": RpcError(-32000, text)})).send_raw(b"raw")
    assert (told.outcome, told.details) == (outcome, (text,))


def test_one_node_that_takes_it_outweighs_one_that_does_not():
    raw = b"raw"
    good = node({"eth_sendRawTransaction": "0x" + keccak(raw).hex()})
    for other in (SILENT, DOWN, RpcError(-32000, "nonce too low"), RpcError(-32000, "invalid sender"), RpcError(429, "too many")):
        bad = node({"eth_sendRawTransaction": other})
        assert ethereum(good, bad).send_raw(raw).outcome is Outcome.SENT
        assert ethereum(bad, good).send_raw(raw).outcome is Outcome.SENT


@pytest.mark.parametrize("trouble", [SILENT, DOWN, RpcError(429, "over limit"), RpcError(-32603, "internal")])
def test_a_lost_answer_to_a_sending_is_neither_success_nor_failure(trouble: Exception):
    assert ethereum(node({"eth_sendRawTransaction": trouble})).send_raw(b"raw").outcome is Outcome.UNKNOWN


def test_a_node_that_names_another_hash_is_not_believed():
    assert ethereum(node({"eth_sendRawTransaction": HASH})).send_raw(b"raw").outcome is Outcome.UNKNOWN


def receipt(**other: Any) -> dict[str, Any]:
    return {
        "transactionHash": HASH,
        "blockNumber": "0x10",
        "blockHash": "0x" + "cd" * 32,
        "status": "0x1",
        "gasUsed": "0x5208",
        "effectiveGasPrice": "0x3b9aca00",
        "from": WALLET.lower(),
        "logs": [],
        **other,
    }


def test_a_receipt_that_one_node_has_is_found_and_what_is_missing_is_known_only_if_all_answered():
    has, lacks, down = (node({"eth_getTransactionReceipt": value}) for value in (receipt(), None, DOWN))
    assert ethereum(lacks, has).receipts([HASH]).by_hash[HASH].block_number == 16
    assert ethereum(lacks, has).receipts([HASH]).complete
    assert not ethereum(down, has).receipts([HASH]).complete
    assert not ethereum(lacks, down).receipts([HASH]).complete
    with pytest.raises(VendorDown):
        ethereum(down, down).receipts([HASH])


def test_a_receipt_for_another_transaction_is_a_contradiction():
    with pytest.raises(BadAnswer):
        ethereum(node({"eth_getTransactionReceipt": receipt(transactionHash="0x" + "ef" * 32)})).receipts([HASH])


def test_a_failed_transaction_has_a_receipt_too():
    failed = ethereum(node({"eth_getTransactionReceipt": receipt(status="0x0")})).receipts([HASH]).by_hash[HASH]
    assert not failed.succeeded


def test_the_most_careful_node_decides_what_is_final():
    ahead = node({"eth_getBlockByNumber": {"number": "0x64"}})
    behind = node({"eth_getBlockByNumber": {"number": "0x60"}})
    assert ethereum(ahead, behind).finalized() == 0x60
    assert ethereum(node({"eth_getBlockByNumber": DOWN}), ahead).finalized() == 0x64


@pytest.mark.parametrize("refusal", [None, RpcError(-32602, "invalid tag"), RpcError(-32000, "finalized block not found")])
def test_a_node_without_the_finalized_tag_counts_32_blocks(refusal: Any):
    assert ethereum(node({"eth_getBlockByNumber": refusal, "eth_blockNumber": "0x64"})).finalized() == 0x64 - 32


def test_a_passing_error_of_a_node_does_not_make_a_younger_block_final():
    with pytest.raises(VendorDown):
        ethereum(node({"eth_getBlockByNumber": RpcError(-32000, "database is busy"), "eth_blockNumber": "0x64"})).finalized()


def test_a_block_is_on_the_chain_if_any_node_says_so_and_off_it_only_if_all_answered():
    here = node({"eth_getBlockByNumber": {"hash": HASH}})
    elsewhere = node({"eth_getBlockByNumber": {"hash": "0x" + "01" * 32}})
    nothing, down = node({"eth_getBlockByNumber": None}), node({"eth_getBlockByNumber": DOWN})
    assert ethereum(elsewhere, here).has_block(number=1, block_hash=HASH.upper().replace("X", "x"))
    assert ethereum(down, here).has_block(number=1, block_hash=HASH)
    assert not ethereum(elsewhere, nothing).has_block(number=1, block_hash=HASH)
    with pytest.raises(VendorDown):
        ethereum(elsewhere, down).has_block(number=1, block_hash=HASH)


def test_a_read_goes_on_to_the_second_node():
    assert ethereum(node({"eth_getBalance": DOWN}), node({"eth_getBalance": "0x2a"})).balance("eth", WALLET) == 42


def test_a_transaction_is_unknown_only_if_every_node_says_so():
    lacks, down = node({"eth_getTransactionByHash": None}), node({"eth_getTransactionByHash": DOWN})
    assert ethereum(lacks, lacks).transaction(HASH) is None
    with pytest.raises(VendorDown):
        ethereum(lacks, down).transaction(HASH)


def test_heads_need_every_node():
    assert ethereum(node({"eth_blockNumber": "0x10"}), node({"eth_blockNumber": "0x11"})).heads() == (16, 17)
    with pytest.raises(VendorDown):
        ethereum(node({"eth_blockNumber": "0x10"}), node({"eth_blockNumber": DOWN})).heads()


def test_every_node_must_be_on_our_chain():
    ethereum(node({"eth_chainId": "0x1"}), node({"eth_chainId": "0x1"})).check_chain()
    with pytest.raises(Misconfigured):
        ethereum(node({"eth_chainId": "0x1"}), node({"eth_chainId": "0x5"})).check_chain()


def test_the_usual_tip_is_the_middle_one_and_the_base_fee_is_the_next_blocks():
    history = {"baseFeePerGas": ["0x1", "0x2", "0x3"], "reward": [["0x77359400"], ["0x3b9aca00"], ["0x12a05f200"]]}
    fees = ethereum(node({"eth_feeHistory": history})).fees()
    assert (fees.base_fee_wei, fees.tip_wei) == (3, 2 * 10**9)


def test_an_empty_chain_still_pays_a_tip():
    assert ethereum(node({"eth_feeHistory": {"baseFeePerGas": ["0x0"], "reward": None}})).fees().tip_wei == 10_000_000


def test_ether_for_a_contract_is_estimated_with_a_fifth_on_top():
    nodes = node({"eth_getCode": "0xef0100", "eth_estimateGas": hex(50_000)})
    assert ethereum(nodes).gas_for("eth", sender=WALLET, recipient=OTHER, units=1) == 60_000


def test_a_transfer_that_burns_too_much_is_refused():
    with pytest.raises(Refused) as refused:
        ethereum(node({"eth_estimateGas": hex(MOST_GAS)})).gas_for("usdterc20", sender=WALLET, recipient=OTHER, units=1)
    assert refused.value.code == "too_much_gas"


def test_an_estimate_that_fails_for_lack_of_money_may_pass():
    with pytest.raises(VendorDown):
        ethereum(node({"eth_estimateGas": RpcError(-32000, "insufficient funds for transfer")})).gas_for("usdterc20", sender=WALLET, recipient=OTHER, units=1)


def test_no_contract_at_the_tokens_address_is_not_a_balance_of_nothing():
    with pytest.raises(BadAnswer):
        ethereum(node({"eth_call": "0x"})).balance("usdterc20", WALLET)


def log(block: int, **other: Any) -> dict[str, Any]:
    return {
        "address": USDT.lower(),
        "topics": [
            "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef",
            "0x" + OTHER[2:].lower().zfill(64),
            "0x" + WALLET[2:].lower().zfill(64),
        ],
        "data": "0x" + "0f4240".zfill(64),
        "blockNumber": hex(block),
        "blockHash": "0x" + "cd" * 32,
        "transactionHash": HASH,
        "logIndex": "0x0",
        "removed": False,
        **other,
    }


def test_a_range_that_is_too_long_for_the_node_is_asked_by_halves():
    def answer(method: str, params: list[Any]) -> Any:
        if method == "eth_getBlockByNumber":
            return {"number": params[0]}
        first, last = int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16)
        if last - first >= 10:
            return RpcError(-32600, "You can make eth_getLogs requests with up to a 10 block range")
        return [log(block) for block in range(first, last + 1) if block % 7 == 0]

    found = ethereum(node(answer)).transfers_to("usdterc20", WALLET, from_block=0, to_block=100)
    assert [transfer.block_number for transfer in found] == list(range(0, 101, 7))
    assert {transfer.units for transfer in found} == {1_000_000}


def test_a_node_that_lags_does_not_leave_arrivals_out():
    lagging = node({"eth_getBlockByNumber": None, "eth_getLogs": []})
    current = node({"eth_getBlockByNumber": {"number": "0x64"}, "eth_getLogs": [log(7)]})
    assert len(ethereum(lagging, current).transfers_to("usdterc20", WALLET, from_block=0, to_block=100)) == 1
    with pytest.raises(TryAgain) as behind:
        ethereum(lagging).transfers_to("usdterc20", WALLET, from_block=0, to_block=100)
    assert not isinstance(behind.value, VendorDown)


def test_only_transfers_count_and_none_that_was_taken_back():
    assert read_transfer(log(1)) is not None
    assert read_transfer(log(1, removed=True)) is None
    assert read_transfer(log(1, topics=[*log(1)["topics"], "0x" + "00" * 32])) is None
    assert read_transfer(log(1, topics=["0x" + "11" * 32, *log(1)["topics"][1:]])) is None


def test_a_transfers_call_says_what_was_meant_and_nothing_else_is_read_as_one():
    data = transfer_call(recipient=OTHER, units=123)
    assert data.hex() == "a9059cbb" + OTHER[2:].lower().zfill(64) + "7b".zfill(64)
    assert read_transfer_call(data) == (OTHER, 123)
    assert read_transfer_call(data + b"\0") is None
    assert read_transfer_call(b"\x23" + data[1:]) is None
    assert read_transfer_call(data[:4] + b"\x01" + data[5:]) is None


@pytest.mark.parametrize(("recipient", "units"), [(OTHER, 0), (OTHER, -1), (OTHER, 2**256), ("0x12", 1)])
def test_no_call_is_made_for_what_is_no_transfer(recipient: str, units: int):
    with pytest.raises(BadInput):
        transfer_call(recipient=recipient, units=units)


@pytest.mark.parametrize("junk", ["7", 7, "0x", "0xzz", None, "0x" + "f" * 65, ["0x1"]])
def test_what_is_no_number_is_a_bad_answer(junk: Any):
    with pytest.raises(BadAnswer):
        ethereum(node({"eth_getBalance": junk})).balance("eth", WALLET)


def answering(body: Any, status: int = 200) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _request: httpx.Response(status, json=body)


def test_errors_of_a_node_say_what_to_do_next():
    def error(code: int, message: str, status: int = 200) -> Ethereum:
        return ethereum(answering({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": message}}, status))

    with pytest.raises(Throttled):
        error(429, "Your app has exceeded its compute units per second capacity").balance("eth", WALLET)
    with pytest.raises(Throttled):
        error(-32005, "limit exceeded").balance("eth", WALLET)
    with pytest.raises(Refused):
        error(-32602, "invalid argument 0").balance("eth", WALLET)
    with pytest.raises(Refused):
        error(-32600, "up to a 10 block range", status=400).balance("eth", WALLET)
    with pytest.raises(VendorDown):
        error(-32000, "internal error").balance("eth", WALLET)
    with pytest.raises(VendorDown) as refused:
        ethereum(answering({"message": "Must be authenticated!"}, 401)).balance("eth", WALLET)
    assert refused.value.data["code"] == "key_refused"


@pytest.mark.parametrize(
    "words",
    [
        "BlockOutOfRangeError: block height is 21 but requested was 12",
        "header not found",
        "Unknown block",
        "missing trie node ab (path )",
        "historical state cd is not available",
    ],
)
@pytest.mark.parametrize("code", [-32602, -32000])
def test_a_block_that_a_node_does_not_have_is_asked_of_the_other_one_and_later(words: str, code: int):
    forgetful = node({"eth_getBalance": RpcError(code, words)})
    assert ethereum(forgetful, node({"eth_getBalance": "0x5"})).balance("eth", WALLET, block=12) == 5
    with pytest.raises(TryAgain) as behind:
        ethereum(forgetful).balance("eth", WALLET, block=12)
    # The node is well: nobody else has to leave it alone.
    assert not isinstance(behind.value, VendorDown)


@pytest.mark.parametrize("body", [[], "x", {}, {"id": 1}, None])
def test_an_answer_that_is_no_json_rpc_is_a_lost_one(body: Any):
    with pytest.raises(AnswerLost):
        ethereum(answering(body)).balance("eth", WALLET)


@pytest.mark.parametrize(
    "body", [[], [{"id": 0, "result": None}], [{"id": 0}, {"id": 5}], {"id": None}, [None, 7], [{"id": 0, "result": None}, {"id": [1], "result": None}]]
)
def test_a_batch_with_missing_answers_is_a_lost_one(body: Any):
    with pytest.raises(AnswerLost):
        ethereum(answering(body)).receipts([HASH, "0x" + "12" * 32])


def test_one_error_for_a_whole_batch_is_that_error():
    with pytest.raises(Throttled):
        ethereum(answering({"jsonrpc": "2.0", "id": None, "error": {"code": 429, "message": "over limit"}})).receipts([HASH])


def test_an_unknown_token_is_a_mistake_of_ours():
    with pytest.raises(Misconfigured):
        ethereum(node({})).balance("usdttrc20", WALLET)
    with pytest.raises(Misconfigured):
        Ethereum([], chain_id=1, tokens={})


# --- what the wallet has made


def counting(latest: int, pending: int | Exception, *, final: int = 1) -> Callable[[httpx.Request], httpx.Response]:
    """A node that has seen so many transactions of an address."""

    def answer(method: str, params: list[Any]) -> Any:
        if method == "eth_getBlockByNumber":
            return {"number": "0x64"}
        assert method == "eth_getTransactionCount"
        found = {"latest": latest, "pending": pending, "0x64": final}[params[1]]
        return found if isinstance(found, Exception) else hex(found)

    return node(answer)


def test_the_node_that_knows_of_most_says_how_many_transactions_there_are() -> None:
    assert ethereum(counting(3, 3), counting(2, 5)).nonces(WALLET) == Nonces(final=1, mined=3, known=5)
    assert ethereum(counting(3, 7), node(lambda _method, _params: DOWN)).nonces(WALLET) == Nonces(final=1, mined=3, known=7)


def test_a_node_that_keeps_no_pool_says_what_is_in_blocks() -> None:
    no_pool = RpcError(-32602, "invalid block tag")
    assert ethereum(counting(4, no_pool)).nonces(WALLET) == Nonces(final=1, mined=4, known=4)
    assert ethereum(node(lambda _method, _params: no_pool)).waiting(WALLET) == ()


def waiting_row(nonce: int, sender: str = WALLET) -> dict[str, Any]:
    return {"hash": f"0x{nonce:064x}", "blockNumber": None, "nonce": hex(nonce), "from": sender.lower(), "to": OTHER, "value": "0x5", "input": "0x"}


def test_what_waits_in_any_pool_is_shown_once_in_the_order_of_the_nonces() -> None:
    pools = ([waiting_row(4), waiting_row(3)], [waiting_row(3), waiting_row(9, OTHER), "0xonly a hash"], None)
    nodes = [node({"eth_getBlockByNumber": None if rows is None else {"transactions": rows}}) for rows in pools]
    assert [found.nonce for found in ethereum(*nodes).waiting(WALLET)] == [3, 4]


@pytest.mark.parametrize("change", [{"type": "0x0"}, {"accessList": [{"address": OTHER, "storageKeys": []}]}, {"to": None}])
def test_a_transaction_of_another_kind_than_ours_has_no_bytes_for_us(change: dict[str, Any]) -> None:
    ours = {
        "type": "0x2",
        "chainId": "0x1",
        "gas": "0x5208",
        "maxFeePerGas": "0x9",
        "maxPriorityFeePerGas": "0x1",
        "accessList": [],
        "yParity": "0x1",
        "r": "0x2",
        "s": "0x3",
    }
    assert read_signed({**waiting_row(3), **ours}) is not None
    assert read_signed({**waiting_row(3), **ours, **change}) is None
    # Older nodes have no yParity.
    older = {name: value for name, value in ours.items() if name != "yParity"} | {"v": "0x0"}
    found = read_signed({**waiting_row(3), **older})
    assert found is not None
    assert found.y_parity == 0

"""The test token behaves as USDT does, and what is committed is what its source compiles to."""

from __future__ import annotations

import hashlib
import json

import pytest

from deploy.simulators.chain import build
from deploy.simulators.chain.deploy import ChainError, deploy_token, fund, mint, token_address
from deploy.simulators.chain.node import TRANSFER_TOPIC, NodeError, transfer_data, word
from tests.contract.conftest import TOKEN_KEY


def test_the_committed_bytecode_is_from_the_committed_source():
    artifact = json.loads(build.ARTIFACT.read_text())
    assert artifact["source_sha256"] == hashlib.sha256(build.SOURCE.read_bytes()).hexdigest()
    assert artifact["settings"] == build.SETTINGS


@pytest.mark.node
def test_compiling_the_source_again_gives_the_committed_artifact():
    if not build.compiler_installed():
        pytest.skip("solc is not installed: run `npm ci`")
    assert build.compile_token() == json.loads(build.ARTIFACT.read_text())


def test_deploying_again_gives_the_same_token(chain):
    assert deploy_token(chain.url, TOKEN_KEY) == chain.token


def test_an_account_that_was_used_for_something_else_cannot_deploy(chain):
    used = chain.account(10**18)
    chain.node.call("anvil_setNonce", used.address, "0x1")
    with pytest.raises(ChainError, match="key of its own"):
        deploy_token(chain.url, "0x" + bytes(used.key).hex())


def test_the_tokens_address_follows_from_its_deployer():
    # The first contract of Anvil's first account, known from every tutorial.
    assert token_address("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266") == "0x5FbDB2315678afecb367f032d93F642f64180aa3"


def test_minting_brings_up_to_the_wanted_balance_and_no_further(chain):
    holder = chain.account().address
    assert mint(chain.url, TOKEN_KEY, chain.token, holder, 1_000_000) == 1_000_000
    assert mint(chain.url, TOKEN_KEY, chain.token, holder, 1_000_000) == 0
    assert mint(chain.url, TOKEN_KEY, chain.token, holder, 1_500_000) == 500_000
    assert chain.node.token_balance(chain.token, holder) == 1_500_000


def test_funding_sets_the_balance(chain):
    holder = chain.account().address
    fund(chain.url, holder, 12345)
    fund(chain.url, holder, 12345)
    assert chain.node.balance(holder) == 12345


def test_transfer_returns_nothing_and_logs_the_movement(chain):
    holder, receiver = chain.account(10**18), chain.account().address
    mint(chain.url, TOKEN_KEY, chain.token, holder.address, 5_000_000)
    call = {"from": holder.address, "to": chain.token, "data": transfer_data(receiver, 2_000_000)}
    assert chain.node.call("eth_call", call, "latest") == "0x"
    chain.node.call("anvil_impersonateAccount", holder.address)
    tx_hash = chain.node.call("eth_sendTransaction", call)
    receipt = None
    while receipt is None:
        receipt = chain.node.receipt(tx_hash)
    (log,) = receipt["logs"]
    assert log["topics"] == [TRANSFER_TOPIC, "0x" + word(holder.address), "0x" + word(receiver)]
    assert int(log["data"], 16) == 2_000_000
    assert chain.node.token_balance(chain.token, receiver) == 2_000_000


def test_nobody_can_send_more_than_he_has(chain):
    holder = chain.account(10**18).address
    call = {"from": holder, "to": chain.token, "data": transfer_data(holder, 1)}
    with pytest.raises(NodeError, match="revert"):
        chain.node.call("eth_call", call, "latest")


def test_only_the_deployer_mints(chain):
    stranger = chain.account(10**18).address
    call = {"from": stranger, "to": chain.token, "data": "0x40c10f19" + word(stranger) + word(1)}
    with pytest.raises(NodeError, match="revert"):
        chain.node.call("eth_call", call, "latest")

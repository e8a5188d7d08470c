"""Puts the test token on a local chain and gives accounts what they need; every function may be called again."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

from eth_account import Account
from eth_hash.auto import keccak
from eth_utils.address import to_checksum_address

from deploy.simulators.chain.build import ARTIFACT
from deploy.simulators.chain.node import Node, NodeError, word

# The token's account pays its own gas; a local chain gives it for nothing.
GAS_MONEY_WEI = 10**18
DEPLOY_GAS = 2_000_000
CALL_GAS = 150_000
TIP_WEI = 10**9
# A block comes every second; a node that mines nothing for so long is broken.
MINED_S = 30.0


class ChainError(RuntimeError):
    """The chain did not do what was asked."""


def token_address(deployer: str) -> str:
    """Tell where the first contract of an account stands: keccak(rlp([deployer, 0]))."""
    return to_checksum_address(keccak(b"\xd6\x94" + bytes.fromhex(deployer[2:]) + b"\x80")[12:])


def deploy_token(rpc_url: str, key: str) -> str:
    """Deploy the token with the account's first transaction and give its address; does nothing when it is there.

    Raises ChainError when the account has already used its first nonce for something else.
    """
    node, account = Node(rpc_url), Account.from_key(key)
    address = token_address(account.address)
    if node.code(address) != "0x":
        return address
    if node.nonce(account.address) != 0:
        raise ChainError("the token's account has sent other transactions: give the token a key of its own")
    _afford(node, account.address)
    _transact(node, account, {"nonce": 0, "gas": DEPLOY_GAS, "data": json.loads(ARTIFACT.read_text())["bytecode"]})
    if node.code(address) == "0x":
        raise ChainError("the token was not deployed")
    return address


def mint(rpc_url: str, key: str, token: str, to: str, units: int) -> int:
    """Bring an account up to `units` of the token (10^-6 USDT each) and give how many were made; `key` is the deployer's."""
    node, account = Node(rpc_url), Account.from_key(key)
    missing = units - node.token_balance(token, to)
    if missing <= 0:
        return 0
    _afford(node, account.address)
    data = "0x40c10f19" + word(to) + word(missing)
    _transact(node, account, {"nonce": node.nonce(account.address), "gas": CALL_GAS, "to": token, "data": data})
    return missing


def fund(rpc_url: str, address: str, wei: int) -> None:
    """Set an account's wei, as only a local chain can (anvil_setBalance)."""
    Node(rpc_url).call("anvil_setBalance", address, hex(wei))


def _afford(node: Node, address: str) -> None:
    if node.balance(address) < GAS_MONEY_WEI // 10:
        node.call("anvil_setBalance", address, hex(GAS_MONEY_WEI))


def _transact(node: Node, account: Any, fields: dict[str, Any]) -> None:
    fees = {"maxPriorityFeePerGas": TIP_WEI, "maxFeePerGas": 2 * node.base_fee() + TIP_WEI}
    signed = account.sign_transaction({"type": 2, "chainId": node.chain_id(), "value": 0, **fees, **fields})
    # "already known" is an earlier run of ours that was stopped before it saw the receipt.
    with contextlib.suppress(NodeError):
        node.call("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())
    receipt = _mined(node, "0x" + bytes(signed.hash).hex())
    if receipt["status"] != "0x1":
        raise ChainError(f"transaction {receipt['transactionHash']} failed")


def _mined(node: Node, tx_hash: str) -> dict[str, Any]:
    last = time.monotonic() + MINED_S
    while time.monotonic() < last:
        receipt = node.receipt(tx_hash)
        if receipt is not None:
            return receipt
        time.sleep(0.05)
    raise ChainError(f"transaction {tx_hash} was not mined within {MINED_S:g} s")

"""What the product asks of the outside, under the names that the simulators' control doors know; a test holds it complete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# What may happen to a request, and to what a vendor sends us by itself. A repetition of a read says nothing, so it is no fault.
READ: Final = ("status", "timeout", "lost_answer", "delay")
EFFECT: Final = (*READ, "duplicate")
WEBHOOK: Final = (*EFFECT, "reorder")
# Both addresses are nodes that misbehave: the fleet has no third one to turn to.
NODES: Final = ("frontnode", "laggard")


@dataclass(frozen=True)
class Operation:
    """One thing that a simulator does, and what may go wrong with it."""

    simulator: str
    name: str
    modes: tuple[str, ...] = READ


def _read(simulator: str, *names: str) -> tuple[Operation, ...]:
    return tuple(Operation(simulator, name) for name in names)


def _effect(simulator: str, *names: str) -> tuple[Operation, ...]:
    return tuple(Operation(simulator, name, EFFECT) for name in names)


def _chain(*methods: str) -> tuple[Operation, ...]:
    return tuple(Operation(node, method) for node in NODES for method in methods)


# By (vendor, client method), as PGP_COMMON.http.EFFECTS has them.
OPERATIONS: Final[dict[tuple[str, str], tuple[Operation, ...]]] = {
    ("nowpayments", "create_invoice"): _effect("nowpayments", "POST /v1/invoice"),
    ("nowpayments", "payment"): _read("nowpayments", "GET /v1/payment/{id}"),
    ("nowpayments", "payments"): _read("nowpayments", "GET /v1/payment/"),
    ("nowpayments", "min_amount"): _read("nowpayments", "GET /v1/min-amount"),
    ("nowpayments", "login"): _read("nowpayments", "POST /v1/auth"),
    ("changenow", "estimate"): _read("changenow", "GET /v2/exchange/estimated-amount"),
    ("changenow", "range"): _read("changenow", "GET /v2/exchange/range"),
    ("changenow", "create_exchange"): _effect("changenow", "POST /v2/exchange"),
    ("changenow", "exchange"): _read("changenow", "GET /v2/exchange/by-id"),
    ("ethereum", "check_chain"): _chain("eth_chainId"),
    ("ethereum", "heads"): _chain("eth_blockNumber"),
    ("ethereum", "fees"): _chain("eth_feeHistory"),
    ("ethereum", "gas_for"): _chain("eth_getCode", "eth_estimateGas"),
    ("ethereum", "balance"): _chain("eth_getBalance", "eth_call"),
    ("ethereum", "nonce"): _chain("eth_getTransactionCount"),
    ("ethereum", "nonces"): _chain("eth_getTransactionCount"),
    ("ethereum", "send_raw"): tuple(Operation(node, "eth_sendRawTransaction", EFFECT) for node in NODES),
    ("ethereum", "receipts"): _chain("eth_getTransactionReceipt"),
    ("ethereum", "transaction"): _chain("eth_getTransactionByHash"),
    ("ethereum", "finalized"): _chain("eth_getBlockByNumber"),
    ("ethereum", "has_block"): _chain("eth_getBlockByNumber"),
    ("ethereum", "transfers_to"): _chain("eth_getLogs"),
    ("ethereum", "transactions_of"): _chain("eth_getBlockByNumber"),
    ("telegram", "send_message"): _effect("telegram", "sendMessage"),
    ("telegram", "create_join_link"): _effect("telegram", "createChatInviteLink"),
    ("telegram", "create_single_use_link"): _effect("telegram", "createChatInviteLink"),
    ("telegram", "revoke_link"): _effect("telegram", "revokeChatInviteLink"),
    ("telegram", "approve_join"): _effect("telegram", "approveChatJoinRequest"),
    ("telegram", "decline_join"): _effect("telegram", "declineChatJoinRequest"),
    ("telegram", "ban"): _effect("telegram", "banChatMember"),
    ("telegram", "unban"): _effect("telegram", "unbanChatMember"),
    ("telegram", "get_member"): _read("telegram", "getChatMember"),
    ("prices", "from_coingecko"): _read("prices", "GET /coingecko/api/v3/simple/price"),
    ("prices", "from_cryptocompare"): _read("prices", "GET /cryptocompare/data/price"),
    ("prices", "from_oneinch"): _read("prices", "GET /oneinch/price/v1.1/{chain}/{addresses}"),
    ("sendgrid", "send"): _effect("sendgrid", "POST /v3/mail/send"),
}
# Client methods that nothing calls while the storm lasts, and why.
NOT_ASKED: Final[dict[tuple[str, str], str]] = {
    ("nowpayments", "estimate"): "no step calls it",
    ("nowpayments", "currencies"): "no step calls it",
    ("nowpayments", "status"): "no step calls it",
    ("changenow", "validate_address"): "no step calls it",
    ("changenow", "currencies"): "no step calls it",
    ("ethereum", "signed"): "an operator's act, after a restore",
    ("ethereum", "waiting"): "an operator's act, after a restore",
    ("telegram", "edit_message"): "no step calls it",
    ("telegram", "answer_callback"): "only where updates are fetched; the webhook's own answer carries the call",
    ("telegram", "get_updates"): "only where updates are fetched",
    ("telegram", "get_chat"): "when an owner connects a channel, before the storm",
    ("telegram", "get_me"): "when an owner connects a channel, before the storm",
    ("telegram", "set_webhook"): "an operator's act, before the storm",
    ("telegram", "delete_webhook"): "an operator's act, before the storm",
}
# What vendors send to us.
HOOKS: Final = (Operation("nowpayments", "ipn", WEBHOOK), Operation("telegram", "webhook", WEBHOOK))


def everything() -> tuple[Operation, ...]:
    """Every operation once, in a fixed order: what a seed draws from."""
    return tuple(dict.fromkeys([operation for operations in OPERATIONS.values() for operation in operations] + list(HOOKS)))

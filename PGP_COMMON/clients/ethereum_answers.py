"""What an Ethereum node says, read into exact types: numbers, receipts, logs, and what it made of a transaction that was sent."""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from PGP_COMMON.addresses import EVM, checksummed
from PGP_COMMON.errors import BadAnswer, BadInput

VENDOR: Final = "ethereum"

QUANTITY: Final = re.compile(r"0x[0-9a-fA-F]{1,64}", re.ASCII)
HASH: Final = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
DATA: Final = re.compile(r"0x([0-9a-fA-F]{2})*", re.ASCII)

# keccak256("Transfer(address,address,uint256)"), the event of every ERC-20 token.
TRANSFER_TOPIC: Final = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
# The first four bytes of keccak256("transfer(address,uint256)") and keccak256("balanceOf(address)").
TRANSFER_SELECTOR: Final = bytes.fromhex("a9059cbb")
BALANCE_SELECTOR: Final = bytes.fromhex("70a08231")
WORD: Final = 32


class Outcome(enum.StrEnum):
    """What a node made of a signed transaction (money.md 8), the most telling first."""

    SENT = "sent"  # taken into the pool
    ALREADY_KNOWN = "already_known"  # in a pool already
    NONCE_TOO_LOW = "nonce_too_low"  # something with this nonce was mined: look at all hashes
    REPLACEMENT_UNDERPRICED = "replacement_underpriced"  # another one with this nonce is in that pool
    UNDERPRICED = "underpriced"  # too cheap: bump
    INSUFFICIENT_FUNDS = "insufficient_funds"  # wallet drained, or the node is stale
    NONCE_GAP = "nonce_gap"  # a predecessor is missing: send it again
    FEE_CAP = "fee_cap"  # the node's own limit on fees: wait, alert; a bump would make it worse
    BUG = "bug"  # it can never be mined: freeze, page
    UNKNOWN = "unknown"  # no answer, or one that says nothing: the same bytes later


# Node texts by what they mean, from geth, Erigon, Nethermind, Besu and Anvil (contracts: 8.2); parts of sentences, in any case,
# because figures follow them. The first line that fits decides: "replacement ..." contains "transaction underpriced".
NEVER_MINED: Final = (
    r"invalid sender|invalid chain ?id|invalid signature|intrinsic gas|exceeds block gas limit|gas limit too high"
    r"|priority fee per gas higher than max fee|only replay-protected|failed to decode|\brlp:"
)
OUTCOMES: Final[Mapping[Outcome, str]] = {
    Outcome.ALREADY_KNOWN: r"already ?known|\bknown transaction|already imported|OwnNonceAlreadyUsed",
    Outcome.NONCE_GAP: r"nonce too high|NonceGap|Future nonce",
    Outcome.NONCE_TOO_LOW: r"nonce too low|OldNonce|Current nonce",
    Outcome.REPLACEMENT_UNDERPRICED: r"replacement transaction underpriced",
    Outcome.FEE_CAP: r"exceeds the configured cap|fee cap exceeded",
    Outcome.UNDERPRICED: r"underpriced|less than block base fee|gas price below|FeeTooLow",
    Outcome.INSUFFICIENT_FUNDS: r"insufficient ?funds|upfront cost exceeds|Account balance:",
    Outcome.BUG: NEVER_MINED,
}


def outcome_of(message: str) -> Outcome:
    """What a node's refusal of a transaction means; a text that nobody knows is UNKNOWN."""
    return next((outcome for outcome, pattern in OUTCOMES.items() if re.search(pattern, message, re.IGNORECASE)), Outcome.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Sending:
    """The most telling outcome over all nodes, and each node's own words for whoever looks."""

    outcome: Outcome
    details: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """What a transaction says: to whom, how much ETH, and what the contract is told."""

    to: str
    value_wei: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Fees:
    """The next block's base fee and what half of the recent transactions paid as a tip, in wei per gas."""

    base_fee_wei: int
    tip_wei: int


@dataclass(frozen=True, slots=True)
class TokenTransfer:
    """One Transfer event of a token, in its base units."""

    tx_hash: str
    log_index: int
    block_number: int
    block_hash: str
    token: str
    sender: str
    recipient: str
    units: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """That a transaction is in a block, and how it went there."""

    tx_hash: str
    block_number: int
    block_hash: str
    succeeded: bool
    gas_used: int
    gas_price_wei: int
    sender: str
    transfers: tuple[TokenTransfer, ...]


@dataclass(frozen=True, slots=True)
class Receipts:
    """The receipts that any node has. A hash is known to be missing only if `complete`: every node answered."""

    by_hash: dict[str, Receipt]
    complete: bool


@dataclass(frozen=True, slots=True)
class ChainTransaction:
    """A transaction as the chain shows it; without a block it waits in a pool."""

    tx_hash: str
    block_number: int | None
    nonce: int
    sender: str
    recipient: str | None
    value_wei: int
    data: bytes


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """A transaction with everything that was signed and the signature, as a node shows it; fees are wei per gas."""

    tx_hash: str
    chain_id: int
    nonce: int
    gas: int
    max_fee_wei: int
    max_priority_wei: int
    call: Call
    y_parity: int
    r: int
    s: int


@dataclass(frozen=True, slots=True)
class Nonces:
    """How many transactions an address has made: in final blocks, in blocks, and together with what waits in a pool."""

    final: int
    mined: int
    known: int


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction in a block, and how it went."""

    transaction: ChainTransaction
    receipt: Receipt


def bad(what: str) -> BadAnswer:
    """The error for an answer that is not what Ethereum nodes say."""
    return BadAnswer(f"a node's {what} is malformed", vendor=VENDOR, field=what)


def quantity(value: object, what: str) -> int:
    """Read a hexadecimal number of at most 256 bits."""
    if not isinstance(value, str) or not QUANTITY.fullmatch(value):
        raise bad(what)
    return int(value, 16)


def hash_of(value: object, what: str) -> str:
    """Read a 32-byte hash, in lower case."""
    if not isinstance(value, str) or not HASH.fullmatch(value):
        raise bad(what)
    return value.lower()


def address_of(value: object, what: str) -> str:
    """Read an address, with its checksum in its case."""
    if not isinstance(value, str) or not EVM.fullmatch(value):
        raise bad(what)
    return checksummed(value)


def data_of(value: object, what: str) -> bytes:
    """Read bytes."""
    if not isinstance(value, str) or not DATA.fullmatch(value):
        raise bad(what)
    return bytes.fromhex(value[2:])


def mapping_of(value: object, what: str) -> dict[str, Any]:
    """Read an object."""
    if not isinstance(value, dict):
        raise bad(what)
    return value


def list_of(value: object, what: str) -> list[Any]:
    """Read a list."""
    if not isinstance(value, list):
        raise bad(what)
    return value


def read_transfer(entry: object) -> TokenTransfer | None:
    """Read a log entry as a token's Transfer; None if it is another event, or one that a re-organisation took back."""
    log = mapping_of(entry, "log")
    topics = list_of(log.get("topics"), "log.topics")
    data = data_of(log.get("data"), "log.data")
    # An NFT's Transfer has the same first topic, but its third value is a topic too and not data.
    if len(topics) != 3 or topics[0] != TRANSFER_TOPIC or len(data) != WORD or log.get("removed") is True:  # noqa: PLR2004 - see above
        return None
    return TokenTransfer(
        tx_hash=hash_of(log.get("transactionHash"), "log.transactionHash"),
        log_index=quantity(log.get("logIndex"), "log.logIndex"),
        block_number=quantity(log.get("blockNumber"), "log.blockNumber"),
        block_hash=hash_of(log.get("blockHash"), "log.blockHash"),
        token=address_of(log.get("address"), "log.address"),
        sender=_address_in_word(topics[1]),
        recipient=_address_in_word(topics[2]),
        units=int.from_bytes(data),
    )


def _address_in_word(word: object) -> str:
    return checksummed("0x" + hash_of(word, "log.topic")[-40:])


def word_of(address: str) -> str:
    """Write an address as a 32-byte topic."""
    return "0x" + address[2:].lower().zfill(2 * WORD)


def read_receipt(value: object) -> Receipt:
    """Read a receipt."""
    receipt = mapping_of(value, "receipt")
    logs = list_of(receipt.get("logs"), "receipt.logs")
    return Receipt(
        tx_hash=hash_of(receipt.get("transactionHash"), "receipt.transactionHash"),
        block_number=quantity(receipt.get("blockNumber"), "receipt.blockNumber"),
        block_hash=hash_of(receipt.get("blockHash"), "receipt.blockHash"),
        succeeded=quantity(receipt.get("status"), "receipt.status") == 1,
        gas_used=quantity(receipt.get("gasUsed"), "receipt.gasUsed"),
        gas_price_wei=quantity(receipt.get("effectiveGasPrice"), "receipt.effectiveGasPrice"),
        sender=address_of(receipt.get("from"), "receipt.from"),
        transfers=tuple(transfer for entry in logs if (transfer := read_transfer(entry)) is not None),
    )


def read_transaction(value: object) -> ChainTransaction:
    """Read a transaction from a block, or from a pool."""
    tx = mapping_of(value, "transaction")
    block = tx.get("blockNumber")
    to = tx.get("to")
    return ChainTransaction(
        tx_hash=hash_of(tx.get("hash"), "transaction.hash"),
        block_number=None if block is None else quantity(block, "transaction.blockNumber"),
        nonce=quantity(tx.get("nonce"), "transaction.nonce"),
        sender=address_of(tx.get("from"), "transaction.from"),
        recipient=None if to is None else address_of(to, "transaction.to"),
        value_wei=quantity(tx.get("value"), "transaction.value"),
        data=data_of(tx.get("input"), "transaction.input"),
    )


def read_signed(value: object) -> SignedTransaction | None:
    """Read a transaction together with its signature; None if it is of another kind than ours (dynamic fee, no access list, to somebody)."""
    tx = mapping_of(value, "transaction")
    if tx.get("type") != "0x2" or tx.get("accessList") or tx.get("to") is None:
        return None
    plain = read_transaction(tx)
    return SignedTransaction(
        tx_hash=plain.tx_hash,
        chain_id=quantity(tx.get("chainId"), "transaction.chainId"),
        nonce=plain.nonce,
        gas=quantity(tx.get("gas"), "transaction.gas"),
        max_fee_wei=quantity(tx.get("maxFeePerGas"), "transaction.maxFeePerGas"),
        max_priority_wei=quantity(tx.get("maxPriorityFeePerGas"), "transaction.maxPriorityFeePerGas"),
        call=Call(to=str(plain.recipient), value_wei=plain.value_wei, data=plain.data),
        # Nodes that are older than the field write it as `v`, which is the same number for this kind.
        y_parity=quantity(tx.get("yParity", tx.get("v")), "transaction.yParity"),
        r=quantity(tx.get("r"), "transaction.r"),
        s=quantity(tx.get("s"), "transaction.s"),
    )


def call_hash(call: Call) -> bytes:
    """The identity of what a transfer does on chain: part of the key that all its attempts share."""
    return hashlib.sha256(f"{call.to.lower()}|{call.value_wei}|{call.data.hex()}".encode()).digest()


def transfer_call(*, recipient: str, units: int) -> bytes:
    """Write the call data of an ERC-20 transfer; raises BadInput for what is no address or no amount."""
    if not EVM.fullmatch(recipient) or not 0 < units < 2 ** (8 * WORD):
        raise BadInput("a transfer needs an address and units", vendor=VENDOR)
    return TRANSFER_SELECTOR + bytes.fromhex(word_of(recipient)[2:]) + units.to_bytes(WORD)


def balance_call(address: str) -> bytes:
    """Write the call data that asks an ERC-20 contract for a balance."""
    return BALANCE_SELECTOR + bytes.fromhex(word_of(address)[2:])


def read_transfer_call(data: bytes) -> tuple[str, int] | None:
    """Read the recipient and units out of an ERC-20 transfer's call data; None if it is anything else."""
    if len(data) != len(TRANSFER_SELECTOR) + 2 * WORD or data[:4] != TRANSFER_SELECTOR or any(data[4:16]):
        return None
    return checksummed("0x" + data[16:36].hex()), int.from_bytes(data[36:])

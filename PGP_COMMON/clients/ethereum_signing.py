"""Signs what leaves our wallet, and reads signed bytes back; only the service that holds the key imports this."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from eth_hash.auto import keccak
from eth_utils.exceptions import ValidationError
from hexbytes import HexBytes
from rlp.exceptions import RLPException  # type: ignore[import-untyped]

from PGP_COMMON.addresses import checksummed
from PGP_COMMON.clients.ethereum_answers import Call, SignedTransaction, read_transfer_call
from PGP_COMMON.errors import BadInput, BrokenRule, Misconfigured

# The library of elliptic curves behind eth_account raises the process's recursion limit to 100 000 when it is imported. With
# that, JSON nested deeply enough overflows the C stack and kills the process instead of raising RecursionError.
_limit = sys.getrecursionlimit()
from eth_account import Account  # noqa: E402 - between the two lines about the limit
from eth_account.typed_transactions.typed_transaction import TypedTransaction  # noqa: E402 - as above
from eth_keys.exceptions import BadSignature  # noqa: E402 - as above

sys.setrecursionlimit(_limit)

# EIP-1559: the kind of transaction whose fee is capped and can be raised.
DYNAMIC_FEE = 2
ADDRESS_BYTES = 20


@dataclass(frozen=True, slots=True)
class TransactionFields:
    """Everything that is signed; fees are wei per gas."""

    chain_id: int
    nonce: int
    gas: int
    max_fee_wei: int
    max_priority_fee_wei: int
    call: Call


@dataclass(frozen=True, slots=True)
class Signed:
    """Signed bytes, the hash by which the chain will know them, and whose signature it is."""

    raw: bytes
    hash: str
    sender: str


def address_of_key(key: str) -> str:
    """The address that a private key signs for; raises Misconfigured, without the key, if it is none."""
    try:
        return str(Account.from_key(key).address)
    except (ValueError, TypeError, ValidationError):
        raise Misconfigured("the wallet's key is no private key") from None


def sign_transfer(key: str, fields: TransactionFields) -> Signed:
    """Sign, then read the bytes back; raises BrokenRule if they say anything else than `fields`."""
    sender = address_of_key(key)
    if fields.max_priority_fee_wei > fields.max_fee_wei:
        raise BadInput("the tip is more than the whole fee")
    raw = bytes(Account.sign_transaction(_as_library(fields), key).raw_transaction)
    read_back, signer, tx_hash = decode_raw(raw)
    if read_back != _normal(fields) or signer != sender:
        raise BrokenRule("the signed bytes say something else")
    return Signed(raw, tx_hash, signer)


def decode_raw(raw: bytes) -> tuple[TransactionFields, str, str]:
    """Read signed bytes: their fields, their signer and their hash; raises BadInput if they are no dynamic-fee transaction."""
    try:
        if raw[:1] != bytes([DYNAMIC_FEE]):
            raise BadInput("not a dynamic-fee transaction")
        found = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
        signer = str(Account.recover_transaction(HexBytes(raw)))
    except (ValueError, TypeError, ValidationError, RLPException, BadSignature) as error:
        raise BadInput("not a signed transaction") from error
    if found["accessList"] or len(found["to"]) != ADDRESS_BYTES:
        raise BadInput("not a transfer")
    call = Call(to=checksummed("0x" + bytes(found["to"]).hex()), value_wei=int(found["value"]), data=bytes(found["data"]))
    fields = TransactionFields(
        chain_id=int(found["chainId"]),
        nonce=int(found["nonce"]),
        gas=int(found["gas"]),
        max_fee_wei=int(found["maxFeePerGas"]),
        max_priority_fee_wei=int(found["maxPriorityFeePerGas"]),
        call=call,
    )
    return fields, signer, "0x" + keccak(raw).hex()


def raw_of(seen: SignedTransaction) -> bytes:
    """The signed bytes of a transaction that a node shows, put together again; raises BadInput unless they hash to the name that the node gave."""
    fields = TransactionFields(seen.chain_id, seen.nonce, seen.gas, seen.max_fee_wei, seen.max_priority_wei, seen.call)
    try:
        raw = bytes(TypedTransaction.from_dict({**_as_library(fields), "v": seen.y_parity, "r": seen.r, "s": seen.s}).encode())
    except (ValueError, TypeError, ValidationError, RLPException) as error:
        raise BadInput("not a signed transaction") from error
    if "0x" + keccak(raw).hex() != seen.tx_hash:
        raise BadInput("the node's transaction does not hash to its name", tx=seen.tx_hash)
    return raw


def meaning(call: Call) -> tuple[str | None, str, int]:
    """What a transaction moves: the token's contract (None for ETH), the recipient and the units; raises BadInput if neither."""
    if not call.data:
        return None, call.to, call.value_wei
    transfer = read_transfer_call(call.data)
    if transfer is None or call.value_wei:
        raise BadInput("not a transfer")
    return checksummed(call.to), *transfer


def _normal(fields: TransactionFields) -> TransactionFields:
    call = Call(to=checksummed(fields.call.to), value_wei=fields.call.value_wei, data=fields.call.data)
    return TransactionFields(fields.chain_id, fields.nonce, fields.gas, fields.max_fee_wei, fields.max_priority_fee_wei, call)


def _as_library(fields: TransactionFields) -> dict[str, object]:
    return {
        "type": DYNAMIC_FEE,
        "chainId": fields.chain_id,
        "nonce": fields.nonce,
        "gas": fields.gas,
        "maxFeePerGas": fields.max_fee_wei,
        "maxPriorityFeePerGas": fields.max_priority_fee_wei,
        "to": checksummed(fields.call.to),
        "value": fields.call.value_wei,
        "data": fields.call.data,
        "accessList": [],
    }

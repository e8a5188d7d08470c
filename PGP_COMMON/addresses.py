"""These are the addresses: each network family's form and checksum, checked without asking anybody."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

import base58
import bech32
from eth_hash.auto import keccak

# The longest address of any family here has 90 characters (BIP 173).
LONGEST: Final = 90

# ChangeNOW's network names (contracts: 2.7). A network that is missing here cannot be paid out to: among them those where an
# address alone may not name the receiver (XRP, Stellar and TON ask for a tag or memo).
FAMILIES: Final[Mapping[str, str]] = {
    "eth": "evm",
    "bsc": "evm",
    "matic": "evm",
    "arbitrum": "evm",
    "op": "evm",
    "base": "evm",
    "cchain": "evm",
    "btc": "btc",
    "ltc": "ltc",
    "doge": "doge",
    "trx": "trx",
    "sol": "sol",
}

# Version bytes of base58check addresses: pay to key hash, pay to script hash. Litecoin's old script form (5) is left out:
# it cannot be told from Bitcoin's.
VERSIONS: Final[Mapping[str, frozenset[int]]] = {
    "btc": frozenset({0x00, 0x05}),
    "ltc": frozenset({0x30, 0x32}),
    "doge": frozenset({0x1E, 0x16}),
    "trx": frozenset({0x41}),
}
SEGWIT_PREFIX: Final[Mapping[str, str]] = {"btc": "bc", "ltc": "ltc"}
HASH_BYTES: Final = 20
# Bytes of a witness program by its version: key hash or script hash, and taproot. Coins sent to later versions can be taken by anybody.
WITNESS_BYTES: Final[Mapping[int, frozenset[int]]] = {0: frozenset({20, 32}), 1: frozenset({32})}
# What the checksum must come to: bech32 for version 0, bech32m from version 1 on (BIP 350).
BECH32, BECH32M = 1, 0x2BC830A3
SOL_BYTES: Final = 32
# RFC 8032, section 5.1: the field and the constant of Ed25519.
ED25519_P: Final = 2**255 - 19
ED25519_D: Final = -121665 * pow(121666, -1, ED25519_P) % ED25519_P

EVM: Final = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
# Precompiled contracts and the zero address lie below; nobody holds their keys.
EVM_RESERVED: Final = 2**16
# Where people burn coins, and what stands for the native coin in exchanges' own lists.
EVM_NOBODY: Final = frozenset({int("dead".zfill(40), 16), int("e" * 40, 16)})
NOBODY: Final = "nobody holds the key of this address"


def problem(family: str, address: str) -> str | None:
    """Say what is wrong with an address, in words for the person who typed it; None when nothing is. Never raises."""
    check = CHECKS.get(family)
    if check is None:
        return "payouts to this network are not possible yet"
    if not address.isascii() or not address.isalnum():
        return "an address has only letters and digits, without spaces"
    if len(address) > LONGEST:
        return "too long for an address"
    return check(family, address)


def canonical(family: str, address: str) -> str:
    """Write a valid address the one way in which two of them can be compared: EIP-55, or lower-case bech32."""
    if family == "evm":
        return checksummed(address)
    prefix = SEGWIT_PREFIX.get(family)
    return address.lower() if prefix and address.lower().startswith(prefix + "1") else address


def same(family: str, one: str, other: str) -> bool:
    """Whether two texts are the same valid address of a family."""
    valid = problem(family, one) is None and problem(family, other) is None
    return valid and canonical(family, one) == canonical(family, other)


def checksummed(address: str) -> str:
    """Write 0x and 40 hexadecimal characters with the checksum of EIP-55 in their case."""
    digits = address[2:].lower()
    marks = keccak(digits.encode()).hex()
    return "0x" + "".join(digit.upper() if int(mark, 16) > 7 else digit for digit, mark in zip(digits, marks, strict=False))  # noqa: PLR2004 - the upper half of a nibble


def _evm(_family: str, address: str) -> str | None:
    if not EVM.fullmatch(address):
        return "an address here is 0x and 40 hexadecimal characters"
    number = int(address, 16)
    if number < EVM_RESERVED or number in EVM_NOBODY:
        return NOBODY
    digits = address[2:]
    if digits not in (digits.lower(), digits.upper()) and checksummed(address) != address:
        return "the checksum is wrong: a character was changed"
    return None


def _base58check(family: str, address: str) -> str | None:
    try:
        payload = base58.b58decode_check(address)
    except ValueError:
        return "the checksum is wrong: a character was changed, or it is an address of another network"
    if len(payload) != HASH_BYTES + 1 or payload[0] not in VERSIONS[family]:
        return "this is an address of another network"
    return None if any(payload[1:]) else NOBODY


def _segwit(prefix: str, address: str) -> str | None:
    if address not in (address.lower(), address.upper()):
        return "capital and small letters may not be mixed in this address"
    text = address.lower()
    data = [bech32.CHARSET.find(character) for character in text[len(prefix) + 1 :]]
    if -1 in data or len(data) < 8:  # noqa: PLR2004 - a version and six characters of checksum
        return "a character does not belong into this address"
    constant = BECH32 if data[0] == 0 else BECH32M
    if bech32.bech32_polymod(bech32.bech32_hrp_expand(prefix) + data) != constant:
        return "the checksum is wrong: a character was changed"
    program = bech32.convertbits(data[1:-6], 5, 8, pad=False)
    if program is None or len(program) not in WITNESS_BYTES.get(data[0], frozenset()):
        return "this form of address is not known"
    return None


def _bitcoin_like(family: str, address: str) -> str | None:
    prefix = SEGWIT_PREFIX[family]
    return _segwit(prefix, address) if address.lower().startswith(prefix + "1") else _base58check(family, address)


def _solana(_family: str, address: str) -> str | None:
    """Solana's addresses carry no checksum. A wallet's is a point of its curve, which half of all mistyped ones are not."""
    try:
        key = base58.b58decode(address)
    except ValueError:
        return "a character does not belong into this address"
    if len(key) != SOL_BYTES:
        return "this is not a Solana address"
    if not any(key):
        return NOBODY
    return None if _on_ed25519(key) else "a character was changed, or this is a program's address and no wallet's"


def _on_ed25519(key: bytes) -> bool:
    """Whether x² = (y² - 1) / (d y² + 1) has a solution for the y that is written here (RFC 8032, 5.1.3)."""
    y = int.from_bytes(key, "little") % 2**255
    x_squared = (y * y - 1) * pow(ED25519_D * y * y + 1, -1, ED25519_P) % ED25519_P
    return y < ED25519_P and pow(x_squared, (ED25519_P - 1) // 2, ED25519_P) <= 1


CHECKS: Final[Mapping[str, Callable[[str, str], str | None]]] = {
    "evm": _evm,
    "btc": _bitcoin_like,
    "ltc": _bitcoin_like,
    "doge": _base58check,
    "trx": _base58check,
    "sol": _solana,
}

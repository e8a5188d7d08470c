"""Which text is an address on which network, and pay-in addresses of the vendor's own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

import base58
import bech32
from eth_account import Account
from eth_hash.auto import keccak
from eth_utils.address import is_checksum_address, is_hex_address

from deploy.simulators.market import EVM_NETWORKS

BECH32, BECH32M = 1, 0x2BC830A3
TRON = b"\x41"


def is_address(network: str, text: str) -> bool:
    """Tell whether this is an address; raises KeyError for a network the vendor has no check for."""
    return CHECKS[network](text)


def payin_address(network: str, seed: str, exchange_id: str) -> str:
    """Make the pay-in address of one exchange: on the Ethereum family a real account whose key follows from the seed."""
    secret = keccak(f"{seed}/{network}/{exchange_id}".encode())
    if network in EVM_NETWORKS:
        return str(Account.from_key(secret).address)
    return PLAUSIBLE.get(network, _solana_like)(secret)


def _evm(text: str) -> bool:
    if not is_hex_address(text) or not text.startswith("0x"):
        return False
    plain = text[2:]
    return plain in {plain.lower(), plain.upper()} or is_checksum_address(text)


def _base58(text: str, versions: set[int], alphabet: bytes = base58.BITCOIN_ALPHABET) -> bool:
    try:
        payload = base58.b58decode_check(text, alphabet=alphabet)
    except ValueError:
        return False
    return len(payload) == 21 and payload[0] in versions


def _segwit(text: str, prefix: str) -> bool:
    if not text.lower().startswith(prefix + "1") or text not in {text.lower(), text.upper()}:
        return False
    letters = text.lower()[len(prefix) + 1 :]
    if not letters or any(letter not in bech32.CHARSET for letter in letters):
        return False
    data = [bech32.CHARSET.index(letter) for letter in letters]
    kind = bech32.bech32_polymod(bech32.bech32_hrp_expand(prefix) + data)
    return kind == (BECH32 if data[0] == 0 else BECH32M) and len(data) in {39, 59}


def _solana(text: str) -> bool:
    try:
        return len(base58.b58decode(text)) == 32
    except ValueError:
        return False


def _shape(pattern: str) -> Callable[[str], bool]:
    return lambda text: re.fullmatch(pattern, text) is not None


CHECKS: dict[str, Callable[[str], bool]] = {
    **dict.fromkeys(EVM_NETWORKS, _evm),
    "btc": lambda text: _base58(text, {0x00, 0x05}) or _segwit(text, "bc"),
    "ltc": lambda text: _base58(text, {0x30, 0x32, 0x05}) or _segwit(text, "ltc"),
    "doge": lambda text: _base58(text, {0x1E, 0x16}),
    "trx": lambda text: _base58(text, {0x41}),
    "xrp": lambda text: _base58(text, {0x00}, base58.RIPPLE_ALPHABET),
    "sol": _solana,
    "ton": _shape(r"[EUk0][Qf][A-Za-z0-9_-]{46}|-?[0-9]:[0-9a-fA-F]{64}"),
    "xmr": _shape(r"[48][1-9A-HJ-NP-Za-km-z]{94}(?:[1-9A-HJ-NP-Za-km-z]{11})?"),
}


def _hash160(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()[:20]


def _solana_like(secret: bytes) -> str:
    return base58.b58encode(secret).decode()


PLAUSIBLE: dict[str, Callable[[bytes], str]] = {
    "btc": lambda secret: str(bech32.encode("bc", 0, _hash160(secret))),
    "ltc": lambda secret: str(bech32.encode("ltc", 0, _hash160(secret))),
    "doge": lambda secret: base58.b58encode_check(b"\x1e" + _hash160(secret)).decode(),
    "trx": lambda secret: base58.b58encode_check(TRON + _hash160(secret)).decode(),
    "xrp": lambda secret: base58.b58encode_check(b"\x00" + _hash160(secret), alphabet=base58.RIPPLE_ALPHABET).decode(),
}

"""Every network family's addresses: known good ones pass, one changed character does not."""

from __future__ import annotations

import hashlib
import random
import string

import base58
import bech32
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from PGP_COMMON.addresses import CHECKS, FAMILIES, canonical, checksummed, problem, same

# From EIP-55, BIP 173, BIP 350 and the networks' own documents.
GOOD = {
    "evm": [
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0xde709f2102306220921060314715629080e2fb77",
    ],
    "btc": [
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
        "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
        "bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3",
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
    ],
    "ltc": ["LVuDpNCSSj6pQ7t9Pv6d6sUkLKoqDEVUnJ", "MQMcJhpWHYVeQArcZR3sBgyPZxxRtnH441", "ltc1qg42tkwuuxefutzxezdkdel39gfstuap288mfea"],
    "doge": ["DH5yaieqoZN36fDVciNyRueRGvGLR3mr7L"],
    "trx": ["TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", "TJRabPrwbZy45sbavfcjinPJC18kjpRTv8"],
    "sol": ["EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB"],
}
# From BIP 350's list of what must be refused, and made up.
BAD = {
    "evm": [
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD",
        "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0X5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0x" + "0" * 40,
        "0x" + "0" * 39 + "9",
        "0x000000000000000000000000000000000000dEaD",
        "0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe",
        "vitalik.eth",
    ],
    "btc": [
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd",
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh",
        "bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4",
        "BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R",
        "bc1pw5dgrnzv",
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav253zgeav",
        "BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P",
        "bc1qW508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
        "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",
        "LVuDpNCSSj6pQ7t9Pv6d6sUkLKoqDEVUnJ",
        "1111111111111111111114oLvT2",
        "bc1",
        "bc1q",
        "1",
    ],
    "ltc": ["3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"],
    "doge": ["1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "LVuDpNCSSj6pQ7t9Pv6d6sUkLKoqDEVUnJ"],
    "trx": ["1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"],
    "sol": ["11111111111111111111111111111111", "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTD", "0OIl" * 11, "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"],
}
CHECKED = [(family, address) for family, addresses in GOOD.items() for address in addresses]


@pytest.mark.parametrize(("family", "address"), CHECKED)
def test_a_known_address_is_fine(family: str, address: str):
    assert problem(family, address) is None
    assert same(family, address, address)


@pytest.mark.parametrize(("family", "address"), [(family, address) for family, addresses in BAD.items() for address in addresses])
def test_what_is_no_address_of_this_network_is_refused_in_words(family: str, address: str):
    assert problem(family, address)
    assert not same(family, address, address)


def has_checksum(family: str, address: str) -> bool:
    return family != "sol" and not (family == "evm" and address[2:] in (address[2:].lower(), address[2:].upper()))


@pytest.mark.parametrize(("family", "address"), [pair for pair in CHECKED if has_checksum(*pair)])
def test_one_changed_character_is_noticed(family: str, address: str):
    first = 2 if family == "evm" else 0
    letters = string.hexdigits if family == "evm" else string.ascii_letters + string.digits
    for place in range(first, len(address)):
        for letter in letters:
            changed = address[:place] + letter + address[place + 1 :]
            assert changed == address or problem(family, changed), changed


@pytest.mark.parametrize("family", CHECKS)
@pytest.mark.parametrize(
    "junk", ["", " ", "0x", "а" * 34, "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa ", "x" * 91, "a\0b", "'; DROP TABLE", "²" * 34, "1" * 90, "bc1" * 20]
)
def test_junk_is_refused_and_never_raises(family: str, junk: str):
    assert problem(family, junk)


@given(st.sampled_from(sorted(CHECKS)), st.text(max_size=100))
def test_whatever_is_typed_gets_an_answer(family: str, text: str):
    assert problem(family, text) is None or problem(family, text)


def test_an_unknown_family_cannot_be_paid_out_to():
    assert problem("xmr", "4" + "A" * 94)
    assert set(FAMILIES.values()) == set(CHECKS)
    assert not {"xrp", "xlm", "ton"} & set(FAMILIES)


def test_two_ways_of_writing_one_address_are_the_same():
    address = GOOD["evm"][0]
    assert same("evm", address.lower(), address)
    assert canonical("evm", address.lower()) == canonical("evm", "0x" + address[2:].upper()) == address
    assert same("btc", GOOD["btc"][2], GOOD["btc"][3])
    assert canonical("btc", GOOD["btc"][3]) == GOOD["btc"][2]
    assert not same("btc", GOOD["btc"][0], GOOD["btc"][1])
    assert not same("trx", GOOD["trx"][0], GOOD["trx"][0].lower())


@given(st.binary(min_size=20, max_size=20).filter(any))
def test_what_the_networks_make_of_any_key_is_fine(key: bytes):
    for family, version in (("btc", 0), ("btc", 5), ("ltc", 0x30), ("ltc", 0x32), ("doge", 0x1E), ("doge", 0x16), ("trx", 0x41)):
        assert problem(family, base58.b58encode_check(bytes([version]) + key).decode()) is None
    for family, prefix in (("btc", "bc"), ("ltc", "ltc")):
        assert problem(family, bech32.encode(prefix, 0, key)) is None
    if int.from_bytes(key) >= 2**16:
        assert problem("evm", checksummed("0x" + key.hex())) is None
    wallet = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(key).digest()).public_key().public_bytes_raw()
    assert problem("sol", base58.b58encode(wallet).decode()) is None


def test_about_half_of_all_mistyped_solana_addresses_are_noticed():
    dice = random.Random(7)
    noticed = sum(problem("sol", base58.b58encode(dice.randbytes(32)).decode()) is not None for _ in range(400))
    assert 160 < noticed < 240

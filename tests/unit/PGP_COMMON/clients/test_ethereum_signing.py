"""What is signed is what was meant, and nothing else verifies as it."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from PGP_COMMON.clients.ethereum_answers import Call, transfer_call
from PGP_COMMON.clients.ethereum_signing import TransactionFields, address_of_key, decode_raw, meaning, sign_transfer
from PGP_COMMON.errors import BadInput, Misconfigured

KEY = "0x" + "11" * 32
WALLET = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
OTHER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
USDT = "0xdAC17F958D2ee523a2206206994597C13D831ec7"
FIELDS = TransactionFields(chain_id=1, nonce=7, gas=21_000, max_fee_wei=30 * 10**9, max_priority_fee_wei=10**9, call=Call(OTHER, 12345, b""))


def test_the_address_of_a_key_is_known():
    assert address_of_key(KEY) == WALLET


@pytest.mark.parametrize("key", ["", "0x12", "11" * 33, "not a key at all", "0x" + "00" * 32, "0x" + "ff" * 32])
def test_what_is_no_key_is_refused_without_being_repeated(key: str):
    with pytest.raises(Misconfigured) as refused:
        address_of_key(key)
    assert len(key) < 5 or key not in repr(refused.value)
    assert refused.value.__suppress_context__


@given(
    nonce=st.integers(0, 2**63),
    units=st.integers(1, 10**30),
    tip=st.integers(1, 10**12),
    token=st.booleans(),
)
def test_signed_bytes_say_what_was_meant_and_by_whom(nonce: int, units: int, tip: int, token: bool):
    call = Call(USDT, 0, transfer_call(recipient=OTHER, units=units)) if token else Call(OTHER, units, b"")
    fields = replace(FIELDS, nonce=nonce, max_fee_wei=tip * 2, max_priority_fee_wei=tip, call=call)
    signed = sign_transfer(KEY, fields)
    assert signed.sender == WALLET
    assert decode_raw(signed.raw) == (fields, WALLET, signed.hash)
    assert meaning(fields.call) == ((USDT if token else None), OTHER, units)


def test_signing_the_same_fields_twice_gives_the_same_bytes():
    assert sign_transfer(KEY, FIELDS) == sign_transfer(KEY, FIELDS)


def test_a_lower_case_recipient_is_the_same_recipient():
    call = Call(OTHER.lower(), 12345, b"")
    assert sign_transfer(KEY, replace(FIELDS, call=call)) == sign_transfer(KEY, FIELDS)


def test_a_tip_above_the_whole_fee_is_never_signed():
    with pytest.raises(BadInput):
        sign_transfer(KEY, replace(FIELDS, max_priority_fee_wei=31 * 10**9))


def test_changed_bytes_never_pass_for_ours():
    raw = sign_transfer(KEY, FIELDS).raw
    dice = random.Random(7)
    for _ in range(300):
        changed = bytearray(raw)
        changed[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
        for candidate in (bytes(changed), raw[: dice.randrange(len(raw))], raw + b"\0", dice.randbytes(100)):
            try:
                fields, sender, _ = decode_raw(candidate)
            except BadInput:
                continue
            assert (fields, sender) != (FIELDS, WALLET)


def test_a_call_that_is_no_transfer_has_no_meaning():
    with pytest.raises(BadInput):
        meaning(Call(USDT, 0, b"\x01\x02"))
    with pytest.raises(BadInput):
        meaning(Call(USDT, 1, transfer_call(recipient=OTHER, units=1)))


def test_importing_it_leaves_the_recursion_limit_alone():
    program = "import sys; before = sys.getrecursionlimit(); import PGP_COMMON.clients.ethereum_signing; print(before == sys.getrecursionlimit())"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "True\n"


def test_reading_the_chain_loads_no_key_library():
    program = "import sys; import PGP_COMMON.clients.ethereum; print(sorted({'eth_account', 'eth_keys', 'web3', 'telegram'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"

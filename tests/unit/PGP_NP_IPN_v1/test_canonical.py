"""A notice verifies if NOWPayments signed it, however it was written down on the way; nothing else does."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from PGP_NP_IPN_v1.canonical import MAX_BYTES, verify

SECRET = "test-ipn-secret"
HERE = Path(__file__).parent

# A production notice (contracts: 1.7 A) with the header that belongs to it under a made-up secret.
CAPTURE = (
    b'{"actually_paid":0.00656612,"actually_paid_at_fiat":0,"fee":{"currency":"btc","depositFee":0.000002,"serviceFee":0.000003,'
    b'"withdrawalFee":0},"invoice_id":null,"order_description":null,"order_id":"deposit_a7936ab3-8970-4d3b-8f79-d17aa8928b03_1765249230",'
    b'"outcome_amount":0.00022187,"outcome_currency":"btc","parent_payment_id":null,"pay_address":'
    b'"0x05Db991D7930CE6Ac8c21064de9A14EB2a154746","pay_amount":0.00656612,"pay_currency":"eth","payin_extra_id":null,'
    b'"payment_extra_ids":null,"payment_id":5800567260,"payment_status":"finished","price_amount":20,"price_currency":"usd",'
    b'"purchase_id":"5172103429","updated_at":1765249461097}'
)
SIGNATURE = "1187d83f7cacdaa3581bd02e6b181ff0eb098449be5941821d9d009ceb8eef3567844ce088b20454fed85dd26005266d3495fb6b120bac8f666e132d500be362"
PYTHON_SAMPLE = "8076bd63b4f85525010f3d62df4d9c514793862c5bf601bd63ef9cf98d2ede2f66b39e25ceecef463021eb2bdeef7b2539eac611669aa0424cc3ca9e1132ee4d"


def sign(text: str | bytes, secret: str = SECRET) -> str:
    data = text.encode() if isinstance(text, str) else text
    return hmac.new(secret.encode(), data, hashlib.sha512).hexdigest()


def accepts(raw: str | bytes, signed: str) -> bool:
    return verify(raw.encode() if isinstance(raw, str) else raw, sign(signed), [SECRET])


def test_a_production_notice_verifies_as_it_came():
    assert len(CAPTURE) == 629
    assert verify(CAPTURE, SIGNATURE, [SECRET])
    assert verify(CAPTURE, SIGNATURE.upper(), [SECRET])


def test_what_the_vendors_python_sample_makes_of_it_does_not():
    python = json.dumps(json.loads(CAPTURE), separators=(",", ":"), sort_keys=True)
    assert sign(python) == PYTHON_SAMPLE
    assert not verify(CAPTURE, PYTHON_SAMPLE, [SECRET])


def test_a_notice_that_was_reordered_or_spaced_on_the_way_verifies():
    last = b',"updated_at":1765249461097}'
    reordered = CAPTURE.replace(last, b"}").replace(b"{", b'{"updated_at":1765249461097,', 1)
    spaced = CAPTURE.replace(b'":', b'" : ').replace(b',"', b',\n "') + b"\n"
    assert len({CAPTURE, reordered, spaced}) == 3
    assert verify(reordered, SIGNATURE, [SECRET])
    assert verify(spaced, SIGNATURE, [SECRET])


def test_either_secret_verifies_while_it_is_rotated():
    assert verify(CAPTURE, SIGNATURE, ["new", SECRET])
    assert verify(CAPTURE, SIGNATURE, [SECRET, "new"])
    assert not verify(CAPTURE, SIGNATURE, ["new", "newer"])


def test_the_newline_that_a_file_leaves_behind_a_secret_does_no_harm():
    assert verify(CAPTURE, SIGNATURE, [SECRET + "\n"])


@pytest.mark.parametrize("secrets", [[], [""], [" "], ["\n", ""]])
def test_an_empty_secret_verifies_nothing(secrets: list[str]):
    for secret in ("", " ", "\n"):
        assert not verify(CAPTURE, sign(CAPTURE, secret), secrets)


@pytest.mark.parametrize(
    "header",
    [None, "", "0" * 128, SIGNATURE[:-1], SIGNATURE + "0", SIGNATURE + "\n", " " + SIGNATURE, "g" * 128, "٠" * 128, "sha512=" + SIGNATURE, SIGNATURE[:64]],
)
def test_a_header_that_is_no_signature_verifies_nothing(header: str | None):
    assert not verify(CAPTURE, header, [SECRET])


def test_a_signature_of_another_algorithm_verifies_nothing():
    for algorithm in (hashlib.sha256, hashlib.sha1, hashlib.sha3_512):
        assert not verify(CAPTURE, hmac.new(SECRET.encode(), CAPTURE, algorithm).hexdigest(), [SECRET])
    assert not verify(CAPTURE, hashlib.sha512(SECRET.encode() + CAPTURE).hexdigest(), [SECRET])


@pytest.mark.parametrize(
    ("received", "signed"),
    [
        pytest.param('{"b":1,"a":2}', '{"a":2,"b":1}', id="keys are sorted"),
        pytest.param('{"z":{"b":1,"a":2}}', '{"z":{"a":2,"b":1}}', id="at every level"),
        pytest.param('{"b":1,"10":2,"9":3,"01":4}', '{"9":3,"10":2,"01":4,"b":1}', id="array indices first"),
        pytest.param('{"4294967294":1,"4294967295":2,"1":3}', '{"1":3,"4294967294":1,"4294967295":2}', id="up to the largest index"),
        pytest.param('{"\\ud83d\\ude00":1,"\\ufb01":2}', '{"😀":1,"ﬁ":2}', id="by UTF-16 code unit"),
        pytest.param('{"a":"\\ud800x"}', '{"a":"\\ud800x"}', id="lone surrogates are escaped"),
        pytest.param('{"a":"caf\\u00e9 \\/"}', '{"a":"café /"}', id="nothing else is"),
        pytest.param('{"a":0.0000001}', '{"a":0.0000001}', id="numbers as they were written"),
        pytest.param('{"a":[1,[2],{"c":3,"b":4}]}', '{"a":[1,[2],{"b":4,"c":3}]}', id="arrays as lists"),
        pytest.param('{"a":[1,[2],[]]}', '{"a":{"0":1,"1":{"0":2},"2":{}}}', id="or as the sample's objects"),
    ],
)
def test_what_javascript_makes_of_a_body_verifies_it(received: str, signed: str):
    assert accepts(received, signed)


@pytest.mark.parametrize("changed", ["15.0", "1.5e1", "015", "16", "-15", '"15"', "15.00"])
def test_a_body_that_is_changed_in_one_literal_does_not_verify(changed: str):
    assert accepts('{"b":{"a":15}}', '{"b":{"a":15}}')
    assert not accepts(f'{{"b":{{"a":{changed}}}}}', '{"b":{"a":15}}')


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param('{"a":1,"a":2}', id="a key that stands twice"),
        pytest.param('{"x":{"a":2,"a":2}}', id="twice further down"),
        pytest.param('{"a":2,"__proto__":{"b":1}}', id="what the sample drops"),
        pytest.param("[1]", id="no object"),
        pytest.param('"a"', id="a text"),
        pytest.param("NaN", id="no JSON"),
        pytest.param('{"a":Infinity}', id="no number"),
        pytest.param('{"a":1e99999999999999999999}', id="an exponent that nothing holds"),
        pytest.param("", id="nothing"),
        pytest.param('\ufeff{"a":2}', id="a byte order mark"),
        pytest.param('{"a":2}{"b":3}', id="two bodies"),
        pytest.param("[" * 30_000 + "]" * 30_000, id="a well of brackets"),
        pytest.param('{"a":' * 10_000 + "1" + "}" * 10_000, id="a well of objects"),
        pytest.param('{"a":"' + "x" * MAX_BYTES + '"}', id="more than a notice ever has"),
        pytest.param('{"a":' + "9" * 60_000 + "}", id="a number of 60 000 digits"),
    ],
)
def test_a_body_that_could_be_read_in_two_ways_or_not_at_all_verifies_as_nothing_else(raw: str):
    started = time.monotonic()
    for signed in ('{"a":2}', '{"a":1}', "{}", '{"x":{"a":2}}', "null", "[1]"):
        assert raw == signed or not accepts(raw, signed)
    assert time.monotonic() - started < 2


@given(st.binary(max_size=300), st.text(max_size=140), st.lists(st.text(max_size=10), max_size=3))
def test_nothing_that_is_sent_raises(raw: bytes, header: str, secrets: list[str]):
    assert verify(raw, header, secrets) is False
    assert verify(raw, "0" * 128, [SECRET, *secrets]) is False


def literals(body: bytes) -> list[tuple[int, int]]:
    """Where a body's numbers, texts and words begin and end."""
    return [match.span(1) for match in re.finditer(rb'[:\[,]\s*("(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null)', body)]


def test_a_body_with_one_changed_value_never_verifies():
    dice = random.Random(11)
    for start, end in literals(CAPTURE):
        literal = CAPTURE[start:end]
        if literal.startswith(b'"'):
            others = [b'"x' + literal[1:], literal[:-1] + b' "', literal.swapcase() if literal.lower() != literal.upper() else b'""', b"null"]
        elif literal == b"null":
            others = [b"0", b'""', b'"null"', b"false"]
        else:
            others = [
                literal + b"1",
                b"1" + literal,
                literal + b"0.5" if b"." not in literal else literal + b"01",
                b"-" + literal + b"1",
                b'"' + literal + b'"',
                b"null",
            ]
        for other in [*others, str(dice.random()).encode()]:
            if other != literal:
                assert not verify(CAPTURE[:start] + other + CAPTURE[end:], SIGNATURE, [SECRET]), other


def test_a_body_with_one_changed_byte_verifies_only_if_it_means_the_same():
    meant = json.loads(CAPTURE, parse_float=str, parse_int=str)
    for place in range(len(CAPTURE)):
        for byte in (0x20, 0x30, 0x39, 0x22, 0x2C, 0x7D, 0xFF, CAPTURE[place] ^ 1, CAPTURE[place] ^ 0x20):
            changed = CAPTURE[:place] + bytes([byte]) + CAPTURE[place + 1 :]
            if verify(changed, SIGNATURE, [SECRET]):
                assert json.loads(changed, parse_float=str, parse_int=str) == meant


def test_nothing_can_be_added_to_a_body_or_taken_from_it():
    for addition in (b'"x":1,', b'"payment_id":1,', b'"__proto__":{},', b'"constructor":null,', b'"toJSON":1,', b'"":0,'):
        assert not verify(CAPTURE[:1] + addition + CAPTURE[1:], SIGNATURE, [SECRET])
    for gone in (b'"invoice_id":null,', b'"withdrawalFee":0', b'"price_amount":20,'):
        assert not verify(CAPTURE.replace(gone, b""), SIGNATURE, [SECRET])


# Against the vendor's own sample, in the language that it was written for.

KEYS = ["payment_id", "Zahl", "a", "A", "ä", "10", "2", "02", "-1", "4294967294", "4294967295", "1.5", "", "😀", "ﬁ", "\u2028", "a b", 'q"', "back\\", "\ud800"]
TEXTS = ["", "usd", "Große Übung", "日本語", "😀", "a/b", 'say "hi"', "\\", "\n\t\r\b\f\x00\x1f\x7f", "\u2028\u2029", "\ud83d", "\udc00x", "</script>", "null"]
# As JavaScript writes them, since the vendor sends what JSON.stringify gave.
NUMBERS = ["0", "1", "20", "0.1", "1e-7", "1.5e-9", "0.000001", "0.0000012", "0.000083", "0.09853637216235617", "1e+21", "1.7976931348623157e+308"]
NUMBERS += ["100000000000000000000", "123456789012345680000", "5e-324", "9007199254740991", "1765249461097", "15", "1.5", "-12.34"]


def awkward(dice: random.Random, depth: int = 0) -> str:
    """Write one JSON value of the kinds that writers of JSON disagree about."""
    roll = dice.random()
    if depth < 4 and (roll < 0.25 or depth == 0):
        keys = dice.sample(KEYS, dice.randrange(0, 7))
        blank = dice.choice(["", " ", "\t"])
        return "{" + ("," + blank).join(f"{json.dumps(key)}:{blank}{awkward(dice, depth + 1)}" for key in keys) + "}"
    if depth < 4 and roll < 0.35:
        return "[" + ",".join(awkward(dice, depth + 1) for _ in range(dice.randrange(0, 12))) + "]"
    if roll < 0.6:
        return dice.choice([*NUMBERS, repr((1 + dice.random()) * 10.0 ** dice.randrange(-4, 12)), str(dice.randrange(10**15))])
    if roll < 0.9:
        text = dice.choice(TEXTS)
        return json.dumps(text, ensure_ascii=dice.random() < 0.5 or any("\ud800" <= sign <= "\udfff" for sign in text))
    return dice.choice(["true", "false", "null"])


def vendor_signatures(bodies: list[str]) -> list[str]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    command = [node, str(HERE / "vendor_sample.cjs"), SECRET]
    run = subprocess.run(command, input="\n".join(bodies), capture_output=True, text=True, check=True, encoding="utf-8")
    return run.stdout.split()


@pytest.mark.node
def test_three_thousand_awkward_bodies_signed_by_the_vendors_sample_all_verify():
    dice = random.Random(2026)
    bodies = [awkward(dice) for _ in range(3000)]
    signatures = vendor_signatures(bodies)
    assert len(signatures) == len(bodies)
    refused = [body for body, signature in zip(bodies, signatures, strict=True) if not verify(body.encode(), signature, [SECRET])]
    assert refused == []
    crossed = [body for body, signature in zip(bodies, [*signatures[1:], signatures[0]], strict=True) if verify(body.encode(), signature, [SECRET])]
    assert all(json.loads(body) in ({}, []) or bodies.count(body) > 1 for body in crossed)


@pytest.mark.node
def test_the_vendors_sample_agrees_with_the_capture():
    assert vendor_signatures([CAPTURE.decode()]) == [SIGNATURE]

"""What owners send: taken when it makes sense, and refused with a sentence for the field otherwise."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from PGP_COMMON.errors import BadInput
from PGP_COMMON.http import dumps
from PGP_WEBAPI_v1 import forms, openapi

PASSWORD = "correct horse battery"
LEAVES = st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=8)
MODELS = sorted(set(openapi.BODIES.values()), key=lambda model: model.__name__)
app = Flask("forms")


def read(model: type[BaseModel], body: Any) -> Any:
    """Read a body as a view does."""
    raw = body if isinstance(body, bytes) else dumps(body).encode("utf-8", "surrogatepass")
    with app.test_request_context(method="POST", data=raw, content_type="application/json"):
        return forms.read(model)


def faults(model: type[BaseModel], body: Any) -> dict[str, str]:
    with pytest.raises(BadInput) as found:
        read(model, body)
    return dict(found.value.data.get("fields", {}))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(MODELS), ANYTHING)
def test_any_body_is_a_form_or_refused(model: type[BaseModel], body: Any) -> None:
    with suppress(BadInput):
        read(model, body)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(MODELS), st.data())
def test_the_right_names_with_anything_in_them_are_a_form_or_refused(model: type[BaseModel], data: st.DataObject) -> None:
    body = {name: data.draw(ANYTHING) for name in model.model_fields}
    named: set[str] = set()
    try:
        read(model, body)
    except BadInput as error:
        named = set(error.data["fields"])
    assert named <= set(model.model_fields)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_a_form(raw: bytes) -> None:
    with suppress(BadInput):
        read(forms.AccountChange, raw)


@pytest.mark.parametrize("email", ["a@b.cc", "A.b+tag@sub.Example.com", "o'neil@shop.test", "x" * 64 + "@b.cc"])
def test_an_address_is_taken_as_it_is(email: str) -> None:
    assert read(forms.Register, {"email": email, "password": PASSWORD}).email == email


@pytest.mark.parametrize(
    "email",
    [
        "",
        "a",
        "a@b",
        "@b.cc",
        "a@.cc",
        "a b@c.dd",
        "a@b.cc\nBcc: x@y.zz",
        "a@b.cc\r\n",
        "a@b..cc",
        "a@@b.cc",
        "<a@b.cc>",
        "a@b.cc,x@y.zz",
        "x" * 65 + "@b.cc",
        "a@" + "b" * 250 + ".cc",
        "a@b.c1",
        "ä@b.cc",
        "a@bü.cc",
        "a\x00@b.cc",
        "\ud800@b.cc",
        None,
        1,
        ["a@b.cc"],
    ],
)
def test_what_is_no_address_is_refused(email: object) -> None:
    assert list(faults(forms.Register, {"email": email, "password": PASSWORD})) == ["email"]


@pytest.mark.parametrize(
    ("password", "good"),
    [("x" * 7, False), ("x" * 8, True), ("x" * 128, True), ("x" * 129, False), ("x" * 10**6, False), (8 * " ", True), ("a\x00bcdefgh", True)],
)
def test_a_password_is_eight_to_a_hundred_and_twenty_eight_signs_and_nothing_is_cut_off(password: str, good: bool) -> None:
    body = {"email": "a@b.cc", "password": password}
    if good:
        assert read(forms.Register, body).password == password
    else:
        assert list(faults(forms.Register, body)) == ["password"]


def test_a_password_that_no_database_keeps_is_refused() -> None:
    assert faults(forms.Login, {"email": "a@b.cc", "password": "\ud800" * 8})


@pytest.mark.parametrize(
    ("price", "read_as"), [("4.99", "4.99"), ("9999.99", "9999.99"), (5, "5"), (Decimal("12.50"), "12.50"), (Decimal("1E+3"), "1E+3"), ("007", "7")]
)
def test_money_is_read_exactly(price: object, read_as: str) -> None:
    assert read(forms.TierChange, {"price_usd": price}).price_usd == Decimal(read_as)


@pytest.mark.parametrize(
    "price", ["nan", "inf", "0", "4.98", "10000", "5_0", "٥", "1e3", "5,00", "+5", "-5", " 5", "5 ", "5.", ".5", "5.001", "", True, [5], {}, -5, 4, 10**30]
)
def test_what_is_no_price_is_refused(price: object) -> None:
    assert list(faults(forms.TierChange, {"price_usd": price})) == ["price_usd"]


def test_a_fraction_of_json_is_never_a_float() -> None:
    assert read(forms.TierChange, b'{"price_usd": 4.9900000000000000000}').price_usd == Decimal("4.99")
    assert faults(forms.TierChange, b'{"price_usd": 4.9900000000000000001}')


@pytest.mark.parametrize(
    "raw", [b'{"days": 1e1}', b'{"days": 10.0}', b'{"days": NaN}', b'{"days": Infinity}', b'{"days": "10"}', b'{"days": true}', b"{", b"[" * 10_000, b"\xff"]
)
def test_numbers_that_are_not_whole_are_refused(raw: bytes) -> None:
    with pytest.raises(BadInput):
        read(forms.TierChange, raw)


def test_of_a_name_said_twice_the_last_one_counts() -> None:
    assert read(forms.TierChange, b'{"days": 1, "days": 2}').days == 2


def test_blanks_around_a_text_are_taken_off_and_an_empty_one_empties() -> None:
    assert read(forms.AccountChange, {"display_name": "  Olga "}).display_name == "Olga"
    assert read(forms.ChannelChange, {"description": ""}).description == ""
    assert faults(forms.NewTier, {"label": "   ", "price_usd": 5, "days": 1, "position": 1})

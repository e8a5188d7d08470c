"""Signatures and sealed links: exactly what was signed, for exactly whom, with one of two keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from PGP_COMMON.errors import BadInput, Misconfigured, Unauthenticated
from PGP_COMMON.tokens import BaseTokenManager, parse_keys

OLD, NEW = f"k1:{'a' * 64}", f"k2:{'b' * 64}"


def manager(text: str = OLD) -> BaseTokenManager:
    return BaseTokenManager(lambda: text)


def test_what_was_signed_is_accepted_and_nothing_else() -> None:
    keys = manager()
    header = keys.sign("pgp-x-v1", "step/1", b"{}")
    keys.check(header, audience="pgp-x-v1", subject="step/1", body=b"{}")
    for changed in ({"audience": "pgp-y-v1"}, {"subject": "step/2"}, {"body": b"{ }"}):
        with pytest.raises(Unauthenticated):
            keys.check(header, **{"audience": "pgp-x-v1", "subject": "step/1", "body": b"{}", **changed})  # type: ignore[arg-type]


def test_during_a_rotation_the_new_key_signs_and_both_are_accepted_then_the_old_one_is_not() -> None:
    old = manager(OLD).sign("a", "s", b"x")
    both = manager(f"{NEW},{OLD}")
    both.check(old, audience="a", subject="s", body=b"x")
    assert both.sign("a", "s", b"x").startswith("v1=k2:")
    with pytest.raises(Unauthenticated):
        manager(NEW).check(old, audience="a", subject="s", body=b"x")


@given(st.text(max_size=120))
def test_no_header_that_is_made_up_is_accepted(header: str) -> None:
    with pytest.raises(Unauthenticated):
        manager().check(header, audience="a", subject="s", body=b"x")


@pytest.mark.parametrize("text", ["", "k1", "k1:xyz", f"k1:{'a' * 63}", f"{OLD},{NEW},{OLD}", f"k 1:{'a' * 64}", "k1:" + "A" * 64])
def test_a_malformed_key_is_a_configuration_error_that_does_not_show_it(text: str) -> None:
    with pytest.raises(Misconfigured) as error:
        parse_keys(text)
    assert not text or text not in str(error.value)


def test_a_key_never_shows_itself() -> None:
    assert "a" * 10 not in repr(parse_keys(OLD))


def test_a_sealed_link_says_what_it_said_until_it_is_over_and_only_for_its_purpose() -> None:
    token = manager().seal("success", "ORDER", lifetime_s=60)
    assert manager().open("success", token) == "ORDER"
    for forged in (token[:-1] + ("A" if token[-1] != "A" else "B"), token + "A", token.replace(".", "", 1), "", "a.b.c", token + "=", "k1." + token):
        with pytest.raises(BadInput):
            manager().open("success", forged)
    with pytest.raises(BadInput):
        manager().open("other", token)
    with pytest.raises(BadInput):
        manager().open("success", manager().seal("success", "ORDER", lifetime_s=-1))
    with pytest.raises(BadInput):
        manager(NEW).open("success", token)


@given(st.text(alphabet=st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=200))
def test_no_link_that_is_made_up_opens_or_breaks_anything(token: str) -> None:
    with pytest.raises(BadInput):
        manager().open("success", token)

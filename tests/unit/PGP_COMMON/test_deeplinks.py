"""Payloads of /start: what we make we read, and nothing else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from PGP_COMMON import deeplinks
from PGP_COMMON.deeplinks import Start

IDS = st.integers(min_value=1, max_value=2**62)


def payload(address: str) -> str:
    found = re.fullmatch(r"https://t\.me/bot\?start=([A-Za-z0-9_-]{1,64})", address)
    assert found, address
    return found[1]


@given(IDS, IDS)
def test_what_we_make_we_read(channel: int, tier: int) -> None:
    assert deeplinks.parse(payload(deeplinks.subscribe("bot", channel, tier))) == Start("subscribe", channel, tier)
    assert deeplinks.parse(payload(deeplinks.channel("bot", channel))) == Start("channel", channel)
    assert deeplinks.parse(payload(deeplinks.donate("bot", channel))) == Start("donate", channel)


def test_a_link_code_is_read_as_it_is() -> None:
    code = "Ab-_" * 8
    assert deeplinks.parse(payload(deeplinks.link_owner("bot", code))) == Start("link_owner", code=code)


@given(st.text(max_size=70))
def test_anything_else_is_a_menu_or_unknown_and_ids_fit_the_database(text: str) -> None:
    start = deeplinks.parse(text)
    assert start.what in {"menu", "unknown", "subscribe", "channel", "donate", "link_owner"}
    assert (start.what == "menu") == (text == "")
    assert 0 <= start.channel_id <= 2**62
    assert 0 <= start.tier_id <= 2**62


@given(st.from_regex(r"[sdglor]_[a-z0-9_]{0,30}", fullmatch=True))
def test_what_looks_like_ours_breaks_nothing(text: str) -> None:
    start = deeplinks.parse(text)
    assert start.channel_id <= 2**62


@pytest.mark.parametrize(
    "text", ["s_A", "s_1_", "s__1", "s_1_2_3", "S_1", "s_-1", "s_1.5", "d_", "d_1 ", " d_1", "s_٣", "o_short", "o_" + "x" * 61, "s_1\n", "s_" + "1" * 63]
)
def test_what_is_nearly_ours_is_unknown(text: str) -> None:
    assert deeplinks.parse(text) == Start("unknown")


def test_numbers_are_written_as_short_as_they_can_be() -> None:
    assert [deeplinks.base36(number) for number in (0, 1, 35, 36, 36**2 - 1)] == ["0", "1", "z", "10", "zz"]

"""Marked-up text is read as Telegram reads it."""

from __future__ import annotations

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telegram.helpers import escape_markdown

from deploy.simulators.telegram import html_text, markdown_text
from deploy.simulators.telegram.errors import ApiError
from deploy.simulators.telegram.formatting import read_text
from deploy.simulators.telegram.html_text import MarkupError, units
from deploy.simulators.telegram.params import Params

TEXT = st.text(st.characters(blacklist_categories=["Cs"]))


@given(TEXT)
def test_escaped_html_comes_out_as_it_went_in(text: str):
    assert html_text.parse(html.escape(text, quote=False)) == (text, [])


@given(TEXT)
def test_escaped_markdown_comes_out_as_it_went_in(text: str):
    assert markdown_text.parse_v2(escape_markdown(text, version=2)) == (text, [])


@given(st.text("ab<>/& \"'=ué💰_*[]()`~|!.\\\n", max_size=40))
def test_any_markup_is_read_or_refused(text: str):
    for parse in (html_text.parse, markdown_text.parse_v2, markdown_text.parse_legacy):
        try:
            plain, entities = parse(text)
        except MarkupError:
            continue
        assert all(entity["offset"] >= 0 and entity["offset"] + entity["length"] <= units(plain) for entity in entities)


def test_tags_may_nest_and_carry_attributes():
    plain, entities = html_text.parse('<b>a<i>b</i></b><pre><code class="language-py">c</code></pre><tg-spoiler>d</tg-spoiler>')
    assert plain == "abcd"
    assert [(entity["type"], entity["offset"], entity["length"]) for entity in entities] == [
        ("bold", 0, 2),
        ("italic", 1, 1),
        ("code", 2, 1),
        ("pre", 2, 1),
        ("spoiler", 3, 1),
    ]


def test_markdown_links_and_code():
    plain, entities = markdown_text.parse_v2("[in](https://t.me/+a) `x_y` __u__ ||s||")
    assert plain == "in x_y u s"
    assert [entity["type"] for entity in entities] == ["text_link", "code", "underline", "spoiler"]


def test_white_space_at_the_ends_is_taken_off_and_entities_move_along():
    text, entities = read_text(Params(text="  <b> a</b> \n", parse_mode="HTML"))
    assert (text, entities) == ("a", [{"offset": 0, "length": 1, "type": "bold"}])


def test_four_thousand_and_ninety_six_characters_are_allowed_after_the_marks_are_gone():
    text, _ = read_text(Params(text=f"<b>{'x' * 4096}</b>", parse_mode="HTML"))
    assert len(text) == 4096
    with pytest.raises(ApiError, match="message is too long"):
        read_text(Params(text="x" * 4097))


def test_an_entity_beyond_the_end_is_refused():
    with pytest.raises(ApiError, match="ends after the end of the text"):
        read_text(Params(text="abc", entities='[{"type": "bold", "offset": 1, "length": 3}]'))

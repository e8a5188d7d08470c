"""Turns the text of a call into the text and entities of a message: parse modes, limits, trimming."""

from __future__ import annotations

from typing import Any

from deploy.simulators.telegram import html_text, markdown_text
from deploy.simulators.telegram.errors import bad_request
from deploy.simulators.telegram.html_text import Entity, MarkupError, units
from deploy.simulators.telegram.params import Params

# MessageLimit.MAX_TEXT_LENGTH and CAPTION_LENGTH of python-telegram-bot 22.8, counted after the parse mode's marks are gone.
TEXT_LIMIT = 4096
CAPTION_LIMIT = 1024

PARSERS = {"html": html_text.parse, "markdownv2": markdown_text.parse_v2, "markdown": markdown_text.parse_legacy}


def read_text(params: Params) -> tuple[str, list[Entity]]:
    """Read a message's text; raises ApiError when it is empty, too long or badly marked up."""
    text, entities = read(params, "text", "parse_mode", "entities")
    if not text:
        raise bad_request("message text is empty")
    if units(text) > TEXT_LIMIT:
        raise bad_request("message is too long")
    return text, entities


def read_caption(params: Params) -> tuple[str, list[Entity]]:
    """Read a caption, which may be empty; raises ApiError."""
    text, entities = read(params, "caption", "parse_mode", "caption_entities")
    if units(text) > CAPTION_LIMIT:
        raise bad_request("message caption is too long")
    return text, entities


def read(params: Params, name: str, mode_name: str, entities_name: str) -> tuple[str, list[Entity]]:
    """Read one formatted text: a parse mode wins over a list of entities."""
    text = params.text(name).replace("\r", "").replace("\0", "")
    mode = params.text(mode_name).lower()
    if mode:
        if mode not in PARSERS:
            raise bad_request("unsupported parse_mode")
        try:
            text, entities = PARSERS[mode](text)
        except MarkupError as error:
            raise bad_request(f"can't parse entities: {error}") from None
    else:
        entities = given_entities(params.json(entities_name, "message entities"), text)
    return trim(text, entities)


def given_entities(given: Any, text: str) -> list[Entity]:
    """Check a list of entities that the bot made itself."""
    if given is None:
        return []
    if not isinstance(given, list) or any(not isinstance(entity, dict) or "type" not in entity for entity in given):
        raise bad_request("can't parse entities JSON object")
    length = units(text)
    for entity in given:
        offset, size = entity.get("offset"), entity.get("length")
        if not isinstance(offset, int) or not isinstance(size, int) or offset < 0 or size < 0:
            raise bad_request("can't parse MessageEntity: offset and length must be numbers")
        if offset + size > length:
            raise bad_request(f"entity beginning at UTF-16 offset {offset} ends after the end of the text at UTF-16 offset {offset + size}")
    return [entity for entity in given if entity["length"]]


def trim(text: str, entities: list[Entity]) -> tuple[str, list[Entity]]:
    """Take white space off both ends, as the server does, and move the entities along."""
    trimmed = text.strip()
    start = units(text[: len(text) - len(text.lstrip())])
    end = start + units(trimmed)
    if len(trimmed) == len(text):
        return text, entities
    kept = []
    for entity in entities:
        first, last = max(entity["offset"], start), min(entity["offset"] + entity["length"], end)
        if last > first:
            kept.append({**entity, "offset": first - start, "length": last - first})
    return trimmed, kept

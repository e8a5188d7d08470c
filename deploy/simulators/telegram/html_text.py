"""Reads text with parse_mode HTML, with the complaints of the real parser (td/telegram/MessageEntity.cpp, parse_html)."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Any

Entity = dict[str, Any]

KINDS = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "tg-spoiler": "spoiler",
    "span": "spoiler",
    "a": "text_link",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
    "tg-emoji": "custom_emoji",
}
OPENING = re.compile(r"<([^\s>/]*)((?:\s+[^\s=>]+(?:\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s>]+))?)*)\s*>")
CLOSING = re.compile(r"</([^\s>]*)\s*>")
ATTRIBUTE = re.compile(r"([^\s=>]+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]+)))?")
# Only these named references exist; any other ampersand stands for itself.
REFERENCE = re.compile(r"&(?:lt|gt|amp|quot|#\d{1,8}|#x[0-9a-fA-F]{1,8});")


class MarkupError(ValueError):
    """The text cannot be parsed; says why."""


@dataclass
class Open:
    """A tag that is waiting for its end."""

    tag: str
    offset: int
    extra: Entity


def units(text: str) -> int:
    """Count UTF-16 code units, in which Telegram measures entities and texts."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def parse(text: str) -> tuple[str, list[Entity]]:
    """Take the tags out and give the entities they stood for; raises MarkupError."""
    plain, length, position = "", 0, 0
    waiting: list[Open] = []
    entities: list[Entity] = []
    while position < len(text):
        at = len(text[:position].encode("utf-8", "surrogatepass"))
        if text[position] != "<":
            end = text.find("<", position)
            end = len(text) if end < 0 else end
            piece = REFERENCE.sub(lambda found: html.unescape(found.group()), text[position:end])
            plain, length, position = plain + piece, length + units(piece), end
        elif text.startswith("</", position):
            opened, position = close_tag(text, position, at, waiting)
            entities += entity_of(opened, length)
        else:
            opened, position = open_tag(text, position, at, length)
            waiting.append(opened)
    if waiting:
        raise MarkupError(f'Can\'t find end tag corresponding to start tag "{waiting[-1].tag}"')
    return plain, sorted(entities, key=lambda entity: (entity["offset"], -entity["length"]))


def open_tag(text: str, position: int, at: int, length: int) -> tuple[Open, int]:
    found = OPENING.match(text, position)
    name = re.match(r"<([^\s>]*)", text[position:])
    tag = name.group(1).lower() if name else ""
    if not found and ">" not in text[position:]:
        raise MarkupError(f"Unclosed start tag at byte offset {at}")
    if tag not in KINDS:
        raise MarkupError(f'Unsupported start tag "{tag}" at byte offset {at}')
    if not found:
        raise MarkupError(f'Unclosed start tag "{tag}" at byte offset {at}')
    attributes = {part[0].lower(): html.unescape(part[1] or part[2] or part[3]) for part in ATTRIBUTE.findall(found.group(2))}
    return Open(tag, length, extra(tag, attributes, at)), found.end()


def extra(tag: str, attributes: dict[str, str], at: int) -> Entity:
    """Give the fields that the entity has beside its type."""
    if tag == "span" and attributes.get("class") != "tg-spoiler":
        raise MarkupError(f'Tag "span" must have class "tg-spoiler" at byte offset {at}')
    if tag == "a" and attributes.get("href"):
        return {"url": attributes["href"]}
    if tag == "code" and attributes.get("class", "").startswith("language-"):
        return {"language": attributes["class"].removeprefix("language-")}
    return {"custom_emoji_id": attributes.get("emoji-id", "")} if tag == "tg-emoji" else {}


def close_tag(text: str, position: int, at: int, waiting: list[Open]) -> tuple[Open, int]:
    if not waiting:
        raise MarkupError(f"Unexpected end tag at byte offset {at}")
    found = CLOSING.match(text, position)
    if not found:
        raise MarkupError(f"Unclosed end tag at byte offset {at}")
    opened = waiting.pop()
    if found.group(1).lower() not in {"", opened.tag}:
        raise MarkupError(f'Unmatched end tag at byte offset {at}, expected "</{opened.tag}>", found "</{found.group(1).lower()}>"')
    return opened, found.end()


def entity_of(opened: Open, length: int) -> list[Entity]:
    """Make a tag's entity; a link without an address is no link, an entity around nothing is no entity."""
    if length == opened.offset or (opened.tag == "a" and not opened.extra):
        return []
    return [{"offset": opened.offset, "length": length - opened.offset, "type": KINDS[opened.tag], **opened.extra}]

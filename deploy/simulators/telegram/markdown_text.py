"""Reads text with parse_mode Markdown or MarkdownV2, with the complaints of the real parser (td/telegram/MessageEntity.cpp)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from deploy.simulators.telegram.html_text import Entity, MarkupError, units

# Longest first: "__" is underline before "_" is italic.
MARKS = {
    "```": ("pre", "Pre"),
    "||": ("spoiler", "Spoiler"),
    "__": ("underline", "Underline"),
    "*": ("bold", "Bold"),
    "_": ("italic", "Italic"),
    "~": ("strikethrough", "Strikethrough"),
    "`": ("code", "Code"),
}
RESERVED = frozenset("_*[]()~`>#+-=|{}.!")
ADDRESS = re.compile(r"\]\(((?:[^)\\]|\\.)*)\)")
LEGACY_MARKS = {"```": "pre", "*": "bold", "_": "italic", "`": "code"}


@dataclass
class Reading:
    """What has been read so far."""

    plain: str = ""
    length: int = 0
    entities: list[Entity] = field(default_factory=list)

    def add(self, piece: str) -> None:
        self.plain += piece
        self.length += units(piece)

    def entity(self, offset: int, kind: str, **extra: str) -> None:
        if self.length > offset:
            self.entities.append({"offset": offset, "length": self.length - offset, "type": kind, **extra})


@dataclass
class Mark:
    """A mark that waits for its pair."""

    sign: str
    offset: int
    at: int


def byte_offset(text: str, position: int) -> int:
    return len(text[:position].encode("utf-8", "surrogatepass"))


def parse_v2(text: str) -> tuple[str, list[Entity]]:
    """Take the MarkdownV2 marks out and give the entities they stood for; raises MarkupError."""
    reading, waiting, position = Reading(), list[Mark](), 0
    while position < len(text):
        if text[position] == "\\" and position + 1 < len(text) and text[position + 1].isascii():
            reading.add(text[position + 1])
            position += 2
            continue
        sign = next((mark for mark in MARKS if text.startswith(mark, position)), text[position])
        if waiting and waiting[-1].sign in {"`", "```"} and sign != waiting[-1].sign:
            reading.add(text[position])
            position += 1
        elif sign in MARKS:
            turn(reading, waiting, Mark(sign, reading.length, byte_offset(text, position)))
            position += len(sign)
        else:
            position = other_sign(text, position, reading, waiting)
    if waiting:
        name = "TextUrl" if waiting[-1].sign == "[" else MARKS[waiting[-1].sign][1]
        raise MarkupError(f"Can't find end of {name} entity at byte offset {waiting[-1].at}")
    return reading.plain, sorted(reading.entities, key=lambda entity: (entity["offset"], -entity["length"]))


def turn(reading: Reading, waiting: list[Mark], mark: Mark) -> None:
    """Open an entity, or close it when the same mark is open."""
    if waiting and waiting[-1].sign == mark.sign:
        reading.entity(waiting.pop().offset, MARKS[mark.sign][0])
    else:
        waiting.append(mark)


def other_sign(text: str, position: int, reading: Reading, waiting: list[Mark]) -> int:
    """Read a link's bracket, a quotation's sign at a line's start, or a plain character."""
    sign = text[position]
    if sign == "[":
        waiting.append(Mark("[", reading.length, byte_offset(text, position)))
        return position + 1
    if sign == "]" and waiting and waiting[-1].sign == "[":
        address = ADDRESS.match(text, position)
        mark = waiting.pop()
        if address and address.group(1):
            reading.entity(mark.offset, "text_link", url=re.sub(r"\\(.)", r"\1", address.group(1)))
        return address.end() if address else position + 1
    if sign == ">" and (position == 0 or text[position - 1] == "\n"):
        return position + 1
    if sign in RESERVED:
        raise MarkupError(f"Character '{sign}' is reserved and must be escaped with the preceding '\\'")
    reading.add(sign)
    return position + 1


def parse_legacy(text: str) -> tuple[str, list[Entity]]:
    """Take the old Markdown's marks out (they do not nest) and give the entities; raises MarkupError."""
    reading, position = Reading(), 0
    while position < len(text):
        if text[position] == "\\" and text[position + 1 : position + 2] in {"_", "*", "`", "["}:
            reading.add(text[position + 1])
            position += 2
            continue
        sign = next((mark for mark in [*LEGACY_MARKS, "["] if text.startswith(mark, position)), "")
        if not sign:
            reading.add(text[position])
            position += 1
            continue
        end = text.find("]" if sign == "[" else sign, position + len(sign))
        if end < 0:
            raise MarkupError(f"Can't find end of the entity starting at byte offset {byte_offset(text, position)}")
        offset = reading.length
        reading.add(text[position + len(sign) : end])
        address = ADDRESS.match(text, end) if sign == "[" else None
        if address:
            reading.entity(offset, "text_link", url=address.group(1))
        elif sign != "[":
            reading.entity(offset, LEGACY_MARKS[sign])
        position = address.end() if address else end + len(sign)
    return reading.plain, reading.entities

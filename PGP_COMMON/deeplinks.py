"""This is the deep link: what a /start payload may say (product.md 4), and the addresses that carry it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_NUMBER = r"[0-9a-z]{1,12}"
_FORMS = {
    "subscribe": re.compile(rf"s_({_NUMBER})_({_NUMBER})"),
    "channel": re.compile(rf"s_({_NUMBER})"),
    "donate": re.compile(rf"d_({_NUMBER})"),
    "link_owner": re.compile(r"o_([A-Za-z0-9_-]{20,60})"),
}


@dataclass(frozen=True)
class Start:
    """What a payload asks for; ids are 0 when it does not carry them."""

    what: str
    channel_id: int = 0
    tier_id: int = 0
    code: str = ""


def base36(number: int) -> str:
    """An id as links carry it."""
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = _DIGITS[rest] + digits
    return digits or "0"


def parse(payload: str) -> Start:
    """Read a payload of at most 64 characters; what is not ours is `unknown`, an empty one `menu`."""
    if not payload:
        return Start("menu")
    for what, form in _FORMS.items():
        found = form.fullmatch(payload) if len(payload) <= 64 else None  # noqa: PLR2004 - Telegram's limit (contracts.md 3.1)
        if found is None:
            continue
        if what == "link_owner":
            return Start(what, code=found.group(1))
        ids = [int(group, 36) for group in found.groups()]
        return Start(what, channel_id=min(ids[0], 2**62), tier_id=min(ids[1], 2**62) if len(ids) > 1 else 0)
    return Start("unknown")


def subscribe(bot: str, channel_id: int, tier_id: int) -> str:
    """The address that opens the bot at one tier."""
    return f"https://t.me/{bot}?start=s_{base36(channel_id)}_{base36(tier_id)}"


def channel(bot: str, channel_id: int) -> str:
    """The address that opens the bot at a channel's offers."""
    return f"https://t.me/{bot}?start=s_{base36(channel_id)}"


def donate(bot: str, channel_id: int) -> str:
    """The address that opens the bot at a channel's donation."""
    return f"https://t.me/{bot}?start=d_{base36(channel_id)}"


def link_owner(bot: str, code: str) -> str:
    """The address that links an owner's Telegram account."""
    return f"https://t.me/{bot}?start=o_{code}"

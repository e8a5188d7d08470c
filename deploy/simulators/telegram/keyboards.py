"""Checks reply_markup and gives back the inline keyboard that the message will carry."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from deploy.simulators.telegram.errors import bad_request
from deploy.simulators.telegram.params import Params

# InlineKeyboardButton.MIN_CALLBACK_DATA to MAX_CALLBACK_DATA, in bytes.
CALLBACK_DATA_BYTES = 64
# An inline keyboard of more than 100 buttons is refused by the server.
BUTTONS = 100
ACTIONS = (
    "url",
    "callback_data",
    "web_app",
    "login_url",
    "switch_inline_query",
    "switch_inline_query_current_chat",
    "switch_inline_query_chosen_chat",
    "copy_text",
    "callback_game",
    "pay",
)
OTHER_KEYBOARDS = ("keyboard", "remove_keyboard", "force_reply")


def read_keyboard(params: Params) -> dict[str, Any] | None:
    """Read reply_markup; only an inline keyboard becomes part of the message. Raises ApiError."""
    markup = params.json("reply_markup", "reply keyboard markup")
    if markup is None:
        return None
    if not isinstance(markup, dict):
        raise bad_request("object expected as reply markup")
    if "inline_keyboard" not in markup:
        if markup and not any(name in markup for name in OTHER_KEYBOARDS):
            raise bad_request("object expected as reply markup")
        return None
    rows = markup["inline_keyboard"]
    if not isinstance(rows, list) or any(not isinstance(row, list) for row in rows):
        raise bad_request('field "inline_keyboard" of the InlineKeyboardMarkup must be an Array of Arrays')
    keyboard = [[read_button(button) for button in row] for row in rows if row]
    if sum(len(row) for row in keyboard) > BUTTONS:
        raise bad_request("reply markup is too long")
    return {"inline_keyboard": keyboard} if keyboard else None


def read_button(button: Any) -> dict[str, Any]:
    if not isinstance(button, dict):
        raise bad_request("can't parse inline keyboard button: InlineKeyboardButton must be an Object")
    text = button.get("text")
    if not isinstance(text, str):
        raise bad_request('can\'t parse inline keyboard button: Field "text" must be of type String')
    if not text.strip():
        raise bad_request('can\'t parse inline keyboard button: Field "text" must be non-empty')
    actions = [name for name in ACTIONS if name in button]
    if not actions:
        raise bad_request("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")
    if "callback_data" in button:
        check_data(button["callback_data"])
    elif "url" in button:
        check_address("URL", button["url"], {"http", "https", "tg", "ton"})
    elif isinstance(button.get("web_app"), dict):
        check_address("Web App URL", button["web_app"].get("url"), {"https"})
    return {"text": text, actions[0]: button[actions[0]]}


def check_data(data: Any) -> None:
    if not isinstance(data, str) or not 0 < len(data.encode("utf-8", "surrogatepass")) <= CALLBACK_DATA_BYTES:
        raise bad_request("BUTTON_DATA_INVALID")


def check_address(what: str, address: Any, schemes: set[str]) -> None:
    """Refuse an address without a dot in its host (localhost) as the server does; 127.0.0.1 passes."""
    given = str(address or "")
    try:
        url = urlsplit(given if "://" in given or given.startswith("tg:") else f"https://{given}")
    except ValueError:
        raise bad_request(f"inline keyboard button {what} '{given}' is invalid: Wrong HTTP URL") from None
    if url.scheme.lower() not in schemes:
        wrong = "Only HTTPS links are allowed" if schemes == {"https"} else "Unsupported URL protocol"
        raise bad_request(f"inline keyboard button {what} '{given}' is invalid: {wrong}")
    if url.scheme.lower() in {"http", "https"} and ("." not in (url.hostname or "") or " " in given):
        raise bad_request(f"inline keyboard button {what} '{given}' is invalid: Wrong HTTP URL")

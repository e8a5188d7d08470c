"""The methods about the bot itself: who it is, its commands, and its answers to pressed buttons."""

from __future__ import annotations

import json
import re
from typing import Any

from deploy.simulators.telegram import shapes
from deploy.simulators.telegram.errors import QUERY_TOO_OLD, bad_request
from deploy.simulators.telegram.params import Params
from deploy.simulators.telegram.telegram import Method, Telegram
from deploy.simulators.telegram.updates import CALLBACK_LIFE_S

# CallbackQueryLimit.ANSWER_CALLBACK_QUERY_TEXT_LENGTH of python-telegram-bot 22.8.
CALLBACK_TEXT_LIMIT = 200
# BotCommandLimit of python-telegram-bot 22.8.
COMMANDS = 100
COMMAND = re.compile(r"/?[a-z0-9_]{1,32}")
DESCRIPTION_LIMIT = 256


def get_me(telegram: Telegram, params: Params) -> dict[str, Any]:
    """Say who the bot is."""
    del params
    return shapes.me(telegram.world.account)


def answer_callback(telegram: Telegram, params: Params) -> bool:
    """Answer a pressed button, once and in time."""
    if len(params.text("text")) > CALLBACK_TEXT_LIMIT:
        raise bad_request("MESSAGE_TOO_LONG")
    said = {"text": params.text("text"), "show_alert": params.flag("show_alert"), "url": params.text("url")}
    answered = telegram.world.books.run(
        "UPDATE callbacks SET answer = ? WHERE id = ? AND answer IS NULL AND date > ?",
        (json.dumps(said), params.text("callback_query_id"), telegram.world.now() - CALLBACK_LIFE_S),
    )
    if not answered:
        raise bad_request(QUERY_TOO_OLD)
    return True


def commands_key(params: Params) -> str:
    """Name the setting for one scope and language."""
    scope = params.json("scope", "bot command scope") or {"type": "default"}
    if not isinstance(scope, dict) or "type" not in scope:
        raise bad_request("can't parse BotCommandScope: Object expected")
    return f"commands {json.dumps(scope, sort_keys=True)} {params.text('language_code')}"


def set_commands(telegram: Telegram, params: Params) -> bool:
    """Replace the commands of one scope and language."""
    given = params.json("commands", "bot commands")
    if not isinstance(given, list):
        raise bad_request("expected an Array of BotCommand")
    if len(given) > COMMANDS:
        raise bad_request("too many bot commands specified")
    commands = [command(one) for one in given]
    telegram.world.set_setting(commands_key(params), commands or None)
    return True


def command(given: Any) -> dict[str, str]:
    if not isinstance(given, dict):
        raise bad_request("expected a BotCommand to be an Object")
    name, description = str(given.get("command", "")), str(given.get("description", ""))
    if not COMMAND.fullmatch(name):
        raise bad_request("BOT_COMMAND_INVALID")
    if not 0 < len(description) <= DESCRIPTION_LIMIT:
        raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
    return {"command": name.removeprefix("/"), "description": description}


def get_commands(telegram: Telegram, params: Params) -> list[dict[str, str]]:
    """Read the commands of one scope and language."""
    commands: list[dict[str, str]] = telegram.world.setting(commands_key(params), [])
    return commands


def delete_commands(telegram: Telegram, params: Params) -> bool:
    """Forget the commands of one scope and language."""
    telegram.world.set_setting(commands_key(params), None)
    return True


def set_profile(telegram: Telegram, params: Params) -> bool:
    """Accept a change of the bot's name, description or menu button; nothing here shows them."""
    del telegram, params
    return True


METHODS: dict[str, Method] = {
    "getMe": get_me,
    "answerCallbackQuery": answer_callback,
    "setMyCommands": set_commands,
    "getMyCommands": get_commands,
    "deleteMyCommands": delete_commands,
    "setMyName": set_profile,
    "setMyDescription": set_profile,
    "setMyShortDescription": set_profile,
    "setMyDefaultAdministratorRights": set_profile,
    "setChatMenuButton": set_profile,
    "close": set_profile,
    "logOut": set_profile,
}

"""The simulator as a program: killed in the middle, it goes on where it stood."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.telegram_world import ACCOUNT, TOKEN, Hook, TelegramWorld

ANN = {"id": 42, "first_name": "Ann"}


@contextmanager
def program(state_dir: Path, *flags: str) -> Iterator[tuple[TelegramWorld, subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "deploy.simulators.telegram", "--port", "0", "--state-dir", str(state_dir)]
    bot = ["--token", TOKEN, "--bot-id", str(ACCOUNT.id), "--bot-username", ACCOUNT.username]
    process = subprocess.Popen([*command, *bot, *flags], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield TelegramWorld(json.loads(process.stdout.readline())["listening"]), process
    finally:
        process.kill()
        process.communicate()


def text_or_title(update: dict[str, Any]) -> str:
    return str(update["message"]["text"] if "message" in update else update["my_chat_member"]["chat"]["title"])


def test_nothing_that_was_answered_is_lost_when_it_is_killed(tmp_path: Path, hook: Hook):
    with program(tmp_path) as (world, process):
        world.result("setWebhook", url=hook.url, secret_token="hush")
        world.control("/updates", {"user": ANN, "text": "taken"})
        hook.wait(1)
        hook.refuses = lambda update: True
        world.control("/updates", {"user": ANN, "text": "waits"})
        world.result("sendMessage", chat_id=42, text="said")
        world.control("/chats", {"id": -1001, "type": "channel", "title": "VIP"})
        link = world.result("createChatInviteLink", chat_id=-1001)["invite_link"]
        hook.wait(3)
        process.send_signal(signal.SIGKILL)
        process.wait()
    hook.refuses = lambda update: False
    before = len(hook.got)
    with program(tmp_path) as (world, _):
        hook.wait(before + 2)
        assert {"waits", "VIP"} == {text_or_title(update) for update in hook.got[before:]}
        assert hook.secrets[-1] == "hush"
        assert [message["text"] for message in world.look("/chats/42/messages")] == ["taken", "waits", "said"]
        assert world.control("/updates", {"user": ANN, "join": link})["state"] == "member"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_it_is_told_to(tmp_path: Path, how: signal.Signals):
    with program(tmp_path) as (_, process):
        process.send_signal(how)
        assert process.wait(timeout=5) == 0

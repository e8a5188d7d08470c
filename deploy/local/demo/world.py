"""The doors of the outside world: the simulators' control doors, the chain, and the owners' API."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from PGP_COMMON.errors import PgpError

T = TypeVar("T")
TICK_S = 0.2
# What a repetition cannot double.
REPEATABLE = frozenset({"GET", "PUT", "PATCH"})


class PlayError(PgpError):
    """The play did not go on."""


class NoAnswerError(PlayError):
    """Nobody answered: what was asked for may have been done."""


# How often, and after how long, a service that says it is busy is asked again.
BUSY_TRIES, BUSY_WAIT_S = 10, 0.5


@dataclass(frozen=True)
class World:
    """Where everything is: `services`, `simulators` by name, the chain, and the settings of the fleet."""

    http: httpx.Client
    services: dict[str, str]
    simulators: dict[str, str]
    rpc_url: str
    known: dict[str, str]
    # How long somebody waits for an answer, a message or a button before he gives up.
    patience_s: float = 60
    # Set when the play is over: nobody waits any longer.
    over: threading.Event = field(default_factory=threading.Event)
    # Looked at by everybody who waits; raises PlayError when waiting is in vain.
    alarm: Callable[[], None] = lambda: None

    @classmethod
    def of(cls, status: dict[str, Any], known: dict[str, str], **more: Any) -> World:
        """The world of a running fleet, from `pgp status --json`."""
        services = {service["name"]: service["url"] for service in status["services"]}
        return cls(httpx.Client(timeout=30, trust_env=False), services, status["simulators"], status["rpc_url"], known, **more)

    def control(self, simulator: str, path: str, body: Any = None, *, repeatable: bool = False) -> Any:
        """Use a simulator's control door. Raises PlayError when it refuses, NoAnswerError when it does not answer.

        With a body something is done there, and done again when no answer comes only if that is `repeatable`.
        """
        url = f"{self.simulators[simulator]}/_control/{path}"
        answer = self._ask("GET", url, repeatable=True) if body is None else self._ask("POST", url, repeatable=repeatable, json=body)
        if answer.is_error:
            raise PlayError(f"{simulator} {path}: {answer.status_code} {answer.text[:200]}")
        return answer.json()

    def api(self, method: str, path: str, body: Any = None, *, token: str = "") -> Any:
        """Call the owners' API. Raises PlayError when it refuses or does not answer."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = self._ask(method, self.services["pgp-webapi-v1"] + path, repeatable=method in REPEATABLE, json=body, headers=headers)
        for _ in range(BUSY_TRIES):
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            # It says that it is busy and may be asked again in a moment, as after a restart of its database.
            time.sleep(BUSY_WAIT_S)
            answer = self._ask(method, self.services["pgp-webapi-v1"] + path, repeatable=method in REPEATABLE, json=body, headers=headers)
        if answer.is_error:
            raise PlayError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer.json() if answer.content else None

    def rpc(self, method: str, *params: Any) -> Any:
        """Ask the chain."""
        answer = self._ask("POST", self.rpc_url, repeatable=True, json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).json()
        if "error" in answer:
            raise PlayError(f"{method}: {answer['error']}")
        return answer["result"]

    def _ask(self, method: str, url: str, *, repeatable: bool, **request: Any) -> httpx.Response:
        """Whoever does not answer is being started again: ask once more, unless the first request may have done something."""
        deadline = time.monotonic() + self.patience_s
        while True:
            try:
                return self.http.request(method, url, **request)
            except httpx.TransportError as error:
                never_arrived = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                if self.over.is_set() or time.monotonic() > deadline or not (repeatable or never_arrived):
                    raise NoAnswerError(f"{method} {url}: no answer ({type(error).__name__})") from error
            time.sleep(TICK_S)

    def messages(self, chat_id: int) -> list[Any]:
        """What the bot wrote into a chat, oldest first."""
        return [message for message in self.control("telegram", f"chats/{chat_id}/messages") if message["outgoing"]]

    def speak(self, user: dict[str, Any], **act: Any) -> Any:
        """Do something as a Telegram user."""
        return self.control("telegram", "updates", {"user": user, **act})

    def until(self, what: str, look: Callable[[], T | None]) -> T:
        """Look until something is there; raises PlayError with what was waited for."""
        deadline = time.monotonic() + self.patience_s
        while True:
            found = look()
            if found:
                return found
            if self.over.is_set():
                raise PlayError(f"nobody waits for {what} any longer")
            self.alarm()
            if time.monotonic() > deadline:
                raise PlayError(f"waited {self.patience_s:.0f} s for {what}")
            time.sleep(TICK_S)

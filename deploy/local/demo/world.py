"""The doors of the outside world: the simulators' control doors, the chain, and the owners' API."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

T = TypeVar("T")
TICK_S = 0.2


class PlayError(RuntimeError):
    """The play did not go on."""


@dataclass(frozen=True)
class World:
    """Where everything is: `services`, `simulators` by name, the chain, and the settings of the fleet."""

    http: httpx.Client
    services: dict[str, str]
    simulators: dict[str, str]
    rpc_url: str
    known: dict[str, str]

    @classmethod
    def of(cls, status: dict[str, Any], known: dict[str, str]) -> World:
        """The world of a running fleet, from `pgp status --json`."""
        services = {service["name"]: service["url"] for service in status["services"]}
        return cls(httpx.Client(timeout=30, trust_env=False), services, status["simulators"], status["rpc_url"], known)

    def control(self, simulator: str, path: str, body: Any = None) -> Any:
        """Use a simulator's control door."""
        url = f"{self.simulators[simulator]}/_control/{path}"
        answer = self.http.get(url) if body is None else self.http.post(url, json=body)
        if answer.is_error:
            raise PlayError(f"{simulator} {path}: {answer.status_code} {answer.text[:200]}")
        return answer.json()

    def api(self, method: str, path: str, body: Any = None, *, token: str = "") -> Any:
        """Call the owners' API."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = self.http.request(method, self.services["pgp-webapi-v1"] + path, json=body, headers=headers)
        if answer.is_error:
            raise PlayError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer.json() if answer.content else None

    def rpc(self, method: str, *params: Any) -> Any:
        """Ask the chain."""
        answer = self.http.post(self.rpc_url, json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).json()
        if "error" in answer:
            raise PlayError(f"{method}: {answer['error']}")
        return answer["result"]

    def messages(self, chat_id: int) -> list[Any]:
        """What the bot wrote into a chat, oldest first."""
        return [message for message in self.control("telegram", f"chats/{chat_id}/messages") if message["outgoing"]]

    def speak(self, user: dict[str, Any], **act: Any) -> Any:
        """Do something as a Telegram user."""
        return self.control("telegram", "updates", {"user": user, **act})


def until(what: str, look: Callable[[], T | None], *, within_s: float = 60) -> T:
    """Look until something is there; raises PlayError with what was waited for."""
    deadline = time.monotonic() + within_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise PlayError(f"waited {within_s:.0f} s for {what}")
        time.sleep(TICK_S)

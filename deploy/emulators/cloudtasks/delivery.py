"""This is the delivery: one HTTP request to a task's target, and what came back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from deploy.emulators.cloudtasks import messages
from deploy.emulators.cloudtasks.pace import retry_after_s
from deploy.emulators.cloudtasks.tasks import USER_AGENT, Task

NO_ANSWER: Final = 0
TIMED_OUT: Final = 504
# gunicorn drops a connection that is idle for 2 s; one that we drop first is never sent into while the other side closes it.
IDLE_S: Final = 1.5
# An answer's body means nothing; this much of it is read so that the connection can be used again.
LARGEST_ANSWER: Final = 1 << 16
# Set by the service or by HTTP itself; what a task says about them is not sent.
OWN: Final = frozenset({"host", "content-length", "user-agent", "connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "expect"})
OWN_PREFIXES: Final = ("x-cloudtasks-", "x-google-", "x-appengine-")

Mint = Callable[[str, str], str]


@dataclass(frozen=True)
class Answer:
    """The status of an answer (0: there was none) and the seconds it asks us to wait."""

    code: int
    retry_after_s: float = 0.0

    @property
    def is_success(self) -> bool:
        """Whether the task is done: 200 to 299 and nothing else."""
        return 200 <= self.code < 300  # noqa: PLR2004 - the range is the rule


class Post:
    """The connections to all targets, kept open between deliveries. Lives on the event loop."""

    def __init__(self, mint: Mint | None) -> None:
        """Take the maker of OIDC tokens, if there is one: (service account, audience) → token."""
        self._mint = mint
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def send(self, task: Task, message: Any, queue: str) -> Answer:
        """Make one attempt within the task's deadline; never raises for what the target does."""
        request = message.http_request
        body = request.body if request.http_method in messages.WITH_BODY else None
        deadline = aiohttp.ClientTimeout(total=messages.get_seconds(message.dispatch_deadline))
        try:
            headers = self._headers(task, request, queue)
            async with self._session.request(
                messages.METHODS[request.http_method], request.url, data=body, headers=headers, timeout=deadline, allow_redirects=False
            ) as response:
                await drain(response)
                return Answer(response.status, retry_after_s(response.headers.get("Retry-After", ""), time.time()))
        except TimeoutError:
            return Answer(TIMED_OUT)
        except (aiohttp.ClientError, OSError, ValueError):
            return Answer(NO_ANSWER)

    def _headers(self, task: Task, request: Any, queue: str) -> dict[str, str]:
        headers = delivery_headers(task, request.headers, queue)
        if request.HasField("oidc_token") or request.HasField("oauth_token"):
            for name in [name for name in headers if name.lower() == "authorization"]:
                del headers[name]
        if self._mint is not None and request.HasField("oidc_token"):
            token = request.oidc_token
            headers["Authorization"] = f"Bearer {self._mint(token.service_account_email, token.audience or request.url)}"
        return headers


def delivery_headers(task: Task, asked: Any, queue: str) -> dict[str, str]:
    """Give the headers of an attempt (already counted as sent): the task's own, and those that say which attempt it is."""
    headers = {name: value for name, value in asked.items() if name.lower() not in OWN and not name.lower().startswith(OWN_PREFIXES)}
    headers["User-Agent"] = USER_AGENT
    headers["X-CloudTasks-QueueName"] = queue
    headers["X-CloudTasks-TaskName"] = task.id
    headers["X-CloudTasks-TaskRetryCount"] = str(task.dispatches - 1)
    headers["X-CloudTasks-TaskExecutionCount"] = str(task.executions)
    headers["X-CloudTasks-TaskETA"] = f"{task.due:.6f}"
    if task.dispatches > 1:
        headers["X-CloudTasks-TaskPreviousResponse"] = str(task.previous_code)
        # Empty in every recording of an HTTP target.
        headers["X-CloudTasks-TaskRetryReason"] = ""
    return headers


async def drain(response: aiohttp.ClientResponse) -> None:
    """Read an answer's body as far as that is worth it; a connection with more to come is closed by aiohttp."""
    left = LARGEST_ANSWER
    while left > 0 and (chunk := await response.content.readany()):
        left -= len(chunk)

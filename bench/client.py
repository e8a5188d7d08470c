"""One client program with a number of keep-alive connections: each sends its next request when the last answer is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

END: Final = b"\r\n\r\n"
# Longer than a service keeps a request waiting for a database connection.
PATIENCE_S: Final = 30.0


@dataclass
class Told:
    """What came of a burst of requests: how many answers of which status, and how long all of them took (seconds)."""

    answers: dict[int, int] = field(default_factory=dict)
    delays_s: list[float] = field(default_factory=list)
    took_s: float = 0.0

    @property
    def per_second(self) -> float:
        """Answers that say 200, a second."""
        return self.answers.get(200, 0) / self.took_s


class Connection(asyncio.Protocol):
    """One keep-alive connection: as little HTTP as it takes, so that what is measured is the service."""

    def __init__(self, requests: Iterator[bytes], told: Told, done: asyncio.Future[None]) -> None:
        """Take whose requests are sent (shared by all connections) and where answers are counted."""
        self._requests, self._told, self._done = requests, told, done
        self._buffer = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        """Wait for a whole answer, count it, send the next request."""
        self._buffer += data
        head, end, body = self._buffer.partition(END)
        if not end:
            return
        length = next((int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
        if len(body) < length:
            return
        self._buffer = b""
        status = int(head[9:12])
        self._told.answers[status] = self._told.answers.get(status, 0) + 1
        self._told.delays_s.append(time.perf_counter() - self._sent)
        self._next()

    def connection_lost(self, _error: Exception | None) -> None:
        """Give up: whoever waits sees that answers are missing."""
        if not self._done.done():
            self._done.set_result(None)

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(request)  # type: ignore[attr-defined]


def post(url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """The bytes of one POST request."""
    target = urlsplit(url)
    lines = [f"POST {target.path or '/'} HTTP/1.1", f"Host: {target.netloc}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + END + body


def burst(url: str, requests: list[bytes], *, connections: int) -> Told:
    """Send every request, as fast as so many connections get answers."""
    return asyncio.run(_burst(url, requests, connections))


async def _burst(url: str, requests: list[bytes], connections: int) -> Told:
    target, told, loop = urlsplit(url), Told(), asyncio.get_running_loop()
    waiting = iter(requests)
    started = time.perf_counter()
    ends: list[asyncio.Future[None]] = []
    for _ in range(connections):
        ends.append(loop.create_future())
        await loop.create_connection(lambda end=ends[-1]: Connection(waiting, told, end), target.hostname or "", target.port or 80)  # type: ignore[misc]
    await asyncio.wait_for(asyncio.gather(*ends), PATIENCE_S + len(requests) / 20)
    told.took_s = time.perf_counter() - started
    return told


def steadily(url: str, requests: list[bytes], *, per_second: float, connections: int = 8) -> Told:
    """Send so many requests a second, whatever becomes of the earlier ones as long as a connection is free."""
    return asyncio.run(_steadily(url, requests, per_second, connections))


async def _steadily(url: str, requests: list[bytes], per_second: float, connections: int) -> Told:
    target, told, started = urlsplit(url), Told(), time.perf_counter()
    turn = iter(enumerate(requests))

    async def one() -> None:
        reader, writer = await asyncio.open_connection(target.hostname, target.port)
        for index, request in turn:
            await asyncio.sleep(started + index / per_second - time.perf_counter())
            begun = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(END)
            length = next((int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
            await reader.readexactly(length)
            status = int(head[9:12])
            told.answers[status] = told.answers.get(status, 0) + 1
            told.delays_s.append(time.perf_counter() - begun)
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    told.took_s = time.perf_counter() - started
    return told

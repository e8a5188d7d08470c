"""The edge of the process: every HTTP request that leaves it goes to a vendor in memory, through weather that can be bad."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

Answer = Callable[[httpx.Request], httpx.Response]


@dataclass
class Weather:
    """How likely it is that a request meets each kind of trouble."""

    refused: float = 0.0  # no connection: nothing was sent
    throttled: float = 0.0  # 429
    failing: float = 0.0  # 500, nothing happened
    unanswered: float = 0.0  # a time-out before the vendor acted
    lost: float = 0.0  # the vendor acted, and its answer never came
    garbled: float = 0.0  # the vendor acted, and its answer cannot be read


FAIR = Weather()
FOUL = Weather(refused=0.02, throttled=0.02, failing=0.03, unanswered=0.02, lost=0.04, garbled=0.01)


@dataclass
class Edge:
    """Who answers for which host."""

    dice: random.Random
    hosts: dict[str, Answer] = field(default_factory=dict)
    weather: Weather = field(default_factory=Weather)
    trouble: Counter[str] = field(default_factory=Counter)

    def handle(self, request: httpx.Request) -> httpx.Response:
        """Carry one request to its vendor, or lose it on the way there or back."""
        answer = self.hosts.get(request.url.host)
        if answer is None:
            raise httpx.ConnectError(f"nobody is called {request.url.host}", request=request)
        met = self._meets()
        if met:
            self.trouble[f"{request.url.host.split('.')[0]}: {met}"] += 1
        if met == "refused":
            raise httpx.ConnectError("refused", request=request)
        if met == "unanswered":
            raise httpx.ReadTimeout("no answer", request=request)
        if met in {"throttled", "failing"}:
            return httpx.Response(429 if met == "throttled" else 500, text="<html>trouble</html>", request=request)
        response = answer(request)
        response.request = request
        if met == "lost":
            raise httpx.ReadTimeout("no answer", request=request)
        if met == "garbled":
            return httpx.Response(502, text="<html>bad gateway</html>", request=request)
        return response

    def _meets(self) -> str:
        roll = self.dice.random()
        for kind, likely in vars(self.weather).items():
            if roll < likely:
                return str(kind)
            roll -= likely
        return ""

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Stand between this process and the world while a simulation runs."""

        def handle(_transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
            request.read()
            return self.handle(request)

        async def handle_async(_transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
            await request.aread()
            return self.handle(request)

        before = httpx.HTTPTransport.handle_request, httpx.AsyncHTTPTransport.handle_async_request
        httpx.HTTPTransport.handle_request = handle  # type: ignore[method-assign]
        httpx.AsyncHTTPTransport.handle_async_request = handle_async  # type: ignore[method-assign]
        try:
            yield
        finally:
            httpx.HTTPTransport.handle_request, httpx.AsyncHTTPTransport.handle_async_request = before  # type: ignore[method-assign]

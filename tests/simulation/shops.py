"""The small vendors in memory: a price source and a mail service."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import httpx


def price_source(usd: Mapping[str, Decimal]) -> Callable[[httpx.Request], httpx.Response]:
    """CryptoCompare's and CoinGecko's answers: what it does not know is left out."""

    def answer(request: httpx.Request) -> httpx.Response:
        found = usd.get(request.url.params.get("fsym", "").lower())
        return httpx.Response(200, json={} if found is None else {"USD": str(found)})

    return answer


def mail_vendor(sent: list[dict[str, Any]]) -> Callable[[httpx.Request], httpx.Response]:
    """SendGrid: 202, an id in a header, and an empty body."""

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        return httpx.Response(202, headers={"X-Message-Id": f"m{len(sent)}"})

    return answer

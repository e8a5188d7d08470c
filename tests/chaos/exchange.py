"""What an exchange does to single orders: it keeps one for a while, or sends the money back instead of paying out."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

from deploy.local.demo.world import PlayError, World
from deploy.simulators.market import BY_CODE

# Steps of the simulated exchange before anything has been paid out.
UNPAID_STEPS = frozenset({"send", "pay"})


class Meddler:
    """Forces the fate of orders through the exchange's control door."""

    def __init__(self, world: World) -> None:
        """Take the outside."""
        self._world = world
        self._lock = threading.Lock()
        self._kept: set[str] = set()
        self._sent_back: set[str] = set()
        self.kept = self.refunded = 0

    def keep(self, seconds: float, over: threading.Event) -> bool:
        """Keep one order that has our coins, `verifying`, for so many seconds; False when there is none."""
        order = self._hold(lambda _: True)
        if order is None:
            return False
        self.kept += 1
        over.wait(seconds)
        self._release(order["id"])
        return True

    def send_back(self) -> bool:
        """Send the money of one order back, if nothing has been paid out for it.

        Never twice to one owner, and once for a conversion: after two in a row a person is asked, as he should be.
        """
        order = self._hold(lambda row: self._address(row) not in self._sent_back)
        if order is None:
            return False
        paid = {row["exchange_id"] for row in self._world.control("changenow", "books/payouts")}
        if order["id"] in paid:
            self._release(order["id"])
            return False
        self._sent_back.add(self._address(order))
        with self._lock:
            self._kept.discard(order["id"])
        self._force(order["id"], {"refund": True})
        self.refunded += 1
        return True

    def let_go(self) -> None:
        """Let every order that is still kept go on."""
        for order in sorted(self._kept):
            self._release(order)

    def _address(self, order: dict[str, Any]) -> str:
        """Whose money it is: an owner's address, or ours for every conversion."""
        return "a conversion" if order["target"] == BY_CODE["usdterc20"].key else str(order["payout_address"])

    def _hold(self, wanted: Any) -> dict[str, Any] | None:
        """Keep the newest order that has our coins and nothing paid out yet; it stands still from then on."""
        with self._lock:
            for row in reversed(self._world.control("changenow", "books/exchanges")):
                if row["next_step"] in UNPAID_STEPS and not row["held"] and row["id"] not in self._kept and wanted(row):
                    self._kept.add(row["id"])
                    self._force(row["id"], {"status": "verifying"})
                    return dict(row)
        return None

    def _release(self, order: str) -> None:
        self._force(order, {"status": "exchanging"})
        with self._lock:
            self._kept.discard(order)

    def _force(self, order: str, what: dict[str, Any]) -> None:
        with suppress(PlayError):
            self._world.control("changenow", f"exchanges/{order}", what, repeatable=True)

"""The queue of updates: what happened in the world waits here, durably, until the bot has taken it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from typing import Any

from deploy.simulators.books import Row
from deploy.simulators.telegram.errors import OTHER_POLLER, WEBHOOK_IS_ACTIVE, conflict
from deploy.simulators.telegram.params import Params
from deploy.simulators.telegram.world import FIRST_UPDATE_ID, World

# Every kind of update of Bot API 10.0 that a bot can ask for.
KINDS = [
    "message",
    "edited_message",
    "channel_post",
    "edited_channel_post",
    "business_connection",
    "business_message",
    "edited_business_message",
    "deleted_business_messages",
    "message_reaction",
    "message_reaction_count",
    "inline_query",
    "chosen_inline_result",
    "callback_query",
    "shipping_query",
    "pre_checkout_query",
    "purchased_paid_media",
    "poll",
    "poll_answer",
    "my_chat_member",
    "chat_member",
    "chat_join_request",
    "chat_boost",
    "removed_chat_boost",
]
# What a bot that never said what it wants does not get (DEFAULT_ALLOWED_UPDATE_TYPES in Client.cpp).
NOT_BY_DEFAULT = {"chat_member", "message_reaction", "message_reaction_count"}

# A pressed button waits only this long (add_new_callback_query in Client.cpp); everything else waits for a day.
CALLBACK_LIFE_S = 150
LONGEST_POLL_S = 50


class UpdateQueue:
    """Takes updates in, counts them, and hands them to whoever asks: getUpdates here, the webhook's courier elsewhere."""

    def __init__(self, world: World, life_s: float) -> None:
        """Take the world and how long an update waits (seconds; the real server keeps them for a day)."""
        self.world = world
        self.life_s = life_s
        self.changed = threading.Condition()
        self._mine = threading.local()
        self._poller: object | None = None
        self._poll_error = OTHER_POLLER

    def add(self, kind: str, queue: str, body: Mapping[str, Any]) -> int | None:
        """Put an update in its queue, within the transaction of what caused it; None when the bot does not want this kind."""
        if kind not in self.allowed():
            return None
        life_s = min(CALLBACK_LIFE_S, self.life_s) if kind == "callback_query" else self.life_s
        return self._insert(kind, queue, {"update_id": self._next_id(), kind: body}, life_s)

    def add_raw(self, update: Mapping[str, Any], queue: str) -> int:
        """Put an update in as it is; it keeps the update_id it brings (a duplicate, an old one), or gets the next."""
        given = update.get("update_id")
        number = given if isinstance(given, int) else self._next_id()
        kind = next((name for name in update if name != "update_id"), "raw")
        return self._insert(kind, queue, {**update, "update_id": number}, self.life_s)

    def announce(self) -> None:
        """Wake those who wait, if this thread has put anything in; call it after the commit."""
        if getattr(self._mine, "added", False):
            self._mine.added = False
            with self.changed:
                self.changed.notify_all()

    def allowed(self) -> list[str]:
        """Say which kinds the bot gets."""
        given: list[str] | None = self.world.setting("allowed_updates")
        return given or [kind for kind in KINDS if kind not in NOT_BY_DEFAULT]

    def allow(self, params: Params) -> None:
        """Take allowed_updates from a call: left out, the earlier choice stays; unknown names are ignored; an empty list is the default."""
        if "allowed_updates" not in params:
            return
        given = params.json("allowed_updates", "allowed updates")
        if isinstance(given, list):
            wanted = [kind for kind in KINDS if kind in given]
            self.world.set_setting("allowed_updates", wanted or None)

    def poll(self, params: Params) -> list[Any]:
        """Answer getUpdates: confirm what is older than `offset`, then give what waits, or wait for it."""
        if self.world.setting("webhook"):
            raise conflict(WEBHOOK_IS_ACTIVE)
        offset, limit = params.integer("offset"), params.integer("limit", 100, 1, 100)
        until = time.monotonic() + params.integer("timeout", 0, 0, LONGEST_POLL_S)
        with self.world.books.write():
            self.allow(params)
            self._confirm(offset)
        ticket = object()
        while True:
            with self.changed:
                found = self._waiting(offset, limit)
                left = until - time.monotonic()
                if found or left <= 0:
                    return found
                self._wait(ticket, left)

    def end_polls(self, reason: str) -> None:
        """Answer whoever waits in getUpdates with 409 and this reason."""
        with self.changed:
            self._poller, self._poll_error = None, reason
            self.changed.notify_all()

    def pending(self) -> int:
        """Count the updates that wait."""
        row = self.world.books.one("SELECT count(*) AS n FROM updates WHERE ended IS NULL")
        return int(row["n"]) if row else 0

    def end(self, seq: int, how: str) -> None:
        """Take an update out: it was delivered, or nobody wants it any more."""
        self.world.books.run("UPDATE updates SET ended = ? WHERE seq = ? AND ended IS NULL", (how, seq))

    def head(self, queue: str, after: int = 0) -> Row | None:
        """Read the first update that waits in one queue, after another one when asked so."""
        return self.world.books.one("SELECT * FROM updates WHERE queue = ? AND ended IS NULL AND seq > ? ORDER BY seq LIMIT 1", (queue, after))

    def _wait(self, ticket: object, left_s: float) -> None:
        """Wait for a change; a second poller, or a webhook, ends the first one's wait with 409."""
        if self._poller is not ticket:
            self._poller, self._poll_error = ticket, OTHER_POLLER
            self.changed.notify_all()
        self.changed.wait(left_s)
        if self._poller is not ticket:
            raise conflict(self._poll_error)

    def _confirm(self, offset: int) -> None:
        books = self.world.books
        if offset > 0:
            books.run("UPDATE updates SET ended = 'confirmed' WHERE ended IS NULL AND update_id < ?", (offset,))
        elif offset < 0:
            books.run(
                "UPDATE updates SET ended = 'confirmed' WHERE ended IS NULL AND seq NOT IN"
                " (SELECT seq FROM updates WHERE ended IS NULL ORDER BY seq DESC LIMIT ?)",
                (-offset,),
            )

    def _waiting(self, offset: int, limit: int) -> list[Any]:
        rows = self.world.books.all(
            "SELECT body FROM updates WHERE ended IS NULL AND expires > ? AND update_id >= ? ORDER BY seq LIMIT ?",
            (time.time(), max(offset, 0), limit),
        )
        return [json.loads(row["body"]) for row in rows]

    def _next_id(self) -> int:
        number = int(self.world.setting("next_update_id", FIRST_UPDATE_ID))
        self.world.set_setting("next_update_id", number + 1)
        return number

    def _insert(self, kind: str, queue: str, body: Mapping[str, Any], life_s: float) -> int:
        now = time.time()
        self.world.books.run(
            "INSERT INTO updates (update_id, kind, queue, body, created, expires) VALUES (?, ?, ?, ?, ?, ?)",
            (body["update_id"], kind, queue, json.dumps(body), now, now + life_s),
        )
        self._mine.added = True
        return int(body["update_id"])

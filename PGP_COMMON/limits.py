"""This is the limit: how much a caller may ask for, and how fast the bot may speak; in Redis, with PostgreSQL behind it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from PGP_COMMON import log
from PGP_COMMON.database import BaseDatabaseManager, Transaction
from PGP_COMMON.errors import TooMany

if TYPE_CHECKING:
    import redis

logger = log.get(__name__)
# After Redis failed it is left alone this long; PostgreSQL counts meanwhile.
REDIS_REST_S = 5
# Counts one use in a window that begins with the first; gives back the uses and the window's milliseconds left.
_COUNT = """
local used = redis.call('INCR', KEYS[1])
if used == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {used, redis.call('PTTL', KEYS[1])}
"""
# Takes the next free slot of each key (spacing in ms) and gives back how long to wait for the latest of them; a slot too far away is not taken.
_SLOT = """
local now = redis.call('TIME'); local at = now[1] * 1000 + math.floor(now[2] / 1000); local start = at
for i, key in ipairs(KEYS) do
  local free = tonumber(redis.call('GET', key) or '0') - tonumber(ARGV[2 * i]) * tonumber(ARGV[2 * i + 1])
  if free > at then at = free end
end
if at - start > tonumber(ARGV[1]) then return start - at end
for i, key in ipairs(KEYS) do
  local spacing = tonumber(ARGV[2 * i]); local used = tonumber(redis.call('GET', key) or '0')
  if used < at then used = at end
  redis.call('SET', key, used + spacing, 'PX', math.ceil(used + spacing - start + spacing * tonumber(ARGV[2 * i + 1]) + 1000))
end
return at - start
"""


class Counters:
    """Fixed windows shared by all instances."""

    def __init__(self, db: BaseDatabaseManager, redis_url: str) -> None:
        """Take the database that stands in, and Redis' address (empty: none)."""
        self._db = db
        self._url = redis_url
        self._redis: redis.Redis | None = None
        self._rest_until = 0.0

    def connection(self) -> redis.Redis | None:
        """Redis, or None while it rests or there is none."""
        if not self._url or time.monotonic() < self._rest_until:
            return None
        if self._redis is None:
            import redis  # noqa: PLC0415 - only where limits are used

            self._redis = redis.Redis.from_url(self._url, socket_timeout=0.5, socket_connect_timeout=0.5)
        return self._redis

    def ask(self, script: str, keys: list[str], arguments: list[int]) -> Any:
        """Run a script in Redis; None when Redis does not answer."""
        import redis  # noqa: PLC0415 - only where limits are used

        connection = self.connection()
        if connection is None:
            return None
        try:
            return connection.eval(script, len(keys), *keys, *[str(a) for a in arguments])
        except redis.RedisError:
            self._rest_until = time.monotonic() + REDIS_REST_S
            logger.warning("Redis does not answer; PostgreSQL counts")
            return None

    def use(self, bucket: str, *, limit: int, window_s: int) -> None:
        """Count one use of a bucket; raises TooMany (with the seconds to wait) above the limit."""
        found = self.ask(_COUNT, [f"limit:{bucket}"], [window_s * 1000])
        used, left_ms = cast("list[int]", found) if found is not None else self.use_in_database(bucket, window_s=window_s)
        if used > limit:
            raise TooMany(retry_after_s=max(1, -(-left_ms // 1000)))

    def use_in_database(self, bucket: str, *, window_s: int) -> tuple[int, int]:
        """Count one use where Redis does not; gives back the uses in this window, and what is left of it (ms)."""
        with self._db.reading() as tx:
            found = tx.one(
                _Window,
                """
                INSERT INTO transaction_limits AS t (bucket, window_start, used)
                VALUES (:bucket, to_timestamp(floor(extract(epoch FROM pgp_now()) / :window) * :window), 1)
                ON CONFLICT (bucket, window_start) DO UPDATE SET used = t.used + 1
                RETURNING used, CAST(extract(epoch FROM window_start - pgp_now()) * 1000 AS int) AS began_ms
                """,
                bucket=bucket,
                window=window_s,
            )
        if found is None:
            raise RuntimeError("a counter gave nothing back")
        return found.used, window_s * 1000 + found.began_ms


@dataclass(frozen=True)
class _Window:
    """A window's uses, and when it began (ms from now, so never positive)."""

    used: int
    began_ms: int


def forget_windows(tx: Transaction, *, limit: int = 10_000) -> int:
    """Remove counters whose window is long over; no window is as long as a day. Gives back how many."""
    return tx.run(
        """
        DELETE FROM transaction_limits WHERE ctid IN (SELECT ctid FROM transaction_limits WHERE window_start < pgp_now() - interval '1 day' LIMIT :limit)
        """,
        limit=limit,
    )


class Pacer:
    """Keeps the bot under Telegram's limits over all instances: so many a second overall, to one person, to one group."""

    def __init__(self, counters: Counters, *, per_second: int, per_chat_per_second: int, per_group_per_minute: int) -> None:
        """Take the rates (contracts.md 3.1); each is a setting, so that a benchmark can raise it."""
        self._counters = counters
        self._per_second, self._per_chat_per_second, self._per_group_per_minute = per_second, per_chat_per_second, per_group_per_minute
        self._overall_ms = max(1, 1000 // per_second)
        self._chat_ms = max(1, 1000 // per_chat_per_second)
        self._group_ms = max(1, 60_000 // per_group_per_minute)

    def wait_ms(self, chat_id: int, *, longest_ms: int = 2000) -> int:
        """Take the next slot for a chat: how long to wait for it (ms); negative (nothing taken) when it is further away than `longest_ms`.

        Groups may use up to a minute's messages at once, people three.
        """
        spacing, burst = (self._group_ms, 10) if chat_id < 0 else (self._chat_ms, 2)
        found = self._counters.ask(_SLOT, ["pace:all", f"pace:{chat_id}"], [longest_ms, self._overall_ms, 5, spacing, burst])
        if found is not None:
            return int(found)
        return self._wait_in_database(chat_id)

    def _wait_in_database(self, chat_id: int) -> int:
        """Without Redis: so many a window, and nothing taken ahead; what finds its window full comes back when it is over."""
        chat = (self._per_group_per_minute, 60) if chat_id < 0 else (self._per_chat_per_second, 1)
        for bucket, (most, window_s) in ((f"pace:{chat_id}", chat), ("pace:all", (self._per_second, 1))):
            used, left_ms = self._counters.use_in_database(bucket, window_s=window_s)
            if used > most:
                return -max(1, left_ms)
        return 0

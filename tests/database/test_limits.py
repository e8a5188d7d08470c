"""How much a caller may ask for and how fast the bot may speak: counted in Redis, and in PostgreSQL while there is none."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from deploy.local import ports, valkey
from PGP_COMMON import limits
from PGP_COMMON.database import BaseDatabaseManager
from PGP_COMMON.errors import TooMany
from PGP_COMMON.limits import Counters, Pacer

NOBODY = "redis://127.0.0.1:9/0"


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server."""
    folder = tmp_path_factory.mktemp("valkey")
    program = valkey.program(folder, ports.Ports(folder / "ports").pick("valkey"))
    process = subprocess.Popen(program.argv, env=program.env, stdout=subprocess.DEVNULL)
    while not program.is_ready():
        assert process.poll() is None
        time.sleep(0.02)
    yield str(program.url)
    process.kill()
    process.wait()


@dataclass
class Case:
    """Counters with their own clock: Redis' runs, the database's stands where it is put."""

    counters: Counters
    db: BaseDatabaseManager
    in_redis: bool
    at_s: float = 1_900_000_000.2

    def __post_init__(self) -> None:
        self.pass_time(0)

    def pass_time(self, seconds: float) -> None:
        """Let it be later."""
        self.at_s += seconds
        if self.in_redis:
            time.sleep(seconds)
        with self.db.reading() as tx:
            tx.run(f"CREATE OR REPLACE FUNCTION pgp_now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT to_timestamp({self.at_s})'")  # type: ignore[arg-type]

    def pacer(self, *, overall: int = 10_000, chat: int = 10_000, group: int = 10_000) -> Pacer:
        """A pacer whose limits are out of the way unless they are named."""
        return Pacer(self.counters, per_second=overall, per_chat_per_second=chat, per_group_per_minute=group)

    def taken(self, ask: Callable[[], int], count: int) -> tuple[int, float]:
        """How many of so many tries got a slot, and how many seconds that took on the clock that counts."""
        started = time.monotonic()
        waits = [ask() for _ in range(count)]
        return len([wait for wait in waits if wait >= 0]), time.monotonic() - started if self.in_redis else 0


@pytest.fixture(params=["redis", "database", "a Redis that is away"])
def case(request: pytest.FixtureRequest, db: BaseDatabaseManager) -> Case:
    """The counters, however they count."""
    url = {"redis": lambda: request.getfixturevalue("redis_url"), "database": lambda: "", "a Redis that is away": lambda: NOBODY}[request.param]()
    made = Case(Counters(db, url), db, in_redis=request.param == "redis")
    if made.in_redis and (connection := made.counters.connection()) is not None:
        connection.flushall()
    return made


def name() -> str:
    """A bucket of this test's own."""
    return f"test:{time.monotonic_ns()}"


def chat() -> int:
    """A chat of this test's own."""
    return time.monotonic_ns()


def test_so_many_uses_are_fine_and_the_next_says_how_long_to_wait(case: Case) -> None:
    bucket, other = name(), name()
    for _ in range(3):
        case.counters.use(bucket, limit=3, window_s=3600)
    with pytest.raises(TooMany) as found:
        case.counters.use(bucket, limit=3, window_s=3600)
    assert 0 < found.value.retry_after_s <= 3600
    case.counters.use(other, limit=3, window_s=3600)


def test_a_window_is_over_when_its_time_is(case: Case) -> None:
    bucket = name()
    case.counters.use(bucket, limit=1, window_s=1)
    with pytest.raises(TooMany):
        case.counters.use(bucket, limit=1, window_s=1)
    case.pass_time(1.1)
    case.counters.use(bucket, limit=1, window_s=1)


def test_callers_at_once_share_one_count(case: Case) -> None:
    bucket, refused = name(), []

    def use() -> None:
        for _ in range(5):
            try:
                case.counters.use(bucket, limit=12, window_s=3600)
            except TooMany:
                refused.append(1)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 8


def test_a_redis_that_goes_away_is_left_alone_for_a_while_and_the_database_counts(db: BaseDatabaseManager) -> None:
    counters, bucket = Counters(db, NOBODY), name()
    counters.use(bucket, limit=2, window_s=3600)
    assert counters.connection() is None
    counters.use(bucket, limit=2, window_s=3600)
    with pytest.raises(TooMany):
        counters.use(bucket, limit=2, window_s=3600)
    counters._rest_until -= limits.REDIS_REST_S + 1
    assert counters.connection() is not None


def test_old_windows_are_forgotten_and_those_that_count_stay(db: BaseDatabaseManager) -> None:
    counters = Counters(db, "")
    counters.use("new", limit=1, window_s=3600)
    with db.transaction() as tx:
        tx.run("INSERT INTO transaction_limits (bucket, window_start, used) VALUES ('old', pgp_now() - interval '25 hours', 7)")
        assert limits.forget_windows(tx) == 1
    with pytest.raises(TooMany):
        counters.use("new", limit=1, window_s=3600)


# --- the pacer


def test_a_quiet_chat_is_written_to_at_once(case: Case) -> None:
    assert case.pacer(chat=1).wait_ms(chat()) == 0
    assert case.pacer(group=20).wait_ms(-chat()) == 0


def test_one_person_hears_about_a_message_a_second(case: Case) -> None:
    person, pace = chat(), case.pacer(chat=1)
    taken, seconds = case.taken(lambda: pace.wait_ms(person, longest_ms=500), 6)
    # Redis lets a short burst pass.
    assert 1 <= taken <= 4 + seconds
    assert pace.wait_ms(chat()) == 0
    case.pass_time(3.5)
    assert pace.wait_ms(person) >= 0


def test_what_is_put_off_takes_no_slot_and_says_for_how_long(case: Case) -> None:
    person, pace = chat(), case.pacer(group=1)
    while (wait := pace.wait_ms(-person, longest_ms=0)) > -1000:
        pass
    for _ in range(10):
        assert -660_000 <= pace.wait_ms(-person, longest_ms=0) < 0
    assert pace.wait_ms(-person, longest_ms=0) >= wait - 1000


def test_a_group_hears_no_more_than_telegram_allows_a_minute(case: Case) -> None:
    group, pace = -chat(), case.pacer(group=20)
    taken, seconds = case.taken(lambda: pace.wait_ms(group, longest_ms=0), 40)
    assert 10 <= taken <= 20 + seconds


def test_all_chats_together_are_kept_under_the_limit(case: Case) -> None:
    pace = case.pacer(overall=5)
    taken, seconds = case.taken(lambda: pace.wait_ms(chat(), longest_ms=0), 20)
    assert 5 <= taken <= 7 + 5 * seconds

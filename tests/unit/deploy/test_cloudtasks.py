"""When a task is tried again, given up or held back, and what a queue may look like: the pure half of the Cloud Tasks emulator."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.emulators.cloudtasks import messages, names, pace, queues
from deploy.emulators.cloudtasks.database import arguments, blobs, numbers, texts
from deploy.emulators.cloudtasks.refusals import Refused
from deploy.emulators.cloudtasks.retries import RetryPolicy

DAY = 86400.0


def test_waits_double_then_grow_evenly_then_stay_at_the_cap() -> None:
    policy = RetryPolicy(min_backoff_s=10, max_backoff_s=300, max_doublings=3)
    assert [policy.backoff_s(n) for n in range(1, 10)] == [10, 20, 40, 80, 160, 240, 300, 300, 300]


def test_without_doublings_waits_grow_evenly() -> None:
    policy = RetryPolicy(min_backoff_s=2, max_backoff_s=7, max_doublings=0)
    assert [policy.backoff_s(n) for n in range(1, 6)] == [2, 4, 6, 7, 7]


def test_the_default_waits_start_under_a_second() -> None:
    assert [RetryPolicy().backoff_s(n) for n in (1, 2, 5, 17, 40)] == [0.1, 0.2, 1.6, 3600, 3600]


@given(st.integers(1, 10**9), st.floats(0.1, 1000), st.floats(1000, 10**6), st.integers(0, 10**9))
def test_no_wait_is_outside_its_limits_and_none_is_shorter_than_the_one_before(failures: int, least: float, most: float, doublings: int) -> None:
    policy = RetryPolicy(min_backoff_s=least, max_backoff_s=most, max_doublings=doublings)
    assert least <= policy.backoff_s(failures) <= policy.backoff_s(failures + 1) <= most


@pytest.mark.parametrize(
    ("policy", "attempts", "since_first_s", "is_spent"),
    [
        (RetryPolicy(max_attempts=3), 2, DAY, False),
        (RetryPolicy(max_attempts=3), 3, 0, True),
        (RetryPolicy(max_attempts=3, max_retry_s=60), 3, 59, False),
        (RetryPolicy(max_attempts=3, max_retry_s=60), 2, 61, False),
        (RetryPolicy(max_attempts=3, max_retry_s=60), 3, 60, True),
        (RetryPolicy(max_attempts=-1), 10**6, DAY, False),
        (RetryPolicy(max_attempts=-1, max_retry_s=60), 1, 59, False),
        (RetryPolicy(max_attempts=-1, max_retry_s=60), 1, 60, True),
    ],
)
def test_a_task_is_given_up_when_every_limit_that_is_set_is_reached(policy: RetryPolicy, attempts: int, since_first_s: float, *, is_spent: bool) -> None:
    assert policy.is_spent(attempts=attempts, since_first_s=since_first_s, since_created_s=since_first_s) is is_spent


def test_no_task_is_kept_longer_than_31_days() -> None:
    unlimited = RetryPolicy(max_attempts=-1)
    assert not unlimited.is_spent(attempts=9, since_first_s=30 * DAY, since_created_s=30 * DAY)
    assert unlimited.is_spent(attempts=9, since_first_s=31 * DAY, since_created_s=31 * DAY)


def test_a_bucket_gives_its_burst_at_once_and_then_keeps_its_rate() -> None:
    bucket = pace.Bucket(rate=10, burst=3, tokens=3, filled_at=0)
    taken = []
    now = 0.0
    for _ in range(8):
        now += bucket.wait_s(now)
        assert bucket.wait_s(now) == pytest.approx(0)
        bucket.take()
        taken.append(round(now, 6))
    assert taken == [0, 0, 0, 0.1, 0.2, 0.3, 0.4, 0.5]


def test_pauses_double_while_the_target_is_overloaded_and_end_with_a_success() -> None:
    throttle, now, pauses = pace.Throttle(), 0.0, []
    for _ in range(8):
        throttle.note(503, retry_after_s=0, dispatched_at=now, now=now)
        pauses.append(throttle.wait_s(now))
        now += throttle.wait_s(now)
    assert pauses == [0.25, 0.5, 1, 2, 4, 8, 8, 8]
    throttle.note(200, retry_after_s=0, dispatched_at=now, now=now)
    throttle.note(429, retry_after_s=0, dispatched_at=now, now=now)
    assert throttle.wait_s(now) == 0.25


def test_many_refusals_of_what_was_sent_together_are_one_reason_to_pause() -> None:
    throttle = pace.Throttle()
    for _ in range(10):
        throttle.note(503, retry_after_s=0, dispatched_at=0.9, now=1.0)
    assert throttle.wait_s(1.0) == 0.25


def test_other_errors_pause_nothing_and_nobody_pauses_a_queue_for_long() -> None:
    throttle = pace.Throttle()
    throttle.note(500, retry_after_s=60, dispatched_at=0, now=0)
    assert throttle.wait_s(0) == 0
    throttle.note(503, retry_after_s=3600, dispatched_at=0, now=0)
    assert throttle.wait_s(0) == pace.LONGEST_RETRY_AFTER_S


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("", 0), ("7", 7), ("soon", 0), ("-3", 0), ("Wed, 21 Oct 2015 07:28:30 GMT", 30), ("Wed, 21 Oct 2015 07:27:00 GMT", 0), ("9" * 400, 999999999)],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(value: str, seconds: float) -> None:
    assert pace.retry_after_s(value, 1445412480.0) == seconds


def a_queue(**entry: Any) -> Any:
    return queues.from_entry({"name": "projects/p/locations/l/queues/q", **entry})


def test_a_queue_of_the_file_is_what_the_file_says() -> None:
    queue = a_queue(
        max_concurrent_dispatches=10,
        max_dispatches_per_second=500,
        max_attempts=50,
        max_retry_duration_s=21600,
        min_backoff_s=2,
        max_backoff_s=300,
        max_doublings=7,
    )
    assert queues.policy(queue.retry_config) == RetryPolicy(50, 21600.0, 2.0, 300.0, 7)
    assert (queue.rate_limits.max_concurrent_dispatches, queue.rate_limits.max_dispatches_per_second) == (10, 500)


def test_a_queue_of_the_file_has_defaults() -> None:
    assert queues.policy(a_queue().retry_config) == RetryPolicy()


def test_durations_are_cut_to_whole_seconds_but_no_wait_becomes_none() -> None:
    policy = queues.policy(a_queue(min_backoff_s=2.9, max_backoff_s=300.5, max_retry_duration_s=60.7).retry_config)
    assert (policy.min_backoff_s, policy.max_backoff_s, policy.max_retry_s) == (2, 300, 60)
    short = queues.policy(a_queue(min_backoff_s=0.5, max_backoff_s=0.9).retry_config)
    assert (short.min_backoff_s, short.max_backoff_s) == (0.1, 0.1)


def test_slow_queues_have_small_bursts() -> None:
    bursts = [a_queue(max_dispatches_per_second=rate).rate_limits.max_burst_size for rate in (0.1, 1, 50, 100, 500)]
    assert bursts == [10, 10, 10, 20, 100]
    assert all(earlier <= later for earlier, later in pairwise(bursts))


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"max_atempts": 3}, "max_atempts = 3 is not known"),
        ({"max_attempts": "3"}, "max_attempts = '3' is not known"),
        ({"max_attempts": True}, "max_attempts = True is not known"),
        ({"max_attempts": -2}, "greater or equal to -1"),
        ({"max_dispatches_per_second": 501}, "less than or equal to 500"),
        ({"min_backoff_s": 9, "max_backoff_s": 8}, "less than or equal to RetryConfig.maxBackoff"),
        ({"min_backoff_s": -1}, "cannot be negative"),
        ({"name": "q"}, "must be formatted"),
        ({"name": None}, "needs a name"),
    ],
)
def test_a_queue_that_cannot_be_is_named_with_the_reason(entry: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        a_queue(**entry)


def test_a_file_with_a_queue_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "queues.json"
    entry = {"name": "projects/p/locations/l/queues/q"}
    file.write_text(json.dumps([entry]))
    assert len(queues.read_file(file)) == 1
    for text in (json.dumps([entry, entry]), json.dumps(entry), "{"):
        file.write_text(text)
        with pytest.raises(ValueError):  # noqa: PT011 - three sentences
            queues.read_file(file)


def test_what_a_task_leaves_out_of_its_own_limits_comes_from_its_queue() -> None:
    own = messages.Task(retry_config={"max_attempts": 3, "min_backoff": {"seconds": 7}})
    of_queue = RetryPolicy(50, 21600.0, 2.0, 300.0, 7)
    assert queues.policy(own.retry_config, of_queue) == RetryPolicy(3, 21600.0, 7.0, 300.0, 7)


def test_a_task_name_is_taken_apart() -> None:
    queue = "projects/a.b:c-d/locations/l-1/queues/q-1"
    assert names.split_task(f"{queue}/tasks/A_b-9") == (queue, "A_b-9")
    for bad in ("", queue, f"{queue}/tasks/", f"{queue}/tasks/a/b", f"{queue}/tasks/ä", f"x{queue}/tasks/a", f"{queue}/tasks/a\n"):
        with pytest.raises(Refused):
            names.split_task(bad)


@given(st.floats(0, 4e9))
def test_a_time_survives_its_message_to_the_microsecond(when: float) -> None:
    task = messages.Task()
    messages.set_time(task.schedule_time, when)
    assert abs(messages.get_time(task.schedule_time) - when) <= 1e-6


def test_a_database_address_is_read_with_its_escapes() -> None:
    found = arguments("postgresql+pg8000://us%40er:p%2Fw@db.example:5433/name")
    assert found == {"user": "us@er", "password": "p/w", "host": "db.example", "port": 5433, "database": "name"}
    assert arguments("postgresql://u@/n?unix_sock=/run/.s.PGSQL.5432")["unix_sock"] == "/run/.s.PGSQL.5432"
    for wrong in ("sqlite:///x", "postgresql+pg8000://host/name", ""):
        with pytest.raises(ValueError, match="must look like"):
            arguments(wrong)


def test_arrays_are_written_as_postgresql_reads_them() -> None:
    assert texts(["null", "a-b"]) == '{"null","a-b"}'
    assert numbers([1, 2.5, None]) == "{1,2.5,NULL}"
    assert blobs([b"", b"\x00\xff"]) == '{"\\\\x","\\\\x00ff"}'

"""What the queue keeps when processes, sessions and machines do not keep going."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pg8000.dbapi
import pytest
from google.api_core import exceptions

from deploy.emulators.cloudtasks.database import arguments
from tests.support.cloudtasks import LOCATION, Delivery, Emulator, Target, running, wait_for

QUEUE = f"{LOCATION}/queues/kept"


LOSE_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'cloudtasks%' AND datname = current_database()"""


def kept(**settings: object) -> list[dict[str, object]]:
    return [{"name": QUEUE, "min_backoff_s": 0.1, "max_backoff_s": 1, **settings}]


def execute(database: str, statement: str) -> None:
    with contextlib.closing(pg8000.dbapi.connect(**arguments(database))) as connection:
        connection.autocommit = True
        connection.cursor().execute(statement)


def test_a_kill_in_the_middle_of_deliveries_loses_nothing(database: str, target: Target) -> None:
    slow = threading.Event()
    target.script = lambda *_: slow.wait(10) and 200
    with running(database, queues=kept(max_concurrent_dispatches=5)) as emulator:
        for index in range(20):
            emulator.create(QUEUE, target.url, f"t{index}")
        on_their_way = {delivery.task_id for delivery in target.wait(5)}
        emulator.kill()
        slow.set()
        target.script = lambda *_: 200
        emulator.start()
        wait_for(lambda: len({delivery.task_id for delivery in target.deliveries}) == 20)
        wait_for(lambda: not list(emulator.client.list_tasks(parent=QUEUE)))
        for task_id, times in Counter(delivery.task_id for delivery in target.deliveries).items():
            assert times == (2 if task_id in on_their_way else 1)
            if task_id in on_their_way:
                assert int(target.of(task_id)[1].headers["X-CloudTasks-TaskRetryCount"]) >= 1
        with pytest.raises(exceptions.AlreadyExists):
            emulator.create(QUEUE, target.url, "t1")


def test_whatever_was_answered_is_delivered_though_the_process_is_killed_again_and_again(database: str, target: Target) -> None:
    with running(database, queues=kept(max_concurrent_dispatches=10)) as emulator:
        answered: set[str] = set()
        stop = threading.Event()

        def create(worker: int) -> None:
            index = 0
            while not stop.is_set():
                index += 1
                task_id = f"w{worker}-{index}"
                with contextlib.suppress(exceptions.GoogleAPICallError, ValueError):
                    emulator.create(QUEUE, target.url, task_id)
                    answered.add(task_id)
                time.sleep(0.002)

        workers = [threading.Thread(target=create, args=(worker,)) for worker in range(3)]
        for worker in workers:
            worker.start()
        for _ in range(3):
            time.sleep(0.4)
            emulator.kill()
            emulator.start()
        time.sleep(0.2)
        stop.set()
        for worker in workers:
            worker.join()
        wait_for(lambda: answered <= {delivery.task_id for delivery in target.deliveries})
        assert len(answered) > 100


def test_a_lost_database_session_loses_nothing_and_sends_nothing_twice(database: str, target: Target) -> None:
    slow = threading.Event()
    target.script = lambda delivery, _: (delivery.task_id == "after" or slow.wait(10)) and 200
    with running(database, queues=kept()) as emulator:
        for index in range(3):
            emulator.create(QUEUE, target.url, f"t{index}")
        emulator.create(QUEUE, target.url, "later", after_s=1.0)
        target.wait(3)
        execute(database, LOSE_SESSIONS)

        def created() -> bool:
            try:
                emulator.create(QUEUE, target.url, "after")
            except exceptions.ServiceUnavailable:
                return False
            except exceptions.AlreadyExists:
                return True
            return True

        wait_for(created)
        target.wait(4)
        slow.set()
        target.wait(5)
        wait_for(lambda: not list(emulator.client.list_tasks(parent=QUEUE)))
        time.sleep(2.5)
    assert Counter(delivery.task_id for delivery in target.deliveries) == Counter(["t0", "t1", "t2", "after", "later"])


def test_two_emulators_on_one_database_deliver_each_task_once(database: str, target: Target) -> None:
    queues = kept(max_concurrent_dispatches=4)
    with running(database, "--poll-s", "0.05", queues=queues) as one, running(database, "--poll-s", "0.05", queues=queues) as two:
        threads = [
            threading.Thread(target=lambda e=emulator, p=prefix: [e.create(QUEUE, target.url, f"{p}{index}") for index in range(100)])
            for emulator, prefix in ((one, "a"), (two, "b"))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_for(lambda: not list(one.client.list_tasks(parent=QUEUE)))
        with pytest.raises(exceptions.AlreadyExists):
            two.create(QUEUE, target.url, "a1")
    assert sorted(delivery.task_id for delivery in target.deliveries) == sorted(f"{prefix}{index}" for prefix in "ab" for index in range(100))


def test_what_one_emulator_holds_the_other_takes_up_when_it_dies(database: str, target: Target) -> None:
    slow = threading.Event()
    target.script = lambda _, before: slow.wait(10) and 200 if before == 0 else 200
    with running(database, queues=kept()) as survivor:
        other = Emulator(database, queues=kept()).start()
        other.create(QUEUE, target.url, "orphan")
        target.wait(1)
        other.kill()
        target.wait(2, timeout_s=8)
        slow.set()
        wait_for(lambda: not list(survivor.client.list_tasks(parent=QUEUE)))


def test_a_stop_is_quick_and_leaves_what_it_cut_off_to_the_next_process(database: str, target: Target) -> None:
    slow = threading.Event()
    target.script = lambda _, before: slow.wait(20) and 200 if before == 0 else 200
    with running(database, queues=kept(max_concurrent_dispatches=1)) as emulator:
        emulator.create(QUEUE, target.url, "cut")
        emulator.create(QUEUE, target.url, "waiting")
        target.wait(1)
        begun = time.monotonic()
        emulator.end(signal.SIGTERM)
        assert time.monotonic() - begun < 5
        slow.set()
        emulator.start()
        deliveries = target.wait(3)
        retries = {delivery.task_id: delivery.headers["X-CloudTasks-TaskRetryCount"] for delivery in deliveries[1:]}
        assert retries == {"cut": "1", "waiting": "0"}


def test_schedules_counts_and_pauses_survive_a_restart(database: str, target: Target) -> None:
    target.script = lambda _, before: 500 if before < 2 else 200
    with running(database, queues=kept()) as emulator:
        task = emulator.create(QUEUE, target.url, "retried")
        target.wait(2)
        wait_for(lambda: emulator.client.get_task(name=task.name).response_count == 2)
        emulator.client.pause_queue(name=QUEUE)
        emulator.create(QUEUE, target.url, "paused", after_s=0.2)
        emulator.stop()
        emulator.start()
        time.sleep(0.6)
        assert len(target.deliveries) == 2
        emulator.client.resume_queue(name=QUEUE)
        deliveries: list[Delivery] = target.wait(4)
        assert {delivery.task_id: delivery.headers["X-CloudTasks-TaskRetryCount"] for delivery in deliveries[2:]}["paused"] == "0"
        assert [delivery.headers["X-CloudTasks-TaskRetryCount"] for delivery in target.of("retried")][:3] == ["0", "1", "2"]


def test_a_backlog_is_worked_off_with_little_memory(database: str, target: Target) -> None:
    with running(database, queues=kept(max_concurrent_dispatches=20)) as emulator:
        emulator.client.pause_queue(name=QUEUE)
        for _ in range(6):
            tasks = [{"parent": QUEUE, "task": {"http_request": {"url": target.url, "body": b"x" * 1000}}}] * 100
            emulator.client.batch_create_tasks(parent=QUEUE, requests=tasks).result()
        emulator.client.resume_queue(name=QUEUE)
        deliveries = target.wait(600, timeout_s=30)
        assert len({delivery.task_id for delivery in deliveries}) == 600
        wait_for(lambda: not list(emulator.client.list_tasks(parent=QUEUE)))
        assert emulator.resident_mib < 110


def test_a_file_that_cannot_be_used_is_refused_with_a_sentence(database: str, tmp_path: Path) -> None:
    file = tmp_path / "queues.json"
    file.write_text(json.dumps([{"name": QUEUE, "max_attempt": 3}]))
    process = Emulator(database).spawn("--queues", str(file))
    _, words = process.communicate(timeout=20)
    assert process.returncode == 2
    assert f"queue {QUEUE}: max_attempt = 3 is not known" in words


def test_a_port_that_is_taken_is_refused(emulator: Emulator, database: str) -> None:
    process = Emulator(database).spawn("--listen", emulator.address)
    assert process.communicate(timeout=20)[0] == ""
    assert process.returncode == 1


def test_the_database_password_is_not_in_what_it_says(database: str) -> None:
    process = Emulator(database.replace("@127.0.0.1", "-wrong@127.0.0.1")).spawn()
    _, words = process.communicate(timeout=20)
    assert process.returncode == 1
    assert str(arguments(database)["password"]) not in words

"""What a caller of the API gets, through the google client."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import pytest
from google.api_core import exceptions
from google.cloud import tasks_v2
from google.iam.v1 import iam_policy_pb2  # type: ignore[import-untyped]
from google.protobuf import field_mask_pb2

from tests.support.cloudtasks import LOCATION, Emulator, Target, after, moment, running, wait_for

NOWHERE = "http://127.0.0.1:9/"
NO_QUEUE = "Queue does not exist. If you just created the queue, wait at least a minute for the queue to initialize."
HALF_AN_HOUR = 1800


def sleeping(emulator: Emulator, queue: str, task_id: str = "", **request: object) -> tasks_v2.Task:
    return emulator.create(queue, NOWHERE, task_id, after_s=HALF_AN_HOUR, **request)


def test_a_name_that_lives_is_taken(emulator: Emulator) -> None:
    queue = emulator.queue()
    sleeping(emulator, queue, "one")
    with pytest.raises(exceptions.AlreadyExists, match="Requested entity already exists"):
        sleeping(emulator, queue, "one")


def test_a_name_that_was_used_stays_blocked_for_its_time_and_is_free_after_it(database: str, target: Target) -> None:
    with running(database, "--tombstone-s", "3") as emulator:
        queue = emulator.queue()
        done = emulator.create(queue, target.url, "done")
        deleted = sleeping(emulator, queue, "deleted")
        emulator.client.delete_task(name=deleted.name)
        target.wait(1)
        wait_for(lambda: not list(emulator.client.list_tasks(parent=queue)))
        ended = time.monotonic()
        for task_id in ("done", "deleted"):
            with pytest.raises(exceptions.AlreadyExists):
                emulator.create(queue, target.url, task_id)
        with pytest.raises(exceptions.NotFound, match="though a task with this name existed recently"):
            emulator.client.get_task(name=done.name)

        def created(task_id: str) -> bool:
            with contextlib.suppress(exceptions.AlreadyExists):
                return bool(emulator.create(queue, target.url, task_id))
            return False

        wait_for(lambda: created("done"))
        assert time.monotonic() - ended > 2.5
        wait_for(lambda: created("deleted"))
        target.wait(3)


def test_the_same_name_asked_for_many_times_at_once_is_created_once(emulator: Emulator, target: Target) -> None:
    queue = emulator.queue()
    same = [{"parent": queue, "task": {"name": f"{queue}/tasks/same", "http_request": {"url": target.url}}}] * 20
    operation = emulator.client.batch_create_tasks(parent=queue, requests=same)
    assert len(operation.result().tasks) == 1
    assert len(operation.metadata.failed_requests) == 19
    target.wait(1)
    time.sleep(0.1)
    assert len(target.deliveries) == 1


def test_a_task_without_a_name_gets_one(emulator: Emulator) -> None:
    queue = emulator.queue()
    names = {sleeping(emulator, queue).name for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith(f"{queue}/tasks/") for name in names)


def test_nothing_is_created_in_a_queue_that_is_not_there(emulator: Emulator) -> None:
    with pytest.raises(exceptions.NotFound, match=NO_QUEUE):
        emulator.create(f"{LOCATION}/queues/absent", NOWHERE)
    for call in (emulator.client.get_queue, emulator.client.pause_queue, emulator.client.resume_queue, emulator.client.purge_queue):
        with pytest.raises(exceptions.NotFound, match=NO_QUEUE):
            call(name=f"{LOCATION}/queues/absent")


Change = Callable[[tasks_v2.Task, str], object]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda task, queue: setattr(task, "name", f"{queue}/tasks/not a valid id"), 'Task ID "not a valid id" can contain only letters'),
        (lambda task, queue: setattr(task, "name", f"{queue}/tasks/{'a' * 501}"), "Task ID must between 1 and 500 characters"),
        (lambda task, queue: setattr(task, "name", f"{queue}-other/tasks/a"), "must be the same as the queue name in the named task"),
        (lambda task, _: setattr(task, "name", "tasks/a"), "Task name must be formatted"),
        (lambda task, _: setattr(task.http_request, "url", ""), "HttpRequest.url is required"),
        (lambda task, _: setattr(task.http_request, "url", "ftp://x"), "must start with 'http://' or 'https://'"),
        (lambda task, _: setattr(task.http_request, "url", "http://" + "x" * 2083), "at most 2083"),
        (lambda task, _: setattr(task, "schedule_time", moment(time.time() + 31 * 86400)), "no more than 720h in the future"),
        (lambda task, _: setattr(task, "dispatch_deadline", {"seconds": 14}), r"must be between \[15s, 30m\]"),
        (lambda task, _: setattr(task, "dispatch_deadline", {"seconds": 1801}), r"must be between \[15s, 30m\]"),
        (lambda task, _: setattr(task, "http_request", {"url": NOWHERE, "http_method": "GET", "body": b"x"}), "only if the HTTP method is"),
        (lambda task, _: setattr(task.http_request, "headers", {"A": "b\r\nC: d"}), "name or value that HTTP does not allow"),
        (lambda task, _: setattr(task.http_request, "headers", {"A": "b" * 82000}), "smaller than 80KB"),
    ],
)
def test_what_the_service_does_not_take_is_refused_with_its_sentence(emulator: Emulator, change: Change, sentence: str) -> None:
    queue = emulator.queue()
    task = tasks_v2.Task(http_request={"url": NOWHERE})
    change(task, queue)
    with pytest.raises(exceptions.InvalidArgument, match=sentence):
        emulator.client.create_task(parent=queue, task=task)


def test_a_bad_queue_name_is_refused(emulator: Emulator) -> None:
    for name in (f"{LOCATION}/queues/under_score", f"{LOCATION}/queues/{'a' * 101}", "queues/a"):
        with pytest.raises(exceptions.InvalidArgument, match="Queue name must be formatted"):
            emulator.create(name, NOWHERE)


def test_a_task_may_be_as_long_as_the_service_allows_and_no_longer(emulator: Emulator) -> None:
    queue = emulator.queue()
    wanted = (1 << 20) - 7
    stored = tasks_v2.Task.pb(emulator.client.create_task(request={"parent": queue, "response_view": 2, "task": big(queue, "probe", 1_000_000)}))
    stored.ClearField("view")
    spare = wanted - stored.ByteSize()
    emulator.client.create_task(parent=queue, task=big(queue, "exact", 1_000_000 + spare))
    with pytest.raises(exceptions.InvalidArgument, match="Task size too large"):
        emulator.client.create_task(parent=queue, task=big(queue, "above", 1_000_000 + spare + 1))


def big(queue: str, task_id: str, size: int) -> tasks_v2.Task:
    # A time with as many digits as it takes, so that all three are equally long.
    return tasks_v2.Task(name=f"{queue}/tasks/{task_id}", http_request={"url": NOWHERE, "body": b"x" * size}, schedule_time=moment(int(time.time()) + 999))


def test_only_the_full_view_shows_the_body(emulator: Emulator) -> None:
    queue = emulator.queue()
    task = sleeping(emulator, queue, body=b"secret", headers={"A": "b"})
    assert task.http_request.body == b""
    assert task.view == tasks_v2.Task.View.BASIC
    assert dict(task.http_request.headers) == {"A": "b", "User-Agent": "Google-Cloud-Tasks"}
    full = emulator.client.get_task(request={"name": task.name, "response_view": tasks_v2.Task.View.FULL})
    assert full.http_request.body == b"secret"
    assert full.http_request.http_method == tasks_v2.HttpMethod.POST
    assert full.dispatch_deadline.total_seconds() == 600
    assert full.create_time.microsecond == 0


def test_tasks_are_listed_page_by_page(emulator: Emulator) -> None:
    queue, other = emulator.queue(), emulator.queue()
    names = {sleeping(emulator, queue).name for _ in range(7)}
    sleeping(emulator, other)
    pages = list(emulator.client.list_tasks(request={"parent": queue, "page_size": 3}).pages)
    assert [len(page.tasks) for page in pages] == [3, 3, 1]
    assert {task.name for page in pages for task in page.tasks} == names
    with pytest.raises(exceptions.InvalidArgument):
        emulator.client.list_tasks(request={"parent": queue, "page_token": "?"})


def test_a_deleted_task_is_not_sent(emulator: Emulator, target: Target) -> None:
    queue = emulator.queue()
    task = emulator.create(queue, target.url, "gone", after_s=0.3)
    emulator.client.delete_task(name=task.name)
    time.sleep(0.6)
    assert not target.deliveries
    for call in (emulator.client.delete_task, emulator.client.get_task, emulator.client.run_task):
        with pytest.raises(exceptions.NotFound, match="no longer exists"):
            call(name=task.name)
        with pytest.raises(exceptions.NotFound, match="Requested entity was not found"):
            call(name=f"{queue}/tasks/never")


def test_a_task_deleted_on_its_way_is_not_sent_again(emulator: Emulator, target: Target) -> None:
    target.script = lambda *_: after(0.3, 500)
    task = emulator.create(emulator.queue(), target.url, "late")
    target.wait(1)
    emulator.client.delete_task(name=task.name)
    time.sleep(0.8)
    assert len(target.deliveries) == 1


def test_a_task_can_be_sent_ahead_of_its_time_even_from_a_paused_queue(emulator: Emulator, target: Target) -> None:
    target.script = lambda _, before: 500 if before == 0 else 200
    queue = emulator.queue()
    emulator.client.pause_queue(name=queue)
    task = emulator.create(queue, target.url, "forced", after_s=HALF_AN_HOUR)
    shown = emulator.client.run_task(name=task.name)
    assert shown.dispatch_count == 1
    target.wait(1)
    failed = wait_for(lambda: (shown := emulator.client.get_task(name=task.name)).response_count and shown)
    assert failed.last_attempt.response_status.message == "INTERNAL(13): HTTP status code 500"
    assert failed.schedule_time.timestamp() < time.time() + 5
    emulator.client.run_task(name=task.name)
    target.wait(2)


def test_a_paused_queue_takes_tasks_and_sends_none(emulator: Emulator, target: Target) -> None:
    queue = emulator.queue()
    assert emulator.client.pause_queue(name=queue).state == tasks_v2.Queue.State.PAUSED
    for index in range(5):
        emulator.create(queue, target.url, f"t{index}")
    time.sleep(0.3)
    assert not target.deliveries
    assert emulator.client.resume_queue(name=queue).state == tasks_v2.Queue.State.RUNNING
    assert {delivery.task_id for delivery in target.wait(5)} == {f"t{index}" for index in range(5)}


def test_a_purged_queue_is_empty_and_goes_on(emulator: Emulator, target: Target) -> None:
    queue = emulator.queue()
    emulator.client.pause_queue(name=queue)
    for index in range(5):
        emulator.create(queue, target.url, f"t{index}")
    sleeping(emulator, queue, "later")
    purged = emulator.client.purge_queue(name=queue)
    assert abs(purged.purge_time.timestamp() - time.time()) < 10
    assert not list(emulator.client.list_tasks(parent=queue))
    emulator.client.resume_queue(name=queue)
    emulator.create(queue, target.url, "new")
    target.wait(1)
    time.sleep(0.2)
    assert [delivery.task_id for delivery in target.deliveries] == ["new"]
    with pytest.raises(exceptions.AlreadyExists):
        emulator.create(queue, target.url, "t1")


def test_a_batch_says_what_failed(emulator: Emulator, target: Target) -> None:
    queue = emulator.queue()
    requests = [{"parent": queue, "task": {"http_request": {"url": url}}} for url in (target.url, "nonsense", target.url)]
    operation = emulator.client.batch_create_tasks(parent=queue, requests=requests)
    assert operation.done()
    assert len(operation.result().tasks) == 2
    assert operation.metadata.state.name == "PARTIALLY_SUCCEEDED"
    assert operation.metadata.failed_requests[1].code == 3
    target.wait(2)
    with pytest.raises(exceptions.Aborted, match="None of the requests succeeded"):
        emulator.client.batch_create_tasks(parent=queue, requests=requests[1:2]).result()
    with pytest.raises(exceptions.InvalidArgument):
        emulator.client.batch_create_tasks(parent=queue, requests=requests[:1] * 101)


def test_many_tasks_are_deleted_at_once(emulator: Emulator) -> None:
    queue = emulator.queue()
    names = [sleeping(emulator, queue).name for _ in range(3)]
    operation = emulator.client.batch_delete_tasks(parent=queue, names=[*names, f"{queue}/tasks/never"])
    assert operation.metadata.failed_requests[3].code == 5
    assert not list(emulator.client.list_tasks(parent=queue))


def test_a_queue_has_the_defaults_of_the_service(emulator: Emulator) -> None:
    name = f"{LOCATION}/queues/defaults"
    queue = emulator.client.create_queue(parent=LOCATION, queue={"name": name})
    rates, retry = queue.rate_limits, queue.retry_config
    assert (rates.max_dispatches_per_second, rates.max_burst_size, rates.max_concurrent_dispatches) == (500, 100, 1000)
    assert (retry.max_attempts, retry.max_doublings) == (100, 16)
    assert (retry.min_backoff.total_seconds(), retry.max_backoff.total_seconds()) == (0.1, 3600)
    assert emulator.client.get_queue(name=name) == queue
    with pytest.raises(exceptions.AlreadyExists, match="Queue already exists"):
        emulator.client.create_queue(parent=LOCATION, queue={"name": name})


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"rate_limits": {"max_dispatches_per_second": 501}}, "must be less than or equal to 500"),
        ({"rate_limits": {"max_concurrent_dispatches": 5001}}, "must be less than or equal to 5000"),
        ({"retry_config": {"max_attempts": -2}}, "must be greater or equal to -1"),
        ({"retry_config": {"min_backoff": {"seconds": 5}, "max_backoff": {"seconds": 4}}}, "must be less than or equal to RetryConfig.maxBackoff"),
    ],
)
def test_a_queue_outside_the_limits_is_refused(emulator: Emulator, settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match=sentence):
        emulator.client.create_queue(parent=LOCATION, queue={"name": f"{LOCATION}/queues/outside", **settings})


def test_a_queue_is_changed_by_mask(emulator: Emulator) -> None:
    name = emulator.queue(max_attempts=7)
    changed = emulator.client.update_queue(
        queue={"name": name, "rate_limits": {"max_concurrent_dispatches": 3}, "retry_config": {"max_attempts": 9}},
        update_mask=field_mask_pb2.FieldMask(paths=["rate_limits.max_concurrent_dispatches"]),
    )
    assert (changed.rate_limits.max_concurrent_dispatches, changed.retry_config.max_attempts) == (3, 7)
    assert emulator.client.get_queue(name=name) == changed


def test_a_deleted_queue_is_gone_with_its_tasks(emulator: Emulator, target: Target) -> None:
    queue = emulator.queue()
    emulator.create(queue, target.url, after_s=0.3)
    emulator.client.delete_queue(name=queue)
    with pytest.raises(exceptions.NotFound, match="Requested entity was not found"):
        emulator.client.delete_queue(name=queue)
    with pytest.raises(exceptions.NotFound, match=NO_QUEUE):
        emulator.create(queue, target.url)
    time.sleep(0.6)
    assert not target.deliveries


def test_queues_are_listed_page_by_page(emulator: Emulator) -> None:
    names = {emulator.queue() for _ in range(4)}
    found = list(emulator.client.list_queues(request={"parent": LOCATION, "page_size": 2}))
    assert names <= {queue.name for queue in found}
    assert not list(emulator.client.list_queues(parent="projects/p/locations/elsewhere"))


def test_what_this_server_does_not_have_says_so(emulator: Emulator) -> None:
    queue = emulator.queue()
    with pytest.raises(exceptions.MethodNotImplemented):
        emulator.client.get_iam_policy(request=iam_policy_pb2.GetIamPolicyRequest(resource=queue))
    with pytest.raises(exceptions.MethodNotImplemented, match="App Engine"):
        emulator.client.create_task(parent=queue, task={"app_engine_http_request": {"relative_uri": "/"}})

"""What a target sees of a task, and when."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.api_core import exceptions
from google.cloud import tasks_v2

from tests.support.cloudtasks import Emulator, Target, after, running, wait_for


def cloudtasks_headers(headers: dict[str, str]) -> dict[str, str]:
    return {name.removeprefix("X-CloudTasks-"): value for name, value in headers.items() if name.startswith("X-CloudTasks-")}


def is_over(emulator: Emulator, name: str) -> bool:
    try:
        emulator.client.get_task(name=name)
    except exceptions.NotFound:
        return True
    return False


def test_a_task_arrives_as_it_was_asked_for(emulator: Emulator, target: Target) -> None:
    queue = emulator.queue()
    created = emulator.create(queue, target.url + "?a=1", "first", body=b'{"v":1}', headers={"Content-Type": "application/json", "PGP-Sig": "s"})
    (delivery,) = target.wait(1)
    assert (delivery.method, delivery.path, delivery.body) == ("POST", "/task?a=1", b'{"v":1}')
    assert delivery.headers["Content-Type"] == "application/json"
    assert delivery.headers["PGP-Sig"] == "s"
    assert delivery.headers["User-Agent"] == "Google-Cloud-Tasks"
    due = created.schedule_time.timestamp()
    assert cloudtasks_headers(delivery.headers) == {
        "QueueName": queue.rpartition("/")[2],
        "TaskName": "first",
        "TaskRetryCount": "0",
        "TaskExecutionCount": "0",
        "TaskETA": f"{due:.6f}",
    }


def test_a_task_that_is_due_arrives_within_a_moment(emulator: Emulator, target: Target) -> None:
    queue = emulator.queue()
    for index in range(20):
        emulator.create(queue, target.url, f"t{index}", headers={"Sent": repr(time.time())})
    waits = sorted(delivery.at - float(delivery.headers["Sent"]) for delivery in target.wait(20))
    assert waits[10] < 0.25


def test_no_content_type_is_made_up_and_reserved_headers_cannot_be_forged(emulator: Emulator, target: Target) -> None:
    forged = {"X-CloudTasks-TaskRetryCount": "7", "x-cloudtasks-other": "x", "X-AppEngine-QueueName": "x", "X-Google-A": "x", "Host": "evil", "User-Agent": "x"}
    emulator.create(emulator.queue(), target.url, body=b"x", headers=forged)
    (delivery,) = target.wait(1)
    assert "Content-Type" not in delivery.headers
    assert delivery.headers["Host"] == target.url.split("/")[2]
    assert delivery.headers["User-Agent"] == "Google-Cloud-Tasks"
    assert delivery.headers["X-CloudTasks-TaskRetryCount"] == "0"
    assert not {"x-cloudtasks-other", "X-AppEngine-QueueName", "X-Google-A"} & set(delivery.headers)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_the_method_is_the_one_asked_for(emulator: Emulator, target: Target, method: str) -> None:
    emulator.create(emulator.queue(), target.url, http_method=method)
    assert target.wait(1)[0].method == method


def test_retries_say_which_attempt_they_are(emulator: Emulator, target: Target) -> None:
    answers = [503, 404, 429, 500, 302, 200]
    target.script = lambda _, before: answers[before]
    task = emulator.create(emulator.queue(), target.url, "retried")
    deliveries = target.wait(6)
    seen = [cloudtasks_headers(delivery.headers) for delivery in deliveries]
    assert [one["TaskRetryCount"] for one in seen] == ["0", "1", "2", "3", "4", "5"]
    assert [one["TaskExecutionCount"] for one in seen] == ["0", "0", "1", "2", "2", "3"]
    assert [one.get("TaskPreviousResponse") for one in seen] == [None, "503", "404", "429", "500", "302"]
    assert [one.get("TaskRetryReason") for one in seen] == [None, "", "", "", "", ""]
    assert float(seen[1]["TaskETA"]) > float(seen[0]["TaskETA"])
    wait_for(lambda: is_over(emulator, task.name))
    assert len(target.deliveries) == 6


def test_a_target_that_does_not_answer_is_tried_again(emulator: Emulator, target: Target) -> None:
    queue = emulator.queue()
    address = target.server.server_address
    target.server.server_close()
    task = emulator.create(queue, target.url, "lost")
    wait_for(lambda: emulator.client.get_task(name=task.name).dispatch_count >= 2)
    shown = emulator.client.get_task(name=task.name)
    assert shown.response_count == 0
    assert shown.first_attempt.dispatch_time
    assert shown.last_attempt.dispatch_time >= shown.first_attempt.dispatch_time
    emulator.client.delete_task(name=task.name)
    assert address == target.server.server_address


def test_an_attempt_that_takes_too_long_is_cut_off_and_counts_as_no_execution(database: str, target: Target) -> None:
    with running(database, "--default-deadline-s", "0.3") as emulator:
        target.script = lambda _, before: after(4.0, 200) if before == 0 else 200
        emulator.create(emulator.queue(), target.url)
        first, second = target.wait(2)
    assert 0.3 <= second.at - first.at < 4
    headers = cloudtasks_headers(second.headers)
    assert (headers["TaskRetryCount"], headers["TaskExecutionCount"], headers["TaskPreviousResponse"]) == ("1", "0", "504")


def test_a_task_is_not_sent_before_its_time(emulator: Emulator, target: Target) -> None:
    begun = time.time()
    task = emulator.create(emulator.queue(), target.url, after_s=0.6)
    assert task.schedule_time.timestamp() >= begun + 0.6
    (delivery,) = target.wait(1)
    assert 0.6 <= delivery.at - begun < 5
    assert cloudtasks_headers(delivery.headers)["TaskETA"] == f"{task.schedule_time.timestamp():.6f}"


def test_a_failed_task_waits_longer_each_time(emulator: Emulator, target: Target) -> None:
    target.script = lambda _, before: 500 if before < 4 else 200
    queue = emulator.queue(max_backoff={"seconds": 60}, max_doublings=2)
    emulator.create(queue, target.url)
    times = [delivery.at for delivery in target.wait(5)]
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    for wait, expected in zip(waits, [0.1, 0.2, 0.4, 0.8], strict=True):
        assert wait >= expected - 0.01


def test_a_task_is_given_up_after_its_last_attempt_and_its_name_stays_blocked(emulator: Emulator, target: Target) -> None:
    target.script = lambda *_: 400
    queue = emulator.queue(max_attempts=3)
    task = emulator.create(queue, target.url, "poison")
    wait_for(lambda: is_over(emulator, task.name))
    assert len(target.deliveries) == 3
    with pytest.raises(exceptions.AlreadyExists):
        emulator.create(queue, target.url, "poison")


def test_a_task_may_bring_its_own_retry_limits(emulator: Emulator, target: Target) -> None:
    target.script = lambda *_: 500
    queue = emulator.queue(max_attempts=100)
    task = tasks_v2.Task(name=f"{queue}/tasks/own", http_request={"url": target.url}, retry_config={"max_attempts": 2})
    emulator.client.create_task(parent=queue, task=task)
    wait_for(lambda: is_over(emulator, task.name))
    assert len(target.deliveries) == 2


def test_no_more_tasks_are_on_their_way_than_the_queue_allows(emulator: Emulator, target: Target) -> None:
    target.script = lambda *_: after(0.05, 200)
    queue = emulator.queue(concurrent=2)
    for index in range(60):
        emulator.create(queue, target.url, f"t{index}")
    deliveries = target.wait(60)
    assert target.most_at_once == 2
    assert len({delivery.task_id for delivery in deliveries}) == 60


def test_no_more_tasks_are_sent_a_second_than_the_queue_allows(emulator: Emulator, target: Target) -> None:
    queue = emulator.queue(rate=20)
    for index in range(30):
        emulator.create(queue, target.url, f"t{index}")
    times = [delivery.at for delivery in target.wait(30)]
    assert max(times) - min(times) >= 0.9


def test_an_overloaded_target_is_left_alone_for_as_long_as_it_asks(emulator: Emulator, target: Target) -> None:
    target.script = lambda delivery, before: (503, {"Retry-After": "1"}) if delivery.task_id == "busy" and before == 0 else 200
    queue = emulator.queue()
    emulator.create(queue, target.url, "busy")
    (refused,) = target.wait(1)
    time.sleep(0.1)
    emulator.create(queue, target.url, "other")
    assert min(delivery.at for delivery in target.wait(3)[1:]) - refused.at >= 0.95


def test_a_token_is_signed_when_the_task_asks_and_there_is_a_key(database: str, target: Target, tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    file = tmp_path / "key.pem"
    file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    with running(database, "--oidc-key", str(file)) as emulator:
        queue = emulator.queue()
        emulator.create(queue, target.url, "named", oidc_token={"service_account_email": "a@b.iam", "audience": "https://service"})
        emulator.create(queue, target.url, "default", oidc_token={"service_account_email": "a@b.iam"})
        emulator.create(queue, target.url, "none")
        target.wait(3)
    (named,), (default,), (none,) = target.of("named"), target.of("default"), target.of("none")
    token = named.headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, key.public_key(), algorithms=["RS256"], audience="https://service", issuer="https://accounts.google.com")
    assert (claims["email"], claims["email_verified"]) == ("a@b.iam", True)
    assert jwt.decode(default.headers["Authorization"][7:], key.public_key(), algorithms=["RS256"], audience=target.url)
    assert "Authorization" not in none.headers


def test_no_token_is_sent_without_a_key(emulator: Emulator, target: Target) -> None:
    emulator.create(emulator.queue(), target.url, headers={"Authorization": "mine"}, oidc_token={"service_account_email": "a@b.iam"})
    assert "Authorization" not in target.wait(1)[0].headers

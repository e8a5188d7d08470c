"""The scheduler rings when it is time, signs its calls, and is not stopped by a service that is away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from deploy.emulators import scheduler
from deploy.emulators.scheduler import Bell, Clock, Job
from deploy.local import files, settings
from deploy.local.files import StateDir
from deploy.local.secrets import init
from PGP_COMMON.config import secret_of
from PGP_COMMON.doors import SCHEDULE_TIME
from PGP_COMMON.errors import Misconfigured, Unauthenticated
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.tokens import HEADER, BaseTokenManager

MINUTE = 1_800_000_000 // 60 * 60


class Door(HTTPServer):
    """A schedule door that remembers who knocked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, str]]] = []
        self.status = 200
        super().__init__(("127.0.0.1", 0), Answer)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answer(BaseHTTPRequestHandler):
    server: Door

    def do_POST(self) -> None:
        self.server.calls.append((self.path, dict(self.headers)))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@pytest.fixture
def door() -> Iterator[Door]:
    with Door() as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture
def bell(door: Door, tmp_path: Path) -> Iterator[Bell]:
    state = StateDir.at(tmp_path)
    init(state)
    urls = {job.service.url_setting: door.url for job in scheduler.jobs().values()}
    found = Bell({"SECRETS_FILE": str(state.secrets), **urls})
    yield found
    found.http.close()


def names(jobs: list[Job]) -> set[str]:
    return {job.name for job in jobs}


def clock(**every: float) -> Clock:
    return Clock(scheduler.jobs().values(), {name.replace("_", "-"): seconds for name, seconds in every.items()}, MINUTE + 1)


def test_a_call_carries_a_signature_that_holds_for_its_time_and_for_no_other(bell: Bell, door: Door) -> None:
    job = scheduler.jobs()["sweep"]
    assert bell.ring(job, datetime(2026, 3, 1, 9, 30, 15, tzinfo=UTC)) == 200
    ((path, headers),) = door.calls
    assert path == "/sweep"
    assert headers[SCHEDULE_TIME] == "2026-03-01T09:30:15Z"
    keys = BaseTokenManager(lambda: secret_of(bell.environ, "WEBHOOK_SIGNING_KEY"))
    keys.check(headers[HEADER], audience=job.service.name, subject="sweep/2026-03-01T09:30:15Z", body=b"")
    with pytest.raises(Unauthenticated):
        keys.check(headers[HEADER], audience=job.service.name, subject="sweep/2026-03-01T09:30:16Z", body=b"")


def test_a_refusal_is_told_and_a_door_that_is_away_is_no_error(bell: Bell, door: Door) -> None:
    door.status = 503
    assert bell.ring(scheduler.jobs()["sweep"], datetime.now(UTC)) == 503
    nobody = settings.service_urls(dict.fromkeys([service.name for service in FLEET], 9), "127.0.0.1")
    away = Bell({"WEBHOOK_SIGNING_KEY": secret_of(bell.environ, "WEBHOOK_SIGNING_KEY"), **nobody})
    assert away.ring(scheduler.jobs()["sweep"], datetime.now(UTC)) == 0
    away.http.close()


def test_a_rotated_key_signs_the_next_call(bell: Bell, door: Door) -> None:
    file = Path(bell.environ["SECRETS_FILE"])
    known = files.read_env(file)
    files.write_env(file, {**known, "WEBHOOK_SIGNING_KEY": f"k2:{'ab' * 32},{known['WEBHOOK_SIGNING_KEY']}"}, heading="rotated")
    bell.ring(scheduler.jobs()["sweep"], datetime.now(UTC))
    assert door.calls[0][1][HEADER].startswith("v1=k2:")


def test_a_scheduler_without_an_address_says_which_one_is_missing() -> None:
    with pytest.raises(Misconfigured, match="PGP_ORCHESTRATOR_URL"):
        Bell({})


def test_each_minute_rings_what_its_expression_means_once() -> None:
    found = clock()
    assert found.due(MINUTE + 2) == []
    at_the_next = names(found.due(MINUTE + 60))
    assert {"sweep", "remind"} <= at_the_next
    assert found.due(MINUTE + 61) == []


def test_minutes_that_were_slept_through_are_not_made_up_for() -> None:
    found = clock()
    after_an_hour = [job.name for job in found.due(MINUTE + 3600)]
    assert sorted(after_an_hour) == sorted(set(after_an_hour))


def test_a_shortened_interval_replaces_the_expression() -> None:
    found = clock(check_threshold=5)
    assert found.due(MINUTE + 3) == []
    assert names(found.due(MINUTE + 6)) == {"check-threshold"}
    assert found.due(MINUTE + 7) == []
    assert names(found.due(MINUTE + 11)) == {"check-threshold"}
    quarter = MINUTE - MINUTE % 900 + 900
    found.minute = quarter // 60 - 1
    assert [job.name for job in found.due(quarter)].count("check-threshold") == 1


def test_an_interval_for_a_schedule_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="no such schedule: nothing"):
        clock(nothing=5)


@pytest.mark.parametrize("text", ["sweep=0", "sweep=-1", "sweep=x", "sweep"])
def test_an_interval_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"sweep|could not convert"):
        scheduler.interval(text)


def test_it_rings_until_it_is_told_to_stop(bell: Bell, door: Door) -> None:
    stop = threading.Event()
    found = Clock(scheduler.jobs().values(), {"sweep": 0.05}, 0)
    thread = threading.Thread(target=scheduler.run, args=(bell, found, stop))
    thread.start()
    for _ in range(100):
        if [path for path, _ in door.calls].count("/sweep") >= 2:
            break
        stop.wait(0.05)
    stop.set()
    thread.join(5)
    assert [path for path, _ in door.calls].count("/sweep") >= 2

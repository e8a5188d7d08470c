"""This is the scheduler: knocks at the fleet's schedule doors when their time has come, as Cloud Scheduler does in the cloud."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from deploy.emulators import cron
from PGP_COMMON.config import environment, secret_of
from PGP_COMMON.doors import SCHEDULE_TIME
from PGP_COMMON.errors import Misconfigured
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.manifest import Schedule, Service
from PGP_COMMON.tokens import HEADER, BaseTokenManager

log = logging.getLogger("scheduler")
# A schedule door only writes a row; what takes longer than a request may take is broken.
TIMEOUT_S = 120.0
TICK_S = 0.1


@dataclass(frozen=True)
class Job:
    """One schedule of the manifest and the door it knocks at."""

    schedule: Schedule
    service: Service
    path: str

    @property
    def name(self) -> str:
        """The schedule's name."""
        return self.schedule.name


def jobs() -> dict[str, Job]:
    """Every schedule of the manifest by name."""
    return {route.schedule.name: Job(route.schedule, service, route.path) for service in FLEET for route in service.routes if route.schedule is not None}


class Bell:
    """Makes one signed call."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        """Read addresses; the key is read at each call, so that a rotated one takes effect. Raises Misconfigured for a missing address."""
        self.environ = environment() if environ is None else environ
        missing = sorted({job.service.url_setting for job in jobs().values()} - set(self.environ))
        if missing:
            raise Misconfigured(f"the scheduler cannot start: {', '.join(missing)} missing")
        self.keys = BaseTokenManager(lambda: secret_of(self.environ, "WEBHOOK_SIGNING_KEY"))
        self.http = httpx.Client(timeout=TIMEOUT_S, trust_env=False)

    def ring(self, job: Job, at: datetime) -> int:
        """Call a job's door as of this time and give the status; 0 when nobody answered. A second call for one time changes nothing there."""
        text = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        headers = {SCHEDULE_TIME: text, HEADER: self.keys.sign(job.service.name, f"{job.name}/{text}", b"")}
        try:
            status = self.http.post(self.environ[job.service.url_setting] + job.path, headers=headers).status_code
        except httpx.HTTPError as error:
            log.warning("%s: %s did not answer (%s)", job.name, job.service.name, type(error).__name__)
            return 0
        if status != httpx.codes.OK:
            log.warning("%s: %s answered %d", job.name, job.service.name, status)
        return status


class Clock:
    """Knows which jobs are due: by their cron expression, or every so many seconds where the operator says so."""

    def __init__(self, all_jobs: Iterable[Job], every: Mapping[str, float], now: float) -> None:
        """Take the jobs and the shortened intervals (seconds by name). Raises ValueError for a name nobody knows."""
        self.jobs = {job.name: job for job in all_jobs}
        unknown = set(every) - set(self.jobs)
        if unknown:
            raise ValueError(f"no such schedule: {', '.join(sorted(unknown))}; there are {', '.join(sorted(self.jobs))}")
        self.every = dict(every)
        self.next = {name: now + seconds for name, seconds in self.every.items()}
        self.minute = int(now // 60)

    def due(self, now: float) -> list[Job]:
        """The jobs whose time has come since the last look. Minutes that were slept through are not made up for."""
        found = []
        for name, seconds in self.every.items():
            if now >= self.next[name]:
                self.next[name] = now + seconds
                found.append(self.jobs[name])
        if int(now // 60) > self.minute:
            self.minute = int(now // 60)
            at = datetime.fromtimestamp(now, UTC)
            found += [job for job in self.jobs.values() if job.name not in self.every and cron.matches(job.schedule.cron, at)]
        return found


def run(bell: Bell, clock: Clock, stop: threading.Event) -> None:
    """Ring until told to stop. A job that is still being answered is not rung again."""
    ringing: set[str] = set()

    def ring(job: Job, at: datetime) -> None:
        try:
            bell.ring(job, at)
        except Exception:
            log.exception("%s could not be rung", job.name)
        finally:
            ringing.discard(job.name)

    with ThreadPoolExecutor(max_workers=8) as pool:
        while not stop.wait(TICK_S):
            for job in clock.due(time.time()):
                if job.name not in ringing:
                    ringing.add(job.name)
                    pool.submit(ring, job, datetime.now(UTC))


def interval(text: str) -> tuple[str, float]:
    """Read `name=seconds`."""
    name, _, seconds = text.partition("=")
    if float(seconds) <= 0:
        raise ValueError(text)
    return name, float(seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM. Addresses and the key come from the settings, as for a service."""
    parser = argparse.ArgumentParser(prog="python -m deploy.emulators.scheduler", description=__doc__)
    parser.add_argument("--every", action="append", type=interval, default=[], metavar="NAME=SECONDS", help="ring so often instead of by cron")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        bell, clock = Bell(), Clock(jobs().values(), dict(given.every), time.time())
        log.info("the key %s signs", bell.keys.keys[0].kid)
    except (Misconfigured, ValueError) as error:
        log.error("%s", error)  # noqa: TRY400 - a sentence, not a traceback
        return 2
    log.info("%d schedules", len(clock.jobs))
    run(bell, clock, stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())

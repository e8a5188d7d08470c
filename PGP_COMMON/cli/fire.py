"""Makes the local scheduler's call now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from PGP_COMMON.cli.place import StateOption, state_dir
from PGP_COMMON.errors import BadInput, Busy, Misconfigured


def fire(
    schedule: Annotated[str, typer.Argument(help="the schedule's name, or `list`")],
    state: StateOption = None,
) -> None:
    """Knock at a schedule's door now, as the scheduler does when its time has come."""
    from deploy.emulators import scheduler
    from deploy.local import files

    jobs = scheduler.jobs()
    if schedule == "list":
        for job in jobs.values():
            typer.echo(f"{job.name:24} {job.schedule.cron:14} {job.service.name}{job.path}")
        return
    if schedule not in jobs:
        raise BadInput(f"there is no schedule {schedule!r}; there are {', '.join(jobs)}")
    known = files.read_env(state_dir(state).environment)
    if not known:
        raise Misconfigured("no fleet has been started in this state directory: run `pgp up`")
    status = scheduler.Bell(known).ring(jobs[schedule], datetime.now(UTC))
    if status != 200:  # noqa: PLR2004 - what every schedule door answers
        raise Busy(f"{schedule}: {jobs[schedule].service.name} answered {status or 'nothing'}")
    typer.echo(f"{schedule}: {jobs[schedule].service.name} took it")

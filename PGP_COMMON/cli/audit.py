"""Shows the audit log: who changed money, access or security, from what to what, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from PGP_COMMON.cli.operator import JsonOption, database, settings
from PGP_COMMON.cli.place import StateOption
from PGP_COMMON.cli.printing import say_json, say_table

DAYS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]


def audit(
    *,
    subject: Annotated[str | None, typer.Option(help="only about this: `payout 7`, or every `payout`")] = None,
    actor: Annotated[str | None, typer.Option(help="only what he did")] = None,
    action: Annotated[str | None, typer.Option(help="only this: `payout.release`, or every `payout`")] = None,
    since: Annotated[datetime | None, typer.Option(formats=DAYS, help="only from this time on (UTC)")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="at most so many entries")] = 100,
    as_json: JsonOption = False,
    state: StateOption = None,
) -> None:
    """Show the newest entries first. Nothing in it can be changed or removed."""
    from PGP_COMMON.money_machines import audit as log

    start = None if since is None else since.replace(tzinfo=UTC)
    with database(settings(state)).reading() as tx:
        found = log.entries(tx, subject=subject, actor=actor, action=action, since=start, limit=limit)
    if as_json:
        say_json(found)
        return
    rows = [(one.at, one.actor, one.action, one.subject, one.reason, changes(one.before, one.after)) for one in found]
    say_table(("time", "who", "what", "about", "why", "from → to"), rows, empty="there is no such entry")


def changes(before: dict[str, object] | None, after: dict[str, object] | None) -> str:
    """What an entry changed, in a line."""
    was, now = before or {}, after or {}
    names = [name for name in {**was, **now} if was.get(name) != now.get(name)]
    return ", ".join(f"{name}: {was.get(name, '-')} → {now[name]}" if name in now else f"{name} was {was[name]}" for name in names)

"""This is the doorkeeper: each door's proof, and what a signed message says."""

from __future__ import annotations

import ipaddress
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flask import request

from PGP_COMMON.engine import bury
from PGP_COMMON.errors import PgpError, Unauthenticated
from PGP_COMMON.log import new_correlation
from PGP_COMMON.manifest import Edge, Proof, Route
from PGP_COMMON.tokens import HEADER

if TYPE_CHECKING:
    from PGP_COMMON.runtime import Runtime

SCHEDULE_TIME = "X-CloudScheduler-ScheduleTime"
_CORRELATION = re.compile(r"[0-9a-f]{16}")
_SUBJECT = re.compile(r"[\x21-\x7e]{1,200}")


def correlation_of_request(*, trusted: bool) -> str:
    """The id that our own sender put on the task; a new one for everybody else."""
    given = request.headers.get("X-PGP-Correlation", "")
    return given if trusted and _CORRELATION.fullmatch(given) else new_correlation()


def prove(runtime: Runtime, route: Route) -> None:
    """Raises Unauthenticated unless the caller shows what the route asks for."""
    if route.proof is Proof.NONE:
        return
    if route.proof is Proof.TASK:
        _prove_task(runtime, route)
    elif route.proof is Proof.SCHEDULE:
        _prove_schedule(runtime, route)
    elif route.proof is Proof.OWNER:
        from PGP_COMMON import owner_tokens  # noqa: PLC0415 - only two services know owners

        owner_tokens.check()
    else:
        runtime.module.PROVE[route.proof](runtime)


def account_of_request() -> int:
    """The account whose access token was shown."""
    from PGP_COMMON import owner_tokens  # noqa: PLC0415 - only two services know owners

    return owner_tokens.account_id()


def _read_message(body: bytes) -> tuple[str, str]:
    """The step and subject of a message; empty when it is none."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(said, dict) or set(said) != {"v", "step", "subject"} or said["v"] != 1 or isinstance(said["v"], bool):
        return "", ""
    step, subject = said["step"], said["subject"]
    if not isinstance(step, str) or not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
        return "", ""
    return step, subject


def _prove_task(runtime: Runtime, route: Route) -> None:
    body = request.get_data(cache=True)
    step_name, subject = _read_message(body)
    known = next((step for step in runtime.service.steps if step.name == step_name), None)
    # What we do not know may still be ours, of another revision: the general key tells.
    edge = known.edge if known else Edge.GENERAL
    if edge not in runtime.keys:
        raise Unauthenticated("no signature, or not one of ours")
    runtime.keys[edge].check(request.headers.get(HEADER), audience=runtime.service.name, subject=f"{step_name}/{subject}", body=body)
    _prove_oidc(runtime, route)


def task_message(runtime: Runtime, route: Route) -> tuple[str, str]:
    """What a proven task asks for; a step that does not belong to this route is parked, and the answer is empty."""
    step_name, subject = _read_message(request.get_data(cache=True))
    for step in runtime.service.steps:
        if step.name == step_name and step.route == route.path:
            return step_name, subject
    with runtime.db.reading() as tx:
        bury(
            tx,
            source=f"{runtime.service.name}{route.path}",
            subject=f"{step_name}/{subject}"[:200],
            reason="unknown_step",
            detail={"next": "an old revision's task? run the step by hand"},
        )
    return "", ""


def _prove_schedule(runtime: Runtime, route: Route) -> None:
    if runtime.config.flag("TASK_OIDC"):
        _prove_oidc(runtime, route)
        return
    name = route.schedule.name if route.schedule else ""
    given = request.headers.get(SCHEDULE_TIME, "")
    runtime.keys[Edge.GENERAL].check(request.headers.get(HEADER), audience=runtime.service.name, subject=f"{name}/{given}", body=request.get_data(cache=True))
    schedule_time()


def schedule_time() -> str:
    """When the scheduler meant to call, to the second: the key that makes a second call harmless."""
    given = request.headers.get(SCHEDULE_TIME, "")
    try:
        at = datetime.fromisoformat(given)
    except ValueError as error:
        raise Unauthenticated(f"{SCHEDULE_TIME} is missing or no time") from error
    if at.tzinfo is None:
        raise Unauthenticated(f"{SCHEDULE_TIME} has no zone")
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _prove_oidc(runtime: Runtime, _route: Route) -> None:
    """In the cloud: Google's token for exactly this service, from exactly our account."""
    if not runtime.config.flag("TASK_OIDC"):
        return
    from google.auth.transport.requests import Request  # noqa: PLC0415 - only in the cloud
    from google.oauth2 import id_token  # noqa: PLC0415 - only in the cloud

    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Bearer" or not token:
        raise Unauthenticated("no OIDC token")
    try:
        claims: dict[str, Any] = id_token.verify_oauth2_token(token, Request(), audience=runtime.config.url_of(runtime.service))  # type: ignore[no-untyped-call]
    except Exception as error:
        raise Unauthenticated("the OIDC token does not hold") from error
    if claims.get("email") != runtime.config.text("CLOUD_TASKS_SERVICE_ACCOUNT") or not claims.get("email_verified"):
        raise Unauthenticated("the OIDC token is somebody else's")


def caller_address(runtime: Runtime) -> str:
    """The caller's address for rate limits: the n-th entry of X-Forwarded-For from the right. Never a proof."""
    hops = runtime.config.integer("TRUSTED_PROXY_HOPS")
    forwarded = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",")]
    given = forwarded[-hops] if hops and len(forwarded) >= hops else (request.remote_addr or "")
    try:
        return str(ipaddress.ip_address(given))
    except ValueError:
        return request.remote_addr or "unknown"


def park(runtime: Runtime, error: PgpError) -> None:
    """Keep a signed call that makes no sense, for a person."""
    with runtime.db.reading() as tx:
        bury(
            tx,
            source=f"{runtime.service.name} {request.url_rule.rule if request.url_rule else ''}".strip(),
            subject=new_correlation(),
            reason=error.reason,
            detail={"sentence": str(error), "body": request.get_data(cache=True)[:4096].decode("utf-8", "replace").replace("\x00", "")},
        )

"""This is the web factory: four doors, health, error answers and a correlation id, the same for the whole fleet."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from flask import Flask, Response, current_app, g, jsonify, make_response, request
from werkzeug.exceptions import HTTPException

from PGP_COMMON import doors, failpoints, health, log
from PGP_COMMON.directory import service_named
from PGP_COMMON.errors import BadInput, Busy, Conflict, Forbidden, GiveUp, Lost, NotFound, PgpError, TooMany, TryAgain, Unauthenticated
from PGP_COMMON.manifest import Door, Proof, Route, Service
from PGP_COMMON.runtime import Runtime

logger = log.get(__name__)
# Larger than any message of ours or of a vendor; a webhook of 64 KiB is refused before it is read.
MAX_BODY = 64 * 1024
STATUS: dict[type[GiveUp], int] = {BadInput: 422, NotFound: 404, Conflict: 409, Unauthenticated: 401, Forbidden: 403, TooMany: 429}
TITLES = {
    400: "The request could not be read.",
    404: "There is nothing here.",
    405: "This address does not take that method.",
    413: "That is too much at once.",
    415: "Send JSON.",
    500: "Something broke on our side. It has been noted.",
    503: "We are busy. Please try again in a moment.",
}
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'"
    ),
    "Strict-Transport-Security": "max-age=31536000",
}


def create_app(name: str, environ: Mapping[str, str] | None = None) -> Flask:
    """Build a service's app from its manifest entry; raises Misconfigured with everything that is wrong.

    `name` is the service's name; `environ` replaces the process's environment.
    """
    service = service_named(name)
    runtime = Runtime(service, environ)
    app = Flask(service.name, static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=MAX_BODY, JSON_SORT_KEYS=False, PROPAGATE_EXCEPTIONS=False)
    app.url_map.strict_slashes = True
    app.extensions["pgp"] = runtime
    health.add_routes(app, runtime)
    _add_routes(app, service, runtime)
    _check_routes(app, service)
    app.before_request(_knock)
    app.after_request(_dress)
    app.teardown_request(_leave)
    app.register_error_handler(Exception, _answer_error)
    for prepare in getattr(runtime.module, "PREPARE", ()):
        prepare(app, runtime)
    return app


def runtime() -> Runtime:
    """The process that the current request runs in."""
    return cast("Runtime", current_app.extensions["pgp"])


def _add_routes(app: Flask, service: Service, process: Runtime) -> None:
    """Tasks and schedules are alike everywhere; public and webhook routes come from the service's blueprint."""
    blueprint = getattr(process.module, "blueprint", None)
    if blueprint is not None:
        app.register_blueprint(blueprint)
    for route in service.routes:
        if route.door is Door.TASK:
            app.add_url_rule(route.path, f"task {route.path}", _task_view(route), methods=["POST"])
        elif route.door is Door.SCHEDULE:
            app.add_url_rule(route.path, f"schedule {route.path}", _schedule_view(route), methods=["POST"])


def _check_routes(app: Flask, service: Service) -> None:
    """Refuse a route that the manifest does not declare, and a declared one that nobody serves: deny by default."""
    served = {(rule.rule, method) for rule in app.url_map.iter_rules() for method in rule.methods or () if method not in {"HEAD", "OPTIONS"}}
    declared = {(route.path, method) for route in service.routes for method in route.methods} | {(path, "GET") for path in health.PATHS}
    if served != declared:
        raise RuntimeError(f"{service.name}: routes and manifest differ: {sorted(served ^ declared)}")


def _task_view(route: Route) -> Callable[[], Response]:
    def view() -> Response:
        step, subject = doors.task_message(runtime(), route)
        result = runtime().engine.run(step, subject) if step else "parked"
        return jsonify(result=result)

    return view


def _schedule_view(route: Route) -> Callable[[], Response]:
    def view() -> Response:
        schedule = route.schedule
        if schedule is None:
            raise RuntimeError(f"{route.path} has no schedule")
        with runtime().db.transaction() as tx:
            tx.send(schedule.step, doors.schedule_time())
        return jsonify(result="planned")

    return view


def _route_of_request() -> Route | None:
    rule = request.url_rule.rule if request.url_rule else ""
    for route in runtime().service.routes:
        if route.path == rule and (request.method in route.methods or request.method in {"HEAD", "OPTIONS"}):
            return route
    return None


def _knock() -> Response | None:
    """Before every request: a correlation id, and the door's proof. What has no door in the manifest is not let in."""
    route = _route_of_request()
    g.place = failpoints.here.set(f"door.{runtime().service.short}{route.path}" if route else "")
    g.door = route.door if route else Door.PUBLIC
    g.correlation_token = log.correlation.set(doors.correlation_of_request(trusted=g.door in {Door.TASK, Door.SCHEDULE}))
    if route is None or request.method == "OPTIONS":
        return None
    doors.prove(runtime(), route)
    failpoints.failpoint("proved")
    if route.proof is Proof.OWNER:
        g.account_id = doors.account_of_request()
    return None


def _dress(response: Response) -> Response:
    """After every request: headers that keep browsers careful."""
    failpoints.failpoint("answer")
    for header, value in HEADERS.items():
        response.headers.setdefault(header, value)
    return response


def _leave(_error: BaseException | None) -> None:
    """After everything: the thread's next request begins without a name and a place."""
    if "place" in g:
        failpoints.here.reset(g.pop("place"))
    if "correlation_token" in g:
        log.correlation.reset(g.pop("correlation_token"))


def _answer_error(error: Exception) -> Response:
    """The only table from error to answer: the door decides (docs/architecture.md, Doors)."""
    door = getattr(g, "door", Door.PUBLIC)
    if isinstance(error, HTTPException):
        return problem(error.code or 500, "http", TITLES.get(error.code or 500, error.name))
    if isinstance(error, Busy):
        return problem(503, error.reason, TITLES[503], retry_after_s=error.retry_after_s)
    # What is not in the table is not said for people: its sentence may name what is inside.
    if isinstance(error, Unauthenticated | Forbidden) or (door is Door.PUBLIC and isinstance(error, GiveUp) and _status(error)):
        return problem(_status(error) or 400, error.reason, str(error), retry_after_s=getattr(error, "retry_after_s", None), fields=error.data.get("fields"))
    if isinstance(error, TryAgain | Lost) and door is Door.PUBLIC:
        return problem(503, error.reason, TITLES[503], retry_after_s=getattr(error, "retry_after_s", None) or 5)
    if isinstance(error, PgpError) and door is not Door.PUBLIC:
        # A signed call that makes no sense: recorded, never sent again.
        doors.park(runtime(), error)
        return make_response(jsonify(result="parked", reason=error.reason), 200)
    logger.error("a request broke", exc_info=error, path=request.url_rule.rule if request.url_rule else "", door=door.value)
    return problem(500, "internal", TITLES[500])


def _status(error: GiveUp) -> int | None:
    """The status of an error that people may read, or None."""
    return next((code for kind, code in STATUS.items() if isinstance(error, kind)), None)


def problem(status: int, code: str, sentence: str, *, retry_after_s: int | None = None, fields: Any = None) -> Response:
    """A problem answer (RFC 9457): a stable code and a human sentence."""
    body: dict[str, Any] = {"type": f"urn:pgp:{code}", "title": sentence, "status": status, "code": code}
    if fields:
        body["fields"] = fields
    if log.correlation.get():
        body["instance"] = log.correlation.get()
    response = Response(json.dumps(body, ensure_ascii=False), status=status, content_type="application/problem+json")
    if retry_after_s:
        response.headers["Retry-After"] = str(retry_after_s)
    return response

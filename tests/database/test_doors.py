"""A walk over every route of every service: what comes unsigned, forged, foreign or malformed gets what product.md 9 says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from flask import Flask

from PGP_COMMON.database import BaseDatabaseManager
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.health import PATHS
from PGP_COMMON.manifest import Door, Edge, Proof, Route, Service
from PGP_COMMON.outbox import message
from PGP_COMMON.tokens import HEADER
from PGP_COMMON.web import create_app
from tests.support.queue import SteppingQueue
from tests.support.signing import client, key, ring, signed

ROUTES = [(service, route) for service in FLEET for route in service.routes]
SERVICES = pytest.mark.parametrize("service", FLEET, ids=[service.short for service in FLEET])


def doors(wanted: Callable[[Route], bool]) -> pytest.MarkDecorator:
    """A case for every route of every service that is wanted."""
    found = [(service, route) for service, route in ROUTES if wanted(route)]
    return pytest.mark.parametrize(("service", "route"), found, ids=[f"{service.short} {route.path}" for service, route in found])


PROVED = doors(lambda route: route.proof is not Proof.NONE)
TASKS = doors(lambda route: route.door is Door.TASK)
SCHEDULES = doors(lambda route: route.schedule is not None)
BODIES = [b"", b"{", b"[]", b"null", b'"x"', b"1", b"{}", b"\xff\xfe", b'{"a":' * 5000, b'{"v":1,"v":2}', b'{"update_id":NaN}', b'{"x":"\\ud800\\u0000"}']


def made(service: Service, settings: dict[str, str]) -> Flask:
    app = create_app(service.name, settings)
    SteppingQueue().attach(app)
    return app


def place(route: Route) -> str:
    """A route's path with something in each of its places."""
    return re.sub(r"<int:\w+>", "1", re.sub(r"<(?!int:)\w+>", "x" * 22, route.path))


def everything_stored(db: BaseDatabaseManager) -> int:
    with db.reading() as tx:
        return int(tx.value("SELECT (SELECT count(*) FROM work) + (SELECT count(*) FROM inbox) + (SELECT count(*) FROM failed_transactions)"))


@SERVICES
def test_every_route_that_a_service_serves_is_in_the_manifest_and_asks_for_proof_or_says_why_not(service: Service, settings: dict[str, str]) -> None:
    app = made(service, settings)
    served = {(rule.rule, method) for rule in app.url_map.iter_rules() for method in rule.methods - {"HEAD", "OPTIONS"}}
    assert served == {(route.path, method) for route in service.routes for method in route.methods} | {(path, "GET") for path in PATHS}
    assert all(route.proof is not Proof.NONE or route.public_because for route in service.routes)


@SERVICES
def test_every_service_says_that_it_is_alive_ready_and_what_it_is_for(service: Service, settings: dict[str, str]) -> None:
    app = made(service, settings)
    assert client(app).get("/livez").json == {"alive": True}
    assert client(app).get("/readyz").json == {"ready": True, "database": True, "schema": True}
    assert client(app).get("/health").json["purpose"] == service.purpose


@SERVICES
def test_a_service_without_its_database_is_alive_and_not_ready(service: Service, settings: dict[str, str]) -> None:
    app = made(service, {**settings, "DATABASE_URL": "postgresql+pg8000://nobody:nothing@127.0.0.1:9/nowhere"})
    assert client(app).get("/livez").status_code == 200
    answer = client(app).get("/readyz")
    assert answer.status_code == 503
    assert answer.json["ready"] is False


@PROVED
def test_nobody_without_proof_gets_in_and_nothing_is_written(service: Service, route: Route, settings: dict[str, str], db: BaseDatabaseManager) -> None:
    app = made(service, settings)
    forged = {HEADER: f"v1=k1:{'0' * 64}", "x-nowpayments-sig": "0" * 128, "X-Telegram-Bot-Api-Secret-Token": "guess", "Authorization": "Bearer eyJ.eyJ.x"}
    for headers in ({}, forged):
        for body in (b"{}", b'{"v":1,"step":"work.sweep","subject":"1"}'):
            for method in route.methods:
                answer = client(app).open(place(route), method=method, data=body, headers={**headers, "Content-Type": "application/json"})
                assert answer.status_code == 401, answer.text
                assert answer.content_type == "application/problem+json"
                assert answer.json["code"] == "unauthenticated"
    assert everything_stored(db) == 0


@TASKS
def test_a_message_signed_for_another_service_or_with_another_edges_key_is_refused(
    service: Service, route: Route, settings: dict[str, str], db: BaseDatabaseManager
) -> None:
    app = made(service, settings)
    for step in (step for step in service.steps if step.route == route.path):
        other_edge = Edge.WALLET if step.edge is Edge.GENERAL else Edge.GENERAL
        assert signed(app, route.path, step.name, "1", edge=step.edge, audience="pgp-somebody-else").status_code == 401
        assert signed(app, route.path, step.name, "1", edge=other_edge).status_code == 401
        body = message(step.name, "1")
        good = key(step.edge).sign(service.name, f"{step.name}/1", body)
        for changed in (body + b" ", body.replace(b'"1"', b'"2"'), b'{"subject":"1","step":"' + step.name.encode() + b'","v":1}'):
            assert client(app).post(route.path, data=changed, headers={HEADER: good}).status_code == 401
    assert everything_stored(db) == 0


@TASKS
def test_a_signed_message_about_nothing_we_know_is_kept_for_a_person(service: Service, route: Route, settings: dict[str, str], db: BaseDatabaseManager) -> None:
    app = made(service, settings)
    steps = [step for step in service.steps if step.route == route.path]
    for step in steps:
        answer = signed(app, route.path, step.name, "424242", edge=step.edge)
        assert (answer.status_code, answer.json["result"]) == (200, "unknown")
    assert signed(app, route.path, "step.of.tomorrow", "1", edge=Edge.GENERAL).json["result"] == "parked"
    with db.reading() as tx:
        assert tx.value("SELECT count(*) FROM failed_transactions WHERE reason = 'unknown_work'") == len(steps)
        assert tx.value("SELECT count(*) FROM failed_transactions WHERE reason = 'unknown_step'") == 1


@SCHEDULES
def test_the_scheduler_may_call_twice_and_the_work_is_planned_once(service: Service, route: Route, settings: dict[str, str], db: BaseDatabaseManager) -> None:
    assert route.schedule is not None
    app = made(service, settings)
    for at in ("2026-11-21T10:00:00Z", "2026-11-21T10:00:00Z", "2026-11-21T11:00:00+01:00"):
        assert ring(app, route.path, route.schedule.name, at).json == {"result": "planned"}
    for at in ("", "yesterday", "2026-11-21T10:00:00"):
        assert ring(app, route.path, route.schedule.name, at).status_code == 401
    with db.reading() as tx:
        assert tx.value("SELECT count(*) FROM work WHERE step = :step", step=route.schedule.step) == 1


@SERVICES
def test_whatever_is_sent_nothing_breaks_and_nobody_learns_anything(service: Service, settings: dict[str, str]) -> None:
    app, secret = made(service, settings), settings["WEBHOOK_SIGNING_KEY"]
    for path in {place(route) for route in service.routes}:
        for body in BODIES:
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"):
                answer = client(app).open(path, method=method, data=body, headers={"Content-Type": "application/json"})
                assert answer.status_code < 500, (method, path, body[:40], answer.text)
                assert secret not in answer.text
                if answer.status_code >= 400:
                    assert set(json.loads(answer.text)) >= {"type", "title", "status", "code"}


@SERVICES
def test_an_address_that_nobody_declared_is_not_found_and_a_body_that_is_too_large_is_refused(service: Service, settings: dict[str, str]) -> None:
    app = made(service, settings)
    for path in ("/nothing", "/x//y", "/.env", "/api", "/admin", "/telegram-webhook/", "/%2e%2e/task"):
        assert client(app).get(path).status_code in {404, 405}
    for route in service.routes:
        if "POST" in route.methods and route.door in {Door.TASK, Door.WEBHOOK}:
            assert client(app).post(place(route), data=b"x" * 70_000).status_code in {401, 413}


@SERVICES
def test_every_answer_carries_the_headers_that_keep_browsers_careful(service: Service, settings: dict[str, str]) -> None:
    answer = client(made(service, settings)).get("/livez")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]

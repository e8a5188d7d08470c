"""Messages as our own senders sign them, and as others would like to."""

from __future__ import annotations

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from PGP_COMMON.manifest import Edge
from PGP_COMMON.outbox import message
from PGP_COMMON.tokens import HEADER, BaseTokenManager
from tests.support.settings import generated


def key(edge: Edge) -> BaseTokenManager:
    """An edge's key."""
    return BaseTokenManager(lambda: generated()[edge.value])


def signed(app: Flask, path: str, step: str, subject: str, *, edge: Edge, audience: str = "") -> TestResponse:
    """Deliver a message as the queue would."""
    body = message(step, subject)
    signature = key(edge).sign(audience or app.extensions["pgp"].service.name, f"{step}/{subject}", body)
    return client(app).post(path, data=body, headers={HEADER: signature, "Content-Type": "application/json"})


def ring(app: Flask, path: str, name: str, at: str) -> TestResponse:
    """Call a schedule's door as the scheduler would."""
    signature = key(Edge.GENERAL).sign(app.extensions["pgp"].service.name, f"{name}/{at}", b"")
    return client(app).post(path, headers={HEADER: signature, "X-CloudScheduler-ScheduleTime": at})


def client(app: Flask) -> FlaskClient:
    """A client of an app."""
    return app.test_client()

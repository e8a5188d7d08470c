"""The broadcast service: its steps, and the owners' two routes."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Flask, Response, g, jsonify, make_response, request
from flask_cors import CORS
from werkzeug.exceptions import UnsupportedMediaType

from PGP_BROADCAST_v1 import store
from PGP_BROADCAST_v1.broadcast import steps
from PGP_COMMON import owner_tokens, web
from PGP_COMMON.engine import Flow
from PGP_COMMON.errors import BadInput
from PGP_COMMON.limits import Counters
from PGP_COMMON.runtime import Runtime
from PGP_COMMON.speech import speaker

blueprint = Blueprint("broadcast", __name__)
STEPS: dict[str, Flow] = {"broadcast.plan": {"start": steps.plan_due}, "broadcast.post": {"start": steps.post_once}}
LONGEST_TEXT = 1000
LONGEST_KEY = 64
PAGE = 50


def make_clients(runtime: Runtime) -> steps.Clients:
    """The bot's voice and the counters, as the settings say."""
    return steps.Clients(speaker(runtime), Counters(runtime.db, runtime.config.text("REDIS_URL")))


def prepare(app: Flask, runtime: Runtime) -> None:
    """Verify owners' tokens; exact origins only."""
    owner_tokens.prepare(app, runtime)
    origins = [origin.strip() for origin in runtime.config.text("CORS_ORIGIN").split(",") if origin.strip()]
    if origins:
        CORS(app, resources={r"/api/.*": {"origins": origins}}, methods=["GET", "POST"], allow_headers=["Authorization", "Content-Type", "Idempotency-Key"])


PREPARE = (prepare,)


@blueprint.before_request
def limit() -> None:
    """So many requests a minute for an owner. A browser asks first, without a token, whether it may ask."""
    process = web.runtime()
    if "account_id" in g:
        process.clients.counters.use(f"api:account:{g.account_id}", limit=process.config.integer("API_PER_MINUTE"), window_s=60)


def _form() -> tuple[int, str]:
    """The channel and the text of a post; raises BadInput."""
    if request.mimetype != "application/json":
        raise UnsupportedMediaType
    try:
        body: Any = json.loads(request.get_data())
    except (ValueError, RecursionError) as error:
        raise BadInput("The body is not JSON.") from error
    if not isinstance(body, dict) or set(body) - {"channel_id", "text"} or type(body.get("channel_id")) is not int or not isinstance(body.get("text", ""), str):
        raise BadInput("Send channel_id (a number) and text.", fields={"channel_id": "a number", "text": f"at most {LONGEST_TEXT} characters"})
    text = body.get("text", "").strip()
    if len(text) > LONGEST_TEXT or "\x00" in text or any("\ud800" <= c <= "\udfff" for c in text) or not 0 < body["channel_id"] < 2**62:
        raise BadInput("Some fields need another look.", fields={"text": f"at most {LONGEST_TEXT} characters that can be kept"})
    return body["channel_id"], text


@blueprint.post("/api/broadcasts/manual")
def manual() -> Response:
    channel_id, text = _form()
    key = request.headers.get("Idempotency-Key") or None
    if key is not None and (len(key) > LONGEST_KEY or not key.isascii() or not key.isprintable()):
        raise BadInput(f"Idempotency-Key has at most {LONGEST_KEY} plain characters.")
    process = web.runtime()
    broadcast_id = steps.post_by_hand(process.db, process.config, account_id=g.account_id, channel_id=channel_id, text=text, key=key)
    return make_response(jsonify(id=broadcast_id), 202)


@blueprint.get("/api/broadcasts/history")
def history() -> Response:
    with web.runtime().db.reading() as tx:
        rows = store.history(tx, account_id=g.account_id, limit=PAGE)
    return jsonify(broadcasts=[{**asdict(row), "due_at": row.due_at.isoformat()} for row in rows])

"""Routes of the payment vendor's webhook and of the payment page."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Blueprint, Flask, Response, jsonify, request

from PGP_COMMON import doors, web
from PGP_COMMON.engine import Flow
from PGP_COMMON.errors import BadInput, NotFound
from PGP_COMMON.limits import Counters
from PGP_COMMON.manifest import Proof
from PGP_COMMON.money_machines import inbox, orders
from PGP_NP_IPN_v1 import fence, progress, store

if TYPE_CHECKING:
    from PGP_COMMON.runtime import Runtime

blueprint = Blueprint("np_ipn", __name__)
STEPS: dict[str, Flow] = {}
PROVE = {Proof.NOWPAYMENTS: fence.prove}
PAGE = (Path(__file__).parent / "payment.html").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Clients:
    """What the routes use besides the database."""

    counters: Counters


def make_clients(runtime: Runtime) -> Clients:
    """Build what the routes use."""
    return Clients(Counters(runtime.db, runtime.config.secret("REDIS_URL")))


def prepare(_app: Flask, runtime: Runtime) -> None:
    """Refuse to start with ranges that cannot be read."""
    fence.ranges(runtime.config.text("ALLOWED_IPS"))


PREPARE = (prepare,)


@blueprint.post("/")
@blueprint.post("/webhooks/nowpayments-ipn")
def take_notice() -> Response:
    """Keep a signed notice and answer; everything that follows from it is work."""
    body = request.get_data(cache=True)
    if not body:
        raise BadInput("a signed notice that says nothing")
    inbox.take(web.runtime().db, body)
    return Response("kept", mimetype="text/plain")


@blueprint.get("/payment-processing")
def show_page() -> Response:
    """The payment page. It is the same for everybody: what it shows, it asks for with the view token of its address."""
    bot = html.escape(web.runtime().config.text("TELEGRAM_BOT_USERNAME"))
    return Response(PAGE.replace("{{ bot }}", bot), mimetype="text/html")


@blueprint.get("/api/payment-status/<view_token>")
def show_status(view_token: str) -> Response:
    """Where an order's payment is: a word, and a link if there is something to do."""
    process = web.runtime()
    process.clients.counters.use(f"status:{doors.caller_address(process)}", limit=process.config.integer("STATUS_PER_MINUTE"), window_s=60)
    if not orders.VIEW_TOKEN.fullmatch(view_token):
        raise NotFound("there is no such payment")
    with process.db.reading() as tx:
        found = store.standing(tx, view_token)
    if found is None:
        raise NotFound("there is no such payment")
    return jsonify(state=progress.progress_of(found), link=progress.link_of(found))

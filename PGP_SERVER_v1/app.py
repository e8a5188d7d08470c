"""The bot's service: Telegram's webhook, and its own delayed work."""

from __future__ import annotations

import hmac
import json
from typing import Any

from flask import Blueprint, Flask, Response, jsonify, request

from PGP_COMMON import web
from PGP_COMMON.clients.nowpayments import NowPayments
from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import Flow
from PGP_COMMON.errors import BadInput, Busy, TryAgain, Unauthenticated
from PGP_COMMON.http import Http
from PGP_COMMON.manifest import Proof
from PGP_COMMON.runtime import Runtime
from PGP_COMMON.speech import speaker
from PGP_COMMON.tokens import BaseTokenManager
from PGP_SERVER_v1 import conversation, polling, steps, store, updates

blueprint = Blueprint("server", __name__)
STEPS: dict[str, Flow] = {
    "bot.say": {"start": steps.say_message},
    "invoice.create": {"start": steps.create_invoice},
    "join.decide": {"start": steps.decide_join, "undo": steps.undo_join},
    "link.used": {"start": steps.use_link},
    "entitlement.expire": {"start": steps.expire},
    "members.expire": {"start": steps.plan_expiries},
    "members.remind": {"start": steps.plan_reminders},
    "members.reconcile": {"start": steps.reconcile_members},
}


def make_clients(runtime: Runtime) -> steps.Clients:
    """The bot's voice, the payment vendor and the links' key, as the settings say."""
    config = runtime.config
    nowpayments = NowPayments(Http("nowpayments", config.text("NOWPAYMENTS_URL")), api_key=lambda: config.secret("NOWPAYMENTS_API_KEY"))
    return steps.Clients(speaker(runtime), nowpayments, BaseTokenManager(lambda: config.secret("SUCCESS_URL_SIGNING_KEY")))


def prove_telegram(runtime: Runtime) -> None:
    """Raises Unauthenticated unless the caller shows the secret that we gave Telegram with the webhook."""
    shown = request.headers.get("X-Telegram-Bot-Api-Secret-Token", "")
    if not hmac.compare_digest(shown.encode(), runtime.config.secret("TELEGRAM_WEBHOOK_SECRET").encode()):
        raise Unauthenticated("not from Telegram")


def prepare(_app: Flask, runtime: Runtime) -> None:
    """Fetch updates from a thread, on a machine that Telegram cannot call."""
    if runtime.config.flag("TELEGRAM_POLLING"):
        polling.start(runtime)


PROVE = {Proof.TELEGRAM: prove_telegram}
PREPARE = (prepare,)


@blueprint.post("/telegram-webhook")
def telegram_webhook() -> Response:
    """Take an update; the answer may carry the one call that stops a pressed button's spinner."""
    try:
        body: Any = json.loads(request.get_data())
    except (ValueError, RecursionError) as error:
        raise BadInput("not an update of Telegram") from error
    event = receive(web.runtime(), body)
    if isinstance(event, updates.Pressed):
        return jsonify(method="answerCallbackQuery", callback_query_id=event.query_id)
    return jsonify(ok=True)


def receive(process: Runtime, body: Any) -> updates.Event | None:
    """Take an update once: what it sets in motion commits together with its number. Raises Busy when it has to come again."""
    number = updates.update_id(body)
    event = updates.event(body)

    def take(tx: Transaction) -> None:
        if store.first_time(tx, number) and event is not None:
            conversation.take(tx, conversation.Bot(process.config), event, number=number)

    try:
        process.db.rerun(take)
    except TryAgain as error:
        raise Busy("somebody holds what this update needs") from error
    return event

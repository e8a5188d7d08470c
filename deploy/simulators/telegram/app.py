"""The Bot API's HTTP surface: /bot<token>/<method>, and the control doors of the simulator."""

from __future__ import annotations

import json
import re
import traceback
from pathlib import Path
from typing import Any

from flask import Flask, Request, Response, request

from deploy.simulators.books import Books
from deploy.simulators.desk import Desk
from deploy.simulators.telegram import chats, links, membership, messages, own, params, webhook
from deploy.simulators.telegram.control import doors
from deploy.simulators.telegram.courier import FAULTS, Courier, Pace
from deploy.simulators.telegram.errors import ApiError, refuse
from deploy.simulators.telegram.limits import FloodLimits
from deploy.simulators.telegram.params import Params
from deploy.simulators.telegram.schema import SCHEMA
from deploy.simulators.telegram.telegram import Method, Result, Telegram
from deploy.simulators.telegram.updates import UpdateQueue
from deploy.simulators.telegram.world import Account, World

METHODS: dict[str, Method] = {
    **own.METHODS,
    **messages.METHODS,
    **links.METHODS,
    **membership.METHODS,
    **chats.METHODS,
    **webhook.METHODS,
}
# Method names are not case-sensitive.
NAMES = {name.lower(): name for name in [*METHODS, "getUpdates"]}
PATH = re.compile(r"/bot([^/]*)/([^/]*)/?")
TOKEN = re.compile(r"\d{1,16}:[A-Za-z0-9_-]+")
DAY_S = 86_400.0


class Api:
    """Runs the bot's methods."""

    def __init__(self, telegram: Telegram, limits: FloodLimits | None) -> None:
        """Take the world and, when they are to be enforced, the flood limits."""
        self.telegram = telegram
        self.limits = limits

    def call(self, token: str, method: str, asked: Request) -> tuple[int, dict[str, Any]]:
        """Answer one HTTP request with a status and a body."""
        try:
            self.authorize(token)
            return 200, self.run(method, params.read(asked))
        except ApiError as error:
            return error.code, error.body()

    def authorize(self, token: str) -> None:
        """Refuse another bot's token, or what is none."""
        if not TOKEN.fullmatch(token):
            raise ApiError(404, "Not Found") if not token else ApiError(401, "Unauthorized: invalid token specified")
        if token != self.telegram.world.account.token:
            raise ApiError(401, "Unauthorized")

    def run(self, method: str, given: Params) -> dict[str, Any]:
        """Run a method in one transaction; raises ApiError, and then nothing has happened."""
        name = NAMES.get(method.lower())
        if name is None:
            raise ApiError(404, "Not Found: method not found")
        if name == "getUpdates":
            return {"ok": True, "result": self.telegram.updates.poll(given)}
        if self.limits is not None:
            self.limits.check(name, given.text("chat_id"))
        answer = self.telegram.transact(lambda: METHODS[name](self.telegram, given))
        if isinstance(answer, Result):
            return {"ok": True, "result": answer.value, "description": answer.description}
        return {"ok": True, "result": answer}

    def run_from_answer(self, order: dict[str, Any]) -> None:
        """Run the method that an answer to an update asks for; nobody hears whether it worked."""
        try:
            self.run(str(order["method"]), params.plain({name: value for name, value in order.items() if name != "method"}))
        except ApiError:
            return


def operation_of(asked: Request) -> str | None:
    """Name a request's method as the Bot API writes it."""
    found = PATH.fullmatch(asked.path)
    return NAMES.get(found.group(2).lower()) if found else None


def books_of(world: World) -> dict[str, Any]:
    """Say what the books show."""

    def table(query: str) -> Any:
        return lambda: [parsed(row) for row in world.books.all(query)]

    return {
        "users": table("SELECT * FROM users ORDER BY id"),
        "chats": table("SELECT * FROM chats ORDER BY id"),
        "members": table("SELECT * FROM members ORDER BY chat_id, user_id"),
        "links": table("SELECT * FROM links ORDER BY created, rowid"),
        "joins": table("SELECT * FROM joins ORDER BY id"),
        "messages": table("SELECT * FROM messages ORDER BY date, chat_id, message_id"),
        "callbacks": table("SELECT * FROM callbacks ORDER BY date, rowid"),
        "updates": table("SELECT seq, update_id, kind, queue, created, attempts, ended FROM updates ORDER BY seq"),
    }


def parsed(row: dict[str, Any]) -> dict[str, Any]:
    """Open the JSON that a row carries."""
    return {name: json.loads(value) if name in {"body", "rights", "answer"} and value else value for name, value in row.items()}


def build(
    state_dir: Path,
    account: Account,
    *,
    pace: Pace | None = None,
    update_life_s: float = DAY_S,
    set_webhook_pause_s: float = 1.0,
    enforce_limits: bool = False,
) -> tuple[Flask, Courier]:
    """Make the application and its webhook sender over the books in a directory."""
    books = Books(state_dir / "telegram.sqlite", SCHEMA)
    world = World(books, account)
    telegram = Telegram(world, UpdateQueue(world, update_life_s), set_webhook_pause_s)
    api = Api(telegram, FloodLimits() if enforce_limits else None)
    app = Flask(__name__)

    @app.route("/bot<token>/<method>", methods=["GET", "POST"], strict_slashes=False)
    def call(token: str, method: str) -> Response:
        status, body = api.call(token, method, request)
        return Response(json.dumps(body, ensure_ascii=False), status, content_type="application/json")

    @app.errorhandler(404)
    @app.errorhandler(405)
    def nowhere(error: Exception) -> Response:
        del error
        return Response(json.dumps(ApiError(404, "Not Found").body()), 404, content_type="application/json")

    @app.errorhandler(Exception)
    def broken(error: Exception) -> Response:
        # Flask's own report would name the path, and with it the bot's token.
        traceback.print_exception(error)
        return Response(json.dumps(ApiError(500, "Internal Server Error").body()), 500, content_type="application/json")

    app.register_blueprint(doors(telegram))
    desk = Desk(
        "telegram",
        books_of(world),
        refuse=refuse,
        operation_of=operation_of,
        operations=list(NAMES.values()),
        webhooks=(FAULTS,),
        on_reset=lambda forget: forget_world(telegram, forget=forget),
    )
    courier = Courier(telegram, desk, pace or Pace(), api.run_from_answer)
    return desk.attach(app), courier


def forget_world(telegram: Telegram, *, forget: bool) -> None:
    """Empty the world. The bot's settings stay: its webhook, and the count of updates, which must never go back."""
    if forget:
        with telegram.world.books.write():
            for table in ("users", "chats", "members", "links", "joins", "messages", "callbacks", "updates"):
                telegram.world.books.run(f"DELETE FROM {table}")
        telegram.webhook_changed()

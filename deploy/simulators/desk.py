"""The control door that every simulator has: it arms faults around a vendor's operations and shows the vendor's books.

How a simulator uses it:

    books = Books(state_dir / "books.sqlite", SCHEMA)                       # deploy.simulators.books
    desk = Desk("nowpayments", books={"invoices": lambda: books.all("SELECT ...")}, webhooks=("ipn",), on_reset=forget)
    app = desk.attach(Flask("nowpayments"))                                 # after the vendor's routes or before, either works
    serve(app, port, background=[deliver_webhooks])                         # deploy.simulators.server

`POST /_control/faults {"operation", "mode", "value", "times"}` arms a fault for the next `times` uses (1 when left out, null: until
reset). One use meets one fault, in the order in which they were armed. `GET /_control/faults` lists what is still armed.
`POST /_control/reset` disarms all faults and calls `on_reset(False)`; with `{"books": true}` it calls `on_reset(True)`, which should
also forget everything. `GET /_control/books` is one object with a JSON list per book; `GET /_control/books/<name>` is one list.
`GET /_control/calls` says how often each operation was asked for since the simulator started, `GET /_control/met` which faults were met.

An operation is the vendor's method and path ("POST /v1/invoice", "GET /v1/payment/{id}": the name within braces does not matter), or
what `operation_of(request)` says ("sendMessage"), or a webhook's name. An operation that nobody knows is refused when it is armed.

| mode        | a request to the vendor                                            | value                                             |
|-------------|--------------------------------------------------------------------|---------------------------------------------------|
| status      | answered so, nothing is done                                       | 503, or {"status": 429, ...}: see below           |
| timeout     | nothing is done, no answer until the requester gives up            | seconds it is held at most (30)                   |
| lost_answer | done, then the connection is closed without an answer              | seconds it is held before that (0)                |
| duplicate   | done twice, the second answer is given                             | -                                                 |
| delay       | done after a while                                                 | seconds (1)                                       |
| reorder     | refused: requests have no order of their own                       | -                                                 |

The body of a `status` answer is `refuse(status, value)` (with "operation" added to the value; it may also be a whole Response), so that
each vendor complains in its own words; `{"status": 200, "body": "<p>"}`
sends that text instead. For a webhook the sender asks `desk.take("ipn")` itself and does what the fault's mode says.

Without a server around it (a WSGI client in a test) a lost answer is a ConnectionResetError out of the application.
"""

from __future__ import annotations

import enum
import io
import json
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Flask, Request, jsonify, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CONTROL = "/_control/"
TIMEOUT_S = 30.0

Provider = Callable[[], list[dict[str, Any]]]
Refuse = Callable[[int, Mapping[str, Any]], object]


class Mode(enum.StrEnum):
    """What may go wrong with one use of an operation."""

    STATUS = "status"
    TIMEOUT = "timeout"
    LOST_ANSWER = "lost_answer"
    DUPLICATE = "duplicate"
    DELAY = "delay"
    REORDER = "reorder"


@dataclass
class Fault:
    """One armed fault; `times` counts down, None stays."""

    operation: str
    mode: Mode
    value: Any = None
    times: int | None = 1

    def seconds(self, default: float) -> float:
        """Read `value` as seconds."""
        return default if self.value is None else float(self.value)

    def detail(self) -> dict[str, Any]:
        """Read `value` as what a status answer is made of; "status" is always in it."""
        return self.value if isinstance(self.value, dict) else {"status": int(self.value or HTTPStatus.INTERNAL_SERVER_ERROR)}


class BadFaultError(ValueError):
    """The fault makes no sense."""


def plain_refusal(status: int, detail: Mapping[str, Any]) -> object:
    """Complain in no vendor's words."""
    return {"error": HTTPStatus(status).phrase, **{key: detail[key] for key in detail if key not in {"status", "operation"}}}


class Desk:
    """The control door of one simulator; see the module's docstring."""

    def __init__(
        self,
        name: str,
        books: Mapping[str, Provider],
        *,
        refuse: Refuse = plain_refusal,
        operation_of: Callable[[Request], str | None] | None = None,
        operations: Collection[str] = (),
        webhooks: Collection[str] = (),
        on_reset: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """Take the books to show and how to speak; `operations` names what `operation_of` may answer, when paths are not enough."""
        self.name = name
        self._books = books
        self._refuse = refuse
        self._operation_of = operation_of
        self._operations = set(operations)
        self._webhooks = set(webhooks)
        self._on_reset = on_reset
        self._armed: list[Fault] = []
        self._calls: Counter[str] = Counter()
        self._met: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def attach(self, app: Flask) -> Flask:
        """Give the application its control door and put the faults in front of it."""
        self._app = app
        self._inner = app.wsgi_app
        app.register_blueprint(self._blueprint())
        app.after_request(self._count)
        app.wsgi_app = self._wsgi  # type: ignore[method-assign]
        return app

    def arm(self, order: Mapping[str, Any]) -> Fault:
        """Arm one fault as the door takes it; raises BadFaultError."""
        try:
            operation, mode = same(str(order["operation"])), Mode(order["mode"])
            fault = Fault(operation, mode, order.get("value"), None if order.get("times", 1) is None else int(order.get("times", 1)))
            _ = fault.detail()["status"] if mode is Mode.STATUS else fault.seconds(0)
        except (KeyError, TypeError, ValueError) as error:
            raise BadFaultError("a fault is {operation, mode, value, times}") from error
        hook = operation in self._webhooks
        if mode is Mode.REORDER and not hook:
            raise BadFaultError("only webhooks can be reordered")
        if not hook and operation not in self._known():
            raise BadFaultError(f"no such operation: {operation}")
        with self._lock:
            self._armed.append(fault)
        return fault

    def take(self, operation: str) -> Fault | None:
        """Use up one use of the first fault that is armed for this operation."""
        if not self._armed:
            return None
        operation = same(operation)
        with self._lock:
            for fault in self._armed:
                if fault.operation == operation:
                    self._met[operation, fault.mode.value] += 1
                    if fault.times is not None:
                        fault.times -= 1
                        self._armed = [armed for armed in self._armed if armed.times is None or armed.times > 0]
                    return fault
        return None

    def reset(self, *, books: bool) -> None:
        """Disarm everything and tell the simulator."""
        with self._lock:
            self._armed = []
        self._on_reset(books)

    def _count(self, response: Response) -> Response:
        if not request.path.startswith(CONTROL):
            rule = f"{request.method} {request.url_rule.rule}" if request.url_rule else None
            operation = self._operation_of(request) if self._operation_of else rule
            with self._lock:
                self._calls[same(operation or "unknown")] += 1
        return response

    def _known(self) -> set[str]:
        rules = {same(f"{method} {rule.rule}") for rule in self._app.url_map.iter_rules() for method in rule.methods or ()}
        return rules | self._operations

    def _blueprint(self) -> Blueprint:
        door = Blueprint("control", __name__, url_prefix=CONTROL.rstrip("/"))

        @door.post("/faults")
        def arm() -> Any:
            try:
                return jsonify(asdict(self.arm(request.get_json(force=True))))
            except (BadFaultError, AttributeError) as error:
                return jsonify(error=str(error)), 400

        @door.get("/faults")
        def armed() -> Any:
            return jsonify([asdict(fault) for fault in self._armed])

        @door.post("/reset")
        def reset() -> Any:
            order = request.get_json(force=True, silent=True) or {}
            self.reset(books=order.get("books") is True)
            return jsonify(ok=True)

        @door.get("/calls")
        def calls() -> Any:
            return jsonify(self._calls)

        @door.get("/met")
        def met() -> Any:
            return jsonify([{"operation": operation, "mode": mode, "times": times} for (operation, mode), times in sorted(self._met.items())])

        @door.get("/books")
        def books() -> Any:
            return jsonify({name: provider() for name, provider in self._books.items()})

        @door.get("/books/<name>")
        def book(name: str) -> Any:
            return jsonify(self._books[name]()) if name in self._books else (jsonify(error="no such book"), 404)

        return door

    def _wsgi(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not self._armed or environ.get("PATH_INFO", "").startswith(CONTROL):
            return self._inner(environ, start_response)
        rewind(environ)
        operation = self._operation(environ)
        rewind(environ)
        fault = self.take(operation) if operation else None
        return (self._inner if fault is None else self._around(fault, environ))(environ, start_response)

    def _around(self, fault: Fault, environ: WSGIEnvironment) -> WSGIApplication:
        if fault.mode is Mode.STATUS:
            return self._refusal(fault)
        if fault.mode is Mode.TIMEOUT:
            lose(environ, fault.seconds(TIMEOUT_S))
        if fault.mode is Mode.DELAY:
            time.sleep(fault.seconds(1))
        if fault.mode in {Mode.LOST_ANSWER, Mode.DUPLICATE}:
            Response.from_app(self._inner, environ, buffered=True)
            rewind(environ)
        if fault.mode is Mode.LOST_ANSWER:
            lose(environ, fault.seconds(0))
        return self._inner

    def _refusal(self, fault: Fault) -> Response:
        detail = {"operation": fault.operation, **fault.detail()}
        status = int(detail["status"])
        if "body" in detail:
            return Response(str(detail["body"]), status, content_type=str(detail.get("content_type", "text/html; charset=utf-8")))
        said = self._refuse(status, detail)
        return said if isinstance(said, Response) else Response(json.dumps(said), status, content_type="application/json")

    def _operation(self, environ: WSGIEnvironment) -> str | None:
        if self._operation_of is not None:
            return self._operation_of(Request(environ))
        try:
            rule, _ = self._app.url_map.bind_to_environ(environ).match(return_rule=True)
        except HTTPException:
            return None
        return f"{environ['REQUEST_METHOD']} {rule.rule}"


def same(operation: str) -> str:
    """Write an operation in one way: no query, and {} for whatever a path's variable part is called."""
    out, depth = "", 0
    for sign in operation.partition("?")[0].strip():
        if sign in "<{":
            depth += 1
            out += "{}" if depth == 1 else ""
        elif sign in ">}":
            depth -= 1
        elif depth == 0:
            out += sign
    return out


def rewind(environ: WSGIEnvironment) -> None:
    """Keep the body in memory and put it back at its start."""
    body = environ.get("simulator.body")
    if body is None:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["simulator.body"] = environ["wsgi.input"].read(length) if length else b""
    environ["wsgi.input"] = io.BytesIO(body)


def lose(environ: WSGIEnvironment, hold_s: float) -> None:
    """Hold the requester until he hangs up or the time is over, then drop the connection."""
    connection: socket.socket | None = environ.get("simulator.connection")
    if connection is None:
        time.sleep(hold_s)
    else:
        select.select([connection], [], [], hold_s)
    raise ConnectionResetError("the answer is lost")

"""SendGrid's POST /v3/mail/send (contracts: section 7)."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from deploy.simulators.books import Books
from deploy.simulators.desk import Desk
from deploy.simulators.sendgrid.checks import check, problem

SCHEMA = """
CREATE TABLE IF NOT EXISTS mails (id TEXT PRIMARY KEY, at INTEGER NOT NULL, body TEXT NOT NULL);
"""
LARGEST_MAIL_BYTES = 30 * 1024 * 1024

BAD_KEY = "The provided authorization grant is invalid, expired, or revoked"
UNVERIFIED = (
    "The from address does not match a verified Sender Identity. Mail cannot be sent until this error is resolved. Visit"
    " https://sendgrid.com/docs/for-developers/sending-email/sender-identity/ to see the Sender Identity requirements"
)
USUAL = {
    400: "Bad Request",
    401: "Maximum credits exceeded",
    403: "access forbidden",
    404: "Not Found",
    405: "method not allowed",
    413: "The JSON payload you have included in your request is too large.",
    429: "too many requests",
    500: "internal error",
    503: "service unavailable",
}


def failure(status: int, problems: list[dict[str, Any]]) -> Response:
    """Complain."""
    return Response(json.dumps({"errors": problems}), status, content_type="application/json")


def refuse(status: int, detail: Mapping[str, Any]) -> object:
    """Say what an armed status fault says."""
    return {"errors": [problem(str(detail.get("message") or USUAL.get(status, "error")), detail.get("field"))]}


def build(state_dir: Path, *, api_key: str, verified_senders: Collection[str] = ()) -> Flask:
    """Make the application; with verified senders, mail from anybody else is refused."""
    books = Books(state_dir / "sendgrid.sqlite", SCHEMA)
    app = Flask(__name__)

    @app.post("/v3/mail/send")
    def send() -> Response:
        mail, refused = read(api_key)
        if refused is not None:
            return refused
        if verified_senders and mail["from"]["email"].lower() not in {sender.lower() for sender in verified_senders}:
            return failure(403, [problem(UNVERIFIED, "from")])
        if sandboxed(mail):
            return Response(status=200)
        number = secrets.token_urlsafe(16)
        books.run("INSERT INTO mails VALUES (?, ?, ?)", (number, int(time.time()), json.dumps(mail)))
        return Response(status=202, headers={"X-Message-Id": number})

    @app.errorhandler(HTTPException)
    def complain(error: HTTPException) -> Response:
        return failure(error.code or 500, [problem(USUAL.get(error.code or 500, error.name))])

    def mails() -> list[dict[str, Any]]:
        return [written(row) for row in books.all("SELECT * FROM mails ORDER BY at, rowid")]

    return Desk("sendgrid", {"mails": mails}, refuse=refuse, on_reset=lambda forget: books.wipe() if forget else None).attach(app)


def read(api_key: str) -> tuple[dict[str, Any], Response | None]:
    """Read the mail of a request, or say why not."""
    if request.headers.get("Authorization") != f"Bearer {api_key}":
        return {}, failure(401, [problem(BAD_KEY)])
    if request.mimetype != "application/json":
        return {}, failure(415, [problem("Content-Type should be application/json.")])
    if (request.content_length or 0) > LARGEST_MAIL_BYTES:
        return {}, failure(413, [problem(USUAL[413])])
    mail = request.get_json(silent=True)
    if not isinstance(mail, dict):
        return {}, failure(400, [problem("Bad Request")])
    problems = check(mail)
    return mail, failure(400, problems) if problems else None


def sandboxed(mail: dict[str, Any]) -> bool:
    """Say whether the mail is only to be checked."""
    settings = mail.get("mail_settings")
    mode = settings.get("sandbox_mode") if isinstance(settings, dict) else None
    return isinstance(mode, dict) and mode.get("enable") is True


def written(row: dict[str, Any]) -> dict[str, Any]:
    """Show a mail as its receivers see it, with the whole request beside it."""
    mail = json.loads(row["body"])
    people = [one["email"] for person in mail["personalizations"] for one in person["to"]]
    content = {block["type"]: block["value"] for block in mail.get("content", [])}
    subject = mail.get("subject") or mail["personalizations"][0].get("subject")
    sender = mail["from"]["email"]
    return {"id": row["id"], "at": row["at"], "to": people, "from": sender, "subject": subject, "content": content, "request": mail}

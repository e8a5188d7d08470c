"""What the Bot API answers when it refuses, in its own words (tdlib/telegram-bot-api, Client.cpp and Query.cpp)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PREFIXES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 409: "Conflict", 429: "Too Many Requests"}

# What a fault says when the one who armed it names only the status.
USUAL = {
    400: "Bad Request: chat not found",
    401: "Unauthorized",
    403: "Forbidden: bot was blocked by the user",
    404: "Not Found",
    409: "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}

QUERY_TOO_OLD = "query is too old and response timeout expired or query ID is invalid"
NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message"
)
WEBHOOK_IS_ACTIVE = "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
OTHER_POLLER = "terminated by other getUpdates request; make sure that only one bot instance is running"


class ApiError(Exception):
    """An answer with "ok": false; the HTTP status is the error code."""

    def __init__(self, code: int, description: str, **parameters: int) -> None:
        """Take the code, the whole description, and the fields of `parameters` (retry_after in seconds, migrate_to_chat_id)."""
        super().__init__(description)
        self.code = code
        self.description = description
        self.parameters = parameters

    def body(self) -> dict[str, Any]:
        """Write the answer's body."""
        answer: dict[str, Any] = {"ok": False, "error_code": self.code, "description": self.description}
        return {**answer, "parameters": self.parameters} if self.parameters else answer


def bad_request(what: str, **parameters: int) -> ApiError:
    """Refuse with 400."""
    return ApiError(400, f"Bad Request: {what}", **parameters)


def forbidden(what: str) -> ApiError:
    """Refuse with 403."""
    return ApiError(403, f"Forbidden: {what}")


def conflict(what: str) -> ApiError:
    """Refuse with 409."""
    return ApiError(409, f"Conflict: {what}")


def too_many(retry_after_s: int) -> ApiError:
    """Refuse with 429."""
    return ApiError(429, f"Too Many Requests: retry after {retry_after_s}", retry_after=retry_after_s)


def refuse(status: int, detail: Mapping[str, Any]) -> object:
    """Say what an armed status fault says; `detail` may bring description, retry_after, migrate_to_chat_id."""
    if status == 429:
        return too_many(int(detail.get("retry_after", 5))).body()
    parameters = {key: int(detail[key]) for key in ("retry_after", "migrate_to_chat_id") if key in detail}
    default = "Bad Request: group chat was upgraded to a supergroup chat" if "migrate_to_chat_id" in detail else USUAL.get(status)
    said = str(detail.get("description") or default or PREFIXES.get(status, "Internal Server Error"))
    return ApiError(status, said, **parameters).body()

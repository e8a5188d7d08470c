"""This is the log: one JSON line a record (readable on a terminal), with a correlation id and no secret in it."""

from __future__ import annotations

import contextvars
import logging
import re
import secrets
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

# One id from the first webhook through every task that follows from it.
correlation: contextvars.ContextVar[str] = contextvars.ContextVar("correlation", default="")

# The map's emoji prefix, for people at a terminal.
EMOJI = {"debug": "🔍", "info": "✅", "warning": "⚠️", "error": "❌", "critical": "🚨"}
SEVERITY = {"debug": "DEBUG", "info": "INFO", "warning": "WARNING", "error": "ERROR", "critical": "CRITICAL"}
SECRETS = re.compile(r"(?i)(bearer\s+\S+|bot\d+:[\w-]{30,}|0x[0-9a-f]{64,}|[0-9a-f]{64,}|eyJ[\w-]+\.[\w-]+\.[\w-]+|(?<=api[_-]key=)[^&\s]+|SG\.[\w-]+\.[\w-]+)")
SECRET_NAMES = re.compile(r"(?i)secret|token|password|private|api_?key|signature|authorization")
# Transaction hashes are public and are what an operator looks for.
PUBLIC_NAMES = frozenset({"subject", "tx_hash", "payout_hash", "refund_hash", "mined_hash", "body_sha256"})


def new_correlation() -> str:
    """A fresh correlation id: 16 hexadecimal characters."""
    return secrets.token_hex(8)


def strike_secrets(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace whatever looks like a secret, and every field that is named like one."""
    for key, value in event.items():
        if SECRET_NAMES.search(key):
            event[key] = "***"
        elif isinstance(value, str) and key not in PUBLIC_NAMES:
            event[key] = SECRETS.sub("***", value)
    return event


def _add_correlation(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if correlation.get():
        event["correlation"] = correlation.get()
    return event


def _cloud_severity(_logger: object, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["severity"] = SEVERITY.get(name, "DEFAULT")
    event["message"] = event.pop("event", "")
    return event


def _terminal(_logger: object, name: str, event: MutableMapping[str, Any]) -> str:
    sentence = event.pop("event", "")
    trace = event.pop("exception", "")
    facts = " ".join(f"{key}={value}" for key, value in event.items())
    return f"{EMOJI.get(name, '·')} {sentence} {facts}".rstrip() + (f"\n{trace}" if trace else "")


class _Line:
    """Writes a record to whatever standard output is now."""

    def __init__(self, *_: object) -> None:
        pass

    def msg(self, message: str) -> None:
        sys.stdout.write(message + "\n")
        sys.stdout.flush()

    debug = info = warning = error = critical = exception = msg


def configure(service: str, *, log_format: str = "json") -> None:
    """Set up the process's log: `json` for the cloud, `terminal` for people."""
    last: list[Any] = [_terminal] if log_format == "terminal" else [_cloud_severity, structlog.processors.JSONRenderer(ensure_ascii=False)]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _add_correlation,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.format_exc_info,
            strike_secrets,
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=_Line,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)


def get(name: str) -> Any:
    """A logger that names its module."""
    return structlog.get_logger(module=name)

"""The description of the API, made from the manifest's routes and the forms: for programs and for people."""

from __future__ import annotations

import html
import re
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from PGP_COMMON import deeplinks
from PGP_COMMON.directory import service_named
from PGP_COMMON.manifest import Proof, Route
from PGP_WEBAPI_v1 import forms

BODIES: dict[tuple[str, str], type[BaseModel]] = {
    ("POST", "/api/auth/register"): forms.Register,
    ("POST", "/api/auth/login"): forms.Login,
    ("POST", "/api/auth/refresh"): forms.Token,
    ("POST", "/api/auth/logout"): forms.Token,
    ("POST", "/api/auth/verify-email"): forms.Token,
    ("POST", "/api/auth/forgot-password"): forms.ForgottenPassword,
    ("POST", "/api/auth/reset-password"): forms.ResetPassword,
    ("PUT", "/api/account/password"): forms.PasswordChange,
    ("PATCH", "/api/account"): forms.AccountChange,
    ("POST", "/api/channels"): forms.NewChannel,
    ("PATCH", "/api/channels/<int:channel_id>"): forms.ChannelChange,
    ("POST", "/api/mappings/<int:channel_id>/tiers"): forms.NewTier,
    ("PATCH", "/api/mappings/<int:channel_id>/tiers/<int:tier_id>"): forms.TierChange,
    ("PUT", "/api/payouts/details"): forms.PayoutDetails,
}
SUMMARIES: dict[tuple[str, str], str] = {
    ("POST", "/api/auth/register"): "Register; the answer is the same when the address is taken.",
    ("POST", "/api/auth/login"): "Sign in: an access token for 15 minutes, a refresh token for 30 days.",
    ("POST", "/api/auth/refresh"): "Swap a refresh token for a new pair; each works once.",
    ("POST", "/api/auth/logout"): "End a session.",
    ("POST", "/api/auth/verify-email"): "Confirm an address with the mailed token.",
    ("POST", "/api/auth/forgot-password"): "Ask for a mail that leads to a new password.",
    ("POST", "/api/auth/reset-password"): "Set a new password with the mailed token; every session ends.",
    ("GET", "/api/account"): "Who you are, and when you are paid.",
    ("PATCH", "/api/account"): "Change your name, or when you are paid.",
    ("PUT", "/api/account/password"): "Replace your password; every session ends.",
    ("POST", "/api/account/telegram-link"): "An address that links the Telegram account which opens it, once, within the hour.",
    ("GET", "/api/channels"): "Your channels.",
    ("POST", "/api/channels"): "Register a channel: you and the bot must both be administrators of its open and its closed chat.",
    ("GET", "/api/channels/<int:channel_id>"): "A channel with its tiers.",
    ("PATCH", "/api/channels/<int:channel_id>"): "Change a channel's texts, the way in, or how much an underpayment may be.",
    ("DELETE", "/api/channels/<int:channel_id>"): "Stop selling a channel; its buyers keep what they paid for.",
    ("GET", "/api/channels/<int:channel_id>/links"): "The addresses that open the bot at each offer.",
    ("GET", "/api/mappings/<int:channel_id>/tiers"): "A channel's tiers.",
    ("POST", "/api/mappings/<int:channel_id>/tiers"): "Add a tier.",
    ("PATCH", "/api/mappings/<int:channel_id>/tiers/<int:tier_id>"): "Change a tier; orders that exist keep their price.",
    ("DELETE", "/api/mappings/<int:channel_id>/tiers/<int:tier_id>"): "Withdraw a tier.",
    ("GET", "/api/payouts"): "Your payouts, newest first.",
    ("GET", "/api/payouts/balance"): "What you are owed, by purse and coin.",
    ("GET", "/api/payouts/details"): "Where you are paid, and the change that waits, if one does.",
    ("PUT", "/api/payouts/details"): "Say where you are paid; a change waits 48 hours and is told to you by mail and Telegram.",
    ("GET", "/api/currencies"): "The coins that you can be paid in.",
}
QUERIES: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("GET", "/api/payouts"): [
        {"name": "before", "in": "query", "required": False, "schema": {"type": "integer"}, "description": "The `next` of the page before: only older ones."}
    ],
}
PROBLEM = {
    "description": "A problem (RFC 9457): `code` is stable, `title` is for people.",
    "content": {"application/problem+json": {"schema": {"type": "object"}}},
}
_PLACE = re.compile(r"<(?:int:)?(\w+)>")


def deep_links(bot: str, channel_id: int, tier_ids: list[int]) -> dict[str, Any]:
    """The addresses that open the bot at a channel's offers."""
    return {"donate": deeplinks.donate(bot, channel_id), "subscribe": {str(tier): deeplinks.subscribe(bot, channel_id, tier) for tier in tier_ids}}


def _operation(route: Route, method: str) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": SUMMARIES[method, route.path],
        "operationId": f"{method.lower()}_{re.sub(r'[^a-z0-9]+', '_', route.path.lower()).strip('_')}",
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1}} for name in _PLACE.findall(route.path)),
            *QUERIES.get((method, route.path), []),
        ],
        "responses": {"2XX": {"description": "Done."}, "4XX": PROBLEM, "503": PROBLEM},
        "security": [{"owner": []}] if route.proof is Proof.OWNER else [],
    }
    model = BODIES.get((method, route.path))
    if model is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}},
        }
    return operation


def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    paths: dict[str, dict[str, Any]] = {}
    for route in service_named("pgp-webapi-v1").routes:
        if route.path.startswith("/api/"):
            paths.setdefault(_PLACE.sub(r"{\1}", route.path), {}).update({method.lower(): _operation(route, method) for method in route.methods})
    _, schemas = models_json_schema(
        [(model, "validation") for model in sorted(set(BODIES.values()), key=lambda m: m.__name__)],
        ref_template="#/components/schemas/{model}",
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": "PayGatePrime for owners", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {"owner": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def page() -> str:
    """The same for people: one table."""
    rows = "".join(
        f"<tr><td><code>{method.upper()}</code></td><td><code>{html.escape(path)}</code></td><td>{html.escape(operation['summary'])}</td>"
        f"<td>{'owner' if operation['security'] else 'anybody'}</td></tr>"
        for path, operations in document()["paths"].items()
        for method, operation in operations.items()
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>PayGatePrime API</title>"
        "<style>body{font:16px system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "td,th{padding:.3rem .8rem;text-align:left;border-bottom:1px solid #ddd}</style>"
        "<h1>PayGatePrime API</h1><p>The same as <a href=/openapi.json>openapi.json</a>.</p>"
        f"<table><tr><th>Method<th>Address<th>What it does<th>Who</tr>{rows}</table></html>"
    )

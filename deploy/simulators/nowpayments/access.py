"""Who may ask NOWPayments: the merchant's key, and for lists a token that lives five minutes."""

from __future__ import annotations

import hashlib
import hmac
import time
from functools import wraps
from typing import Any

import jwt
from flask import request

from deploy.simulators.nowpayments.reading import RefusedError, the_vendor

# "JWT lives 5 min" (the vendor's documentation, Authentication).
TOKEN_S = 300


def new_token() -> str:
    """Make a bearer token."""
    claims = {"id": the_vendor().account.email, "exp": int(time.time()) + TOKEN_S}
    return jwt.encode(claims, _token_key(), algorithm="HS256")


def keyed(view: Any) -> Any:
    """Let a request in with the merchant's key only: a wrong one is 403."""

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if not hmac.compare_digest(request.headers.get("x-api-key", "").encode(), the_vendor().account.api_key.encode()):
            raise RefusedError(403)
        return view(*args, **kwargs)

    return checked


def logged_in(view: Any) -> Any:
    """Let a request in with a bearer token from POST /v1/auth as well."""

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Any:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        try:
            jwt.decode(token if scheme == "Bearer" else "", _token_key(), algorithms=["HS256"])
        except jwt.InvalidTokenError as error:
            raise RefusedError(401) from error
        return view(*args, **kwargs)

    return checked


def _token_key() -> bytes:
    return hashlib.sha256(f"{the_vendor().account.api_key}\n{the_vendor().account.password}".encode()).digest()

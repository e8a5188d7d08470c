"""This is the owner's access token: WEBAPI signs it with its Ed25519 key, BROADCAST can only verify it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from flask import Flask, request
from flask_jwt_extended import JWTManager, create_access_token, get_jwt, get_jwt_identity, verify_jwt_in_request
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt.exceptions import PyJWTError

from PGP_COMMON.errors import Unauthenticated

if TYPE_CHECKING:
    from PGP_COMMON.runtime import Runtime

ACCESS_MINUTES = 15
ISSUER = "paygateprime"
AUDIENCE = "pgp-owners"
# Ours have about 400 characters; what is far longer is not read at all.
MAX_HEADER = 4096
_ACCOUNT = re.compile(r"[1-9][0-9]{0,17}")
REFUSED = "sign in first: the access token is missing, over or not ours"


def prepare(app: Flask, runtime: Runtime) -> None:
    """Give the app its keys; only a service that may read the private one can sign."""
    app.config.update(
        JWT_ALGORITHM="EdDSA",
        JWT_DECODE_ALGORITHMS=["EdDSA"],
        JWT_PUBLIC_KEY=runtime.config.text("JWT_PUBLIC_KEY").replace("\\n", "\n"),
        JWT_ACCESS_TOKEN_EXPIRES=timedelta(minutes=ACCESS_MINUTES),
        JWT_ENCODE_ISSUER=ISSUER,
        JWT_DECODE_ISSUER=ISSUER,
        JWT_ENCODE_AUDIENCE=AUDIENCE,
        JWT_DECODE_AUDIENCE=AUDIENCE,
        JWT_TOKEN_LOCATION=["headers"],
    )
    if "JWT_SECRET_KEY" in runtime.config.names:
        app.config["JWT_PRIVATE_KEY"] = runtime.config.secret("JWT_SECRET_KEY").replace("\\n", "\n")
    JWTManager(app)


def issue(account_id: int) -> str:
    """An access token for an account, valid for 15 minutes."""
    return str(create_access_token(identity=str(account_id)))


def check() -> None:
    """Raises Unauthenticated unless the request carries a valid access token."""
    if len(request.headers.get("Authorization", "")) > MAX_HEADER:
        raise Unauthenticated(REFUSED)
    try:
        verify_jwt_in_request()
    except (JWTExtendedException, PyJWTError, ValueError, RecursionError) as error:
        raise Unauthenticated(REFUSED) from error
    claims = get_jwt()
    # The library takes a token without an end, and any kind but "refresh".
    if claims.get("type") != "access" or "exp" not in claims or not _ACCOUNT.fullmatch(get_jwt_identity()):
        raise Unauthenticated(REFUSED)


def account_id() -> int:
    """The account that the verified token names."""
    return int(get_jwt_identity())

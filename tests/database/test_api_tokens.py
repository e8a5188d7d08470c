"""Forged, foreign, old and monstrous access tokens, at both services that take them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from PGP_COMMON import owner_tokens
from tests.support.town import Owner, Town, client

DOORS = [("webapi", "/api/account"), ("broadcast", "/api/broadcasts/history")]


def b64(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(owner: Owner, **more: object) -> dict[str, object]:
    now = int(time.time())
    usual = {"fresh": False, "iat": now, "nbf": now, "exp": now + 600, "jti": "x", "type": "access", "sub": str(owner.account_id)}
    return {**usual, "iss": "paygateprime", "aud": "pgp-owners", **more}


def forged(town: Town, owner: Owner) -> Iterator[tuple[str, str]]:
    """Tokens that are not ours, with what is wrong with each."""
    ours, public = town.settings["JWT_SECRET_KEY"].replace("\\n", "\n"), town.settings["JWT_PUBLIC_KEY"].replace("\\n", "\n")
    other = Ed25519PrivateKey.generate().private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    good = jwt.encode(claims(owner), ours, algorithm="EdDSA")
    head, body, mark = good.split(".")
    for name in ("none", "None", "nOnE"):
        yield f"{b64({'alg': name, 'typ': 'JWT'})}.{b64(claims(owner))}.", f"algorithm {name}"
    yield f"{b64({'alg': 'none'})}.{body}.{mark}", "no algorithm, our signature"
    for key in (public.encode(), public.strip().encode(), b""):
        signed = f"{b64({'alg': 'HS256', 'typ': 'JWT'})}.{b64(claims(owner))}"
        yield f"{signed}.{b64(hmac.new(key, signed.encode(), hashlib.sha256).digest())}", "HS256 with the public key"
    yield jwt.encode(claims(owner), other, algorithm="EdDSA"), "another key"
    for header in (
        {"kid": "../../../../dev/null"},
        {"kid": "' OR 1=1"},
        {"jku": "http://evil.test/keys"},
        {"jwk": {"kty": "OKP"}},
        {"x5u": "http://evil.test"},
    ):
        yield jwt.encode(claims(owner), other, algorithm="EdDSA", headers=header), f"another key with {header}"
    yield f"{head}.{b64(claims(owner, sub='1'))}.{mark}", "another body"
    yield f"{head}.{body}.{mark[:-2]}AA", "another signature"
    yield f"{head}.{body}", "no signature"
    yield good.upper(), "another case"
    wrong = {
        "another audience": {"aud": "somebody-else"},
        "another issuer": {"iss": "evil"},
        "over": {"exp": int(time.time()) - 1},
        "not yet": {"nbf": int(time.time()) + 600},
        "a refresh token": {"type": "refresh"},
        "no kind": {"type": None},
        "a number for a subject": {"sub": 1},
        "no account": {"sub": "x"},
        "an end that is no time": {"exp": "tomorrow"},
        "a list for an issuer": {"iss": ["paygateprime"]},
    }
    for what, change in wrong.items():
        yield signed_by_us(ours, claims(owner, **change)), what
    for left_out in ("aud", "iss", "sub", "exp"):
        yield signed_by_us(ours, {name: value for name, value in claims(owner).items() if name != left_out}), f"no {left_out}"
    yield f"{b64(b'[' * 3000)}.{body}.{mark}", "a header too deep"
    yield f"{b64(b'{' * 300)}.{body}.{mark}", "a header that is none"
    yield f"{head}.{body}.{'A' * 100_000}", "too long"
    yield ".".join("..."), "dots"
    yield "\u00fc", "no ASCII"


def signed_by_us(key: str, body: dict[str, object]) -> str:
    """Sign whatever it is, past the library's own checks."""
    private = serialization.load_pem_private_key(key.encode(), None)
    assert isinstance(private, Ed25519PrivateKey)
    said = f"{b64({'alg': 'EdDSA', 'typ': 'JWT'})}.{b64(body)}"
    return f"{said}.{b64(private.sign(said.encode()))}"


@pytest.mark.parametrize(("service", "path"), DOORS)
def test_every_token_that_is_not_ours_as_it_stands_is_refused_alike(town: Town, service: str, path: str) -> None:
    owner = town.owner()
    answers = set()
    for token, what in forged(town, owner):
        answer = client(town, service).get(path, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401, what
        answers.add(answer.json["code"])
    assert answers == {"unauthenticated"}


@pytest.mark.parametrize(("service", "path"), DOORS)
def test_our_own_token_is_taken_from_the_header_alone(town: Town, service: str, path: str) -> None:
    owner = town.owner()
    token, caller = owner.token(), client(town, service)
    assert caller.get(path, headers={"Authorization": f"Bearer {token}"}).status_code == 200
    for headers in ({"Authorization": token}, {"Authorization": f"Basic {token}"}, {"Authorization": f"Bearer {token} {token}"}, {}):
        assert caller.get(f"{path}?jwt={token}&access_token={token}", headers=headers).status_code == 401
    caller.set_cookie("access_token_cookie", token)
    assert caller.get(path).status_code == 401


def test_the_service_that_posts_cannot_sign(town: Town) -> None:
    owner = town.owner()
    assert "JWT_SECRET_KEY" not in town.apps["broadcast"].extensions["pgp"].config.names
    with town.apps["broadcast"].app_context(), pytest.raises((RuntimeError, ValueError, TypeError, jwt.PyJWTError)):
        owner_tokens.issue(owner.account_id)


def test_a_token_of_an_account_that_is_gone_opens_nothing(town: Town) -> None:
    owner = town.owner()
    owner.account_id = 987_654
    assert owner.api("GET", "/api/account").status_code == 401
    assert owner.api("GET", "/api/broadcasts/history", service="broadcast").json == {"broadcasts": []}

"""This is the identity token: a JWT signed with a local key, with the claims of Google's."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

LIFETIME_S: Final = 3600
# A signature costs about a millisecond, so one token serves many deliveries; a receiver always sees half an hour left.
REUSED_S: Final = 1800


class TokenMint:
    """Signs tokens for a service account and an audience."""

    def __init__(self, key_file: Path, issuer: str) -> None:
        """Read the RSA key (PEM). Raises ValueError or OSError for a file that holds none."""
        key = load_pem_private_key(key_file.read_bytes(), password=None)
        if not isinstance(key, RSAPrivateKey):
            raise ValueError(f"{key_file}: an RSA key is expected")  # noqa: TRY004 - one error for the whole file
        self._key = key
        self._issuer = issuer
        self._made: dict[tuple[str, str], tuple[float, str]] = {}

    def __call__(self, account: str, audience: str) -> str:
        """Give a token that is valid for at least half an hour."""
        now = time.time()
        made_at, token = self._made.get((account, audience), (0.0, ""))
        if now - made_at < REUSED_S:
            return token
        claims = {
            "iss": self._issuer,
            "aud": audience,
            "azp": account,
            "sub": account,
            "email": account,
            "email_verified": True,
            "iat": int(now),
            "exp": int(now) + LIFETIME_S,
        }
        self._made = {key: made for key, made in self._made.items() if now - made[0] < REUSED_S}
        token = jwt.encode(claims, self._key, algorithm="RS256")
        self._made[account, audience] = (now, token)
        return token

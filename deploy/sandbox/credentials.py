"""Makes what the sandbox needs to be known by: every secret of the fleet, the vendors' keys, and the addresses inside the project's network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from deploy.local import secrets, vendors
from PGP_COMMON.rendering import sandbox
from PGP_COMMON.rendering.containers import POSTGRES


def completed(known: Mapping[str, str]) -> dict[str, str]:
    """These secrets with all that was missing made; what is there is kept, so that a second call, or one after a kill, changes nothing."""
    made = {
        **secrets.generate(),
        "DATABASE_URL": f"postgresql+pg8000://pgp:{secrets.letters(32)}@{POSTGRES}:5432/pgp",
        "ETHEREUM_RPC_URL": sandbox.RPC_URLS,
    }
    found = {**made, **{name: value for name, value in known.items() if value}}
    keys = {field.name for field in fields(vendors.Keys)}
    if not keys <= set(found):
        # They belong together: the token's address follows from its owner's key.
        found |= vendors.new_keys()
    return {**found, "USDT_CONTRACT": found["token"]}


def wanted() -> dict[str, tuple[str, ...]]:
    """What each container of the sandbox is given."""
    return sandbox.secrets_of()

"""These are the secrets of a fleet on one machine: generated once, kept in one file for its owner's eyes, good for nothing elsewhere."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from deploy.local import files
from deploy.local.files import StateDir
from PGP_COMMON import public_halves
from PGP_COMMON.settings import CATALOGUE, Kind, Setting

HEADING = "Written by `pgp secrets init`. Never leave this file where others read; a value that you change is kept."
LETTERS = string.ascii_letters + string.digits
# Given by the runner when it knows the address, never kept.
ADDRESSES = ("DATABASE_URL", "ETHEREUM_RPC_URL")


def letters(count: int) -> str:
    """Random letters and digits."""
    return "".join(secrets.choice(LETTERS) for _ in range(count))


def signing_key() -> str:
    """A signing key with its id."""
    return f"k1:{secrets.token_hex(32)}"


def jwt_private_key() -> str:
    """A new Ed25519 key as PEM on one line."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return public_halves.one_line(pem)


# Where a vendor's form is known, the generated value has it, so that a check of form is exercised here too.
BY_NAME: dict[str, Callable[[], str]] = {
    "NOWPAYMENTS_API_KEY": lambda: "-".join(letters(7).upper() for _ in range(4)),
    "NOWPAYMENTS_IPN_SECRET": lambda: letters(32),
    "NOWPAYMENTS_EMAIL": lambda: "operator@paygateprime.test",
    "CHANGENOW_API_KEY": lambda: secrets.token_hex(32),
    "COINGECKO_API_KEY": lambda: f"CG-{letters(24)}",
    "CRYPTOCOMPARE_API_KEY": lambda: secrets.token_hex(32),
    "ONEINCH_API_KEY": lambda: letters(32),
    "TELEGRAM_BOT_TOKEN": lambda: f"{secrets.randbelow(9 * 10**9) + 10**9}:AA{letters(33)}",
    "TELEGRAM_WEBHOOK_SECRET": lambda: letters(48),
    "SENDGRID_API_KEY": lambda: f"SG.{letters(22)}.{letters(43)}",
    "JWT_SECRET_KEY": jwt_private_key,
}
BY_KIND: dict[Kind, Callable[[], str]] = {
    Kind.KEYS: signing_key,
    Kind.PRIVATE_KEY: lambda: f"0x{secrets.token_hex(32)}",
    Kind.TEXT: lambda: letters(32),
}


def wanted(setting: Setting) -> bool:
    """Whether a secret is generated here: not the addresses, and not the Cloud SQL names that a URL replaces."""
    return setting.secret and setting.name not in ADDRESSES and not setting.name.startswith("DATABASE_")


def generate() -> dict[str, str]:
    """A new value for every secret of the catalogue."""
    return {setting.name: BY_NAME.get(setting.name, BY_KIND.get(setting.kind, BY_KIND[Kind.TEXT]))() for setting in CATALOGUE.values() if wanted(setting)}


def init(state: StateDir) -> list[str]:
    """Write what is missing from the secrets file; gives back the names. A second call writes nothing, what is there is kept."""
    known = files.read_env(state.secrets)
    missing = [name for name in generate() if not known.get(name)]
    if missing:
        fresh = generate()
        known |= {name: fresh[name] for name in missing}
        known |= public_halves.of(known)
        files.write_env(state.secrets, known, heading=HEADING)
    return missing

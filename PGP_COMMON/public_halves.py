"""What may be known of two secrets: the wallet's address, and the key that checks access tokens."""

from __future__ import annotations

from collections.abc import Mapping

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key


def one_line(pem: bytes) -> str:
    """PEM with its newlines written as backslash and n, as the catalogue wants it."""
    return pem.decode().strip().replace("\n", "\\n")


def of(values: Mapping[str, str]) -> dict[str, str]:
    """HOST_WALLET_ETH_ADDRESS, HOST_WALLET_USDT_ADDRESS and JWT_PUBLIC_KEY of these secrets. Raises ValueError for a malformed key."""
    from eth_account import Account  # noqa: PLC0415 - half a second, only when secrets are made or handed out

    key = load_pem_private_key(values["JWT_SECRET_KEY"].replace("\\n", "\n").encode(), password=None)
    address = str(Account.from_key(values["HOST_WALLET_PRIVATE_KEY"]).address)
    return {
        "HOST_WALLET_ETH_ADDRESS": address,
        "HOST_WALLET_USDT_ADDRESS": address,
        "JWT_PUBLIC_KEY": one_line(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)),
    }

"""Who plays: four owners, each paid in his own way, and their buyers; new people every time."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

import base58
import bech32

PASSWORD_BYTES = 12


@dataclass
class Owner:
    """One owner with what he gets to know during the play."""

    name: str
    asset: str
    address: str
    email: str
    password: str
    user: dict[str, Any]
    open_chat: int
    closed_chat: int
    token: str = ""
    channel_id: int = 0
    tier_id: int = 0
    links: dict[str, Any] = field(default_factory=dict)


@dataclass
class Buyer:
    """One buyer, whose channel he wants, and the payment that he made."""

    user: dict[str, Any]
    owner: Owner
    donates: bool = False
    invoice_id: str = ""
    payment_id: str = ""

    @property
    def id(self) -> int:
        """His Telegram id, which is also his chat with the bot."""
        return int(self.user["id"])


def address_for(asset: str) -> str:
    """A fresh address that somebody could have: valid to the last checksum digit."""
    raw = secrets.token_bytes(20)
    if asset == "btc":
        return str(bech32.encode("bc", 0, raw))
    if asset == "usdttrc20":
        return base58.b58encode_check(b"\x41" + raw).decode()
    return evm_address(raw)


def evm_address(raw: bytes) -> str:
    """An Ethereum address with its checksum (EIP-55)."""
    from eth_utils.address import to_checksum_address  # noqa: PLC0415 - only the demonstration needs it

    return str(to_checksum_address(raw))


def _person(name: str) -> dict[str, Any]:
    return {"id": 10**9 + secrets.randbelow(10**9), "first_name": name}


def _channel() -> int:
    return -(10**12) - secrets.randbelow(10**10)


OWNERS = (("Alice", "btc"), ("Boris", "eth"), ("Chiara", "usdttrc20"), ("Dao", "usdterc20"))


def owner(name: str, asset: str, *, run: str = "") -> Owner:
    """Somebody new who wants to be paid in this asset; `run` tells the people of one play by their mail addresses."""
    return Owner(
        name,
        asset,
        address_for(asset),
        email=f"{name.lower()}.{run or secrets.token_hex(4)}@example.test",
        password=secrets.token_urlsafe(PASSWORD_BYTES),
        user=_person(name),
        open_chat=_channel(),
        closed_chat=_channel(),
    )


def buyer(name: str, of: Owner, *, donates: bool = False) -> Buyer:
    """Somebody new who wants into this owner's channel, or gives him something."""
    return Buyer(_person(name), of, donates=donates)


def owners() -> list[Owner]:
    """Four owners: paid in BTC, in ETH, in USDT on Tron, and in USDT on Ethereum without a swap."""
    run = secrets.token_hex(4)
    return [owner(name, asset, run=run) for name, asset in OWNERS]


def buyers(of: list[Owner]) -> list[Buyer]:
    """One subscriber for each owner, and somebody who donates to the first."""
    return [*(buyer(f"{each.name}'s reader", each) for each in of), buyer("Friend", of[0], donates=True)]

"""Owners and buyers of a simulated world: who has what to sell, and who pays, joins and waits."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

from PGP_COMMON.addresses import checksummed
from tests.simulation.fleet import SimFleet

BITCOIN = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"


@dataclass
class Owner:
    """An owner with one channel and one tier."""

    id: int
    channel_id: int
    tier_id: int
    open_chat: int
    closed_chat: int
    asset: str
    address: str


@dataclass
class Town:
    """Everybody in one world."""

    fleet: SimFleet
    owners: list[Owner] = field(default_factory=list)
    payments: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)

    def owner(self, asset: str = "btc", *, price: int = 30, days: int = 30, threshold: int = 20, mode: str = "join_request") -> Owner:
        """A new owner, paid in a coin from a threshold (USD) on."""
        number = next(self._numbers)
        address = BITCOIN if asset == "btc" else checksummed(f"0x{self.fleet.dice.getrandbits(160):040x}")
        with self.fleet.db.reading() as tx:
            account = tx.value("INSERT INTO account (email, password_hash) VALUES (:email, 'x') RETURNING id", email=f"o{number}@example.com")
            owner = tx.value(
                "INSERT INTO client_table (account_id, notify_chat_id, payout_threshold_usd) VALUES (:a, :n, :t) RETURNING id",
                a=account,
                n=9000 + number,
                t=threshold,
            )
            tx.run("INSERT INTO payout_details (owner_id, asset, address) VALUES (:o, :asset, :address)", o=owner, asset=asset, address=address)
            opened, closed = -1_000_000 - 2 * number, -1_000_001 - 2 * number
            channel = tx.value(
                """
                INSERT INTO channel (owner_id, open_channel_id, closed_channel_id, open_title, closed_title, access_mode)
                VALUES (:o, :open, :closed, :news, :circle, :mode) RETURNING id
                """,
                o=owner,
                open=opened,
                closed=closed,
                news=f"News {number}",
                circle=f"Circle {number}",
                mode=mode,
            )
            tier = tx.value(
                "INSERT INTO subscription_tier_map (channel_id, position, label, price_usd, days) VALUES (:c, 1, 'Month', :p, :d) RETURNING id",
                c=channel,
                p=price,
                d=days,
            )
        made = Owner(int(owner), int(channel), int(tier), opened, closed, asset, address)
        self.owners.append(made)
        return made

    def buyer(self) -> Buyer:
        """Somebody new on Telegram."""
        return Buyer(self, 40_000 + next(self._numbers))


@dataclass
class Buyer:
    """Somebody who subscribes or donates in the bot."""

    town: Town
    id: int
    paid: dict[str, int] = field(default_factory=dict)

    @property
    def telegram(self) -> Any:
        """The messenger."""
        return self.town.fleet.telegram

    def orders(self, owner: Owner, *, donation: str = "") -> None:
        """Ask the bot for an invoice: a subscription, or a donation of so many USD."""
        if donation:
            self.telegram.writes(self.id, f"/start d_{_base36(owner.channel_id)}")
            self.town.fleet.settle()
            self.telegram.writes(self.id, donation)
        else:
            self.telegram.writes(self.id, f"/start s_{_base36(owner.channel_id)}_{_base36(owner.tier_id)}")

    def invoice(self, *, nth: int = -1) -> str | None:
        """The newest (or the n-th) invoice that he has a link to, by the vendor's id."""
        seen = list(dict.fromkeys(self.telegram.buttons(self.id, "Pay")))
        try:
            return str(seen[nth].rpartition("iid=")[2])
        except IndexError:
            return None

    def pays(self, *, share: str = "1", nth: int = -1, **more: Any) -> int:
        """Send coins for an invoice."""
        fleet = self.town.fleet
        assert fleet.until(lambda: self.invoice(nth=nth) is not None, minutes=60), f"buyer {self.id} never got a link"
        number = fleet.nowpayments.pay(str(self.invoice(nth=nth)), share=share, **more)
        self.town.payments.append(number)
        return number

    def joins(self, owner: Owner) -> bool:
        """Follow the link that he was sent, once he was; gives back whether it lets him in."""
        fleet = self.town.fleet

        def inside() -> bool:
            links = [url for url in self.telegram.buttons(self.id, "Join") if self.telegram.links[url].chat_id == owner.closed_chat]
            if links and not self.is_in(owner) and (owner.closed_chat, self.id) not in self.telegram.requests and not self.telegram.links[links[-1]].revoked:
                self.telegram.follows(self.id, links[-1])
            return self.is_in(owner)

        return fleet.until(inside, minutes=60)

    def is_in(self, owner: Owner) -> bool:
        """Whether Telegram says that he is in."""
        return self.id in self.telegram.members[owner.closed_chat]


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[rest] + digits
    return digits or "0"

"""What the bot says to buyers: short sentences that say what to do next; plain text, so that nobody's name can be markup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from PGP_COMMON.money import plain
from PGP_COMMON.money_machines.owners import Channel, Tier
from PGP_SERVER_v1.members_store import Access

LOWEST, HIGHEST = Decimal("4.99"), Decimal("9999.99")
DONATIONS = (Decimal(5), Decimal(10), Decimal(25), Decimal(50))

WELCOME = "👋 Welcome to PayGatePrime. Here you get into closed channels and can support their owners, paid in crypto."
NOTHING = "There is nothing on offer right now."
GONE = "This offer is no longer there. Send /start to see what is."
LINKED = "✅ Your Telegram account is linked. Sales and payouts are told to you here."
NOT_LINKED = "This link is not valid any more. Make a new one in your account."
PREPARING = "One moment, your payment link is being made…"
ASK_AMOUNT = f"💝 How much would you like to give, in USD? Send a number from {LOWEST} to {HIGHEST}, or press one."
BAD_AMOUNT = f"Please send an amount from {LOWEST} to {HIGHEST}, such as 25 or 12.50."
FAILED = "Your payment link could not be made, and you have paid nothing. We are looking into it; please try again later."
TOO_MANY = "You have asked for many payment links in a short time. Please wait a while and use one of them."
HELP = "Send /start to see what is on offer."


@dataclass(frozen=True)
class Say:
    """One message: its text, and rows of buttons as (label, kind, value) with kind `url` or `data`."""

    text: str
    buttons: Sequence[Sequence[tuple[str, str, str]]] = ()


def menu(channels: Sequence[Channel], having: Sequence[Access] = ()) -> Say:
    """What somebody has, and everything on offer."""
    has = "".join(f"\n✅ {access.title}: until {access.ends_at:%d %B %Y, %H:%M} UTC" for access in having)
    head = f"{WELCOME}\n{has}" if has else WELCOME
    if not channels:
        return Say(f"{head}\n\n{NOTHING}")
    rows = [[(f"📺 {channel.closed_title}"[:60], "data", f"c:{channel.id}")] for channel in channels]
    return Say(f"{head}\n\nChoose a channel:", rows)


def offers(channel: Channel, tiers: Sequence[Tier]) -> Say:
    """A channel's tiers, and its donation."""
    rows = [[(f"{tier.label}: {tier.days} days for ${plain(tier.price_usd)}"[:60], "data", f"b:{channel.id}:{tier.id}")] for tier in tiers]
    rows.append([("💝 Donate", "data", f"d:{channel.id}")])
    about = f"\n{channel.description}" if channel.description else ""
    return Say(f"📺 {channel.closed_title}{about}", rows)


def donation(channel: Channel) -> Say:
    """Ask how much."""
    row = [(f"${plain(amount)}", "data", f"a:{channel.id}:{plain(amount)}") for amount in DONATIONS]
    return Say(f"{channel.closed_title}\n{ASK_AMOUNT}", [row])


def invoice(title: str, price_usd: Decimal, days: int | None, url: str, *, rest: bool) -> Say:
    """Where to pay."""
    what = f"{days} days of {title}" if days else f"your donation to {title}"
    head = f"The rest for {what}: ${plain(price_usd)}." if rest else f"{what[0].upper()}{what[1:]}: ${plain(price_usd)}."
    return Say(f"{head}\nPay in the coin you like; your access follows by itself.", [[("💳 Pay", "url", url)]])


def way_in(access: Access) -> Say:
    """The way into a channel that somebody has access to and is not in."""
    return Say(f"🔑 You have access to {access.title}. This is your way in:", [[("Join", "url", access.link or "")]])

"""What the bot does with an event: rows to write and messages to say, in the transaction that notes the update."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from PGP_COMMON import deeplinks
from PGP_COMMON.database import Transaction
from PGP_COMMON.money_machines import access, orders, owners
from PGP_SERVER_v1 import members_store, store, texts
from PGP_SERVER_v1.updates import AsksToJoin, Event, Person, Presence, Pressed, Written

if TYPE_CHECKING:
    from PGP_COMMON.config import BaseConfigManager

_START = re.compile(r"/start(?:@\w{1,64})?(?:\s+(.*))?", re.DOTALL)
_AMOUNT = re.compile(r"\$?([0-9]{1,4}(?:\.[0-9]{1,2})?)")
HOUR_S = 3600
# A person who needs more payment links than this is a script.
ORDERS_AN_HOUR = 12
# What fits into one message.
CHANNELS_SHOWN, ACCESSES_SHOWN = 20, 10


class Talk(enum.StrEnum):
    """Where a person can stand; the conversation is kept in PostgreSQL, so any instance goes on with it."""

    DONATION_AMOUNT = "donation_amount"  # he was asked how much he gives


@dataclass(frozen=True)
class Bot:
    """What the conversation needs besides its transaction."""

    config: BaseConfigManager


def take(tx: Transaction, bot: Bot, event: Event, *, number: int) -> None:
    """Do what an event asks for; `number` is the update's id."""
    if isinstance(event, Written):
        _written(tx, bot, event)
    elif isinstance(event, Pressed):
        _pressed(tx, bot, event)
    elif isinstance(event, AsksToJoin):
        tx.send("join.decide", f"{event.chat_id}:{event.person.id}:{number}")
    elif isinstance(event, Presence):
        _notice_presence(tx, event, number=number)


def _notice_presence(tx: Transaction, event: Presence, *, number: int) -> None:
    """Keep who is in; a link that was made for one person is worth nothing once somebody came by it, whoever it was."""
    access.note_presence(tx, closed_channel_id=event.chat_id, buyer_id=event.person.id, present=event.present)
    if event.present and event.link:
        used = access.use_link(tx, closed_channel_id=event.chat_id, link=event.link)
        if used is not None:
            tx.send("link.used", f"{used.invite_id}:{event.person.id}:{number}")


def say(tx: Transaction, chat_id: int, what: texts.Say) -> None:
    """Write a message down and ask for it to be said."""
    tx.send("bot.say", store.add_message(tx, chat_id=chat_id, text=what.text, buttons=what.buttons))


def _written(tx: Transaction, bot: Bot, event: Written) -> None:
    person, text = event.person, event.text.strip()
    start = _START.fullmatch(text)
    if start is not None:
        store.end_conversation(tx, person.id)
        _start(tx, bot, person, (start.group(1) or "").strip())
        return
    talk = store.conversation(tx, person.id, lifetime_s=bot.config.integer("BOT_SESSION_TTL_S"))
    if talk is not None and talk.state == Talk.DONATION_AMOUNT:
        _amount(tx, bot, person, int(talk.data["channel_id"]), text)
    else:
        say(tx, person.id, texts.Say(texts.HELP))


def _start(tx: Transaction, bot: Bot, person: Person, payload: str) -> None:
    wish = deeplinks.parse(payload)
    having = members_store.standing(tx, buyer_id=person.id)
    for access_ in having:
        _show_way_in(tx, person, access_)
    if wish.what == "subscribe":
        _buy(tx, bot, person, wish.channel_id, wish.tier_id)
    elif wish.what == "channel":
        _show(tx, person, wish.channel_id)
    elif wish.what == "donate":
        _ask_amount(tx, person, wish.channel_id)
    elif wish.what == "link_owner":
        linked = owners.link_telegram(tx, code=wish.code, user_id=person.id)
        say(tx, person.id, texts.Say(texts.LINKED if linked else texts.NOT_LINKED))
    else:
        say(tx, person.id, texts.menu(owners.active_channels(tx)[:CHANNELS_SHOWN], having[:ACCESSES_SHOWN]))


def _show_way_in(tx: Transaction, person: Person, access_: members_store.Access) -> None:
    """Who has paid and is not in, because he blocked the bot, lost the message or left by mistake, gets back in by himself."""
    if access_.present:
        return
    if access_.usable:
        say(tx, person.id, texts.way_in(access_))
    elif access_.spent:
        # A subject with the hour: one new link an hour, however often he asks.
        tx.send("invite.send", f"{access_.invite_id}/{store.hour(tx)}")


def _pressed(tx: Transaction, bot: Bot, event: Pressed) -> None:
    """Take a button; its data is ours only in form, so every id is looked up again."""
    action, _, rest = event.data.partition(":")
    first, _, second = rest.partition(":")
    if not re.fullmatch(r"[0-9]{1,15}", first):
        return
    if action == "c":
        _show(tx, event.person, int(first))
    elif action == "b" and re.fullmatch(r"[0-9]{1,15}", second):
        _buy(tx, bot, event.person, int(first), int(second))
    elif action == "d":
        _ask_amount(tx, event.person, int(first))
    elif action == "a":
        _amount(tx, bot, event.person, int(first), second)


def _show(tx: Transaction, person: Person, channel_id: int) -> None:
    channel = owners.channel(tx, channel_id)
    say(tx, person.id, texts.offers(channel, owners.tiers(tx, channel_id)) if channel else texts.Say(texts.GONE))


def _ask_amount(tx: Transaction, person: Person, channel_id: int) -> None:
    channel = owners.channel(tx, channel_id)
    if channel is None:
        say(tx, person.id, texts.Say(texts.GONE))
        return
    store.set_conversation(tx, person.id, state=Talk.DONATION_AMOUNT, data={"channel_id": channel_id})
    say(tx, person.id, texts.donation(channel))


def _amount(tx: Transaction, bot: Bot, person: Person, channel_id: int, text: str) -> None:
    """Take the amount of a donation, within both bounds and with at most two decimals."""
    found = _AMOUNT.fullmatch(text.strip()) if text.isascii() else None
    amount = Decimal(found.group(1)) if found else None
    if amount is None or not texts.LOWEST <= amount <= texts.HIGHEST:
        say(tx, person.id, texts.Say(texts.BAD_AMOUNT))
        return
    channel = owners.channel(tx, channel_id)
    if channel is None:
        say(tx, person.id, texts.Say(texts.GONE))
        return
    store.end_conversation(tx, person.id)
    _order(tx, bot, person, channel, price_usd=amount)


def _buy(tx: Transaction, bot: Bot, person: Person, channel_id: int, tier_id: int) -> None:
    channel = owners.channel(tx, channel_id)
    tier = next((tier for tier in owners.tiers(tx, channel_id) if tier.id == tier_id), None)
    if channel is None or tier is None:
        say(tx, person.id, texts.Say(texts.GONE))
        return
    _order(tx, bot, person, channel, price_usd=tier.price_usd, tier_id=tier.id, days=tier.days)


def _order(tx: Transaction, bot: Bot, person: Person, channel: owners.Channel, **offer: Any) -> None:
    """Write the order down with everything it was made under; its invoice is work."""
    if store.orders_made_lately(tx, buyer_id=person.id, within_s=HOUR_S) >= ORDERS_AN_HOUR:
        say(tx, person.id, texts.Say(texts.TOO_MANY))
        return
    invoice_id = orders.create(
        tx,
        channel=channel,
        buyer_id=person.id,
        buyer_name=person.name,
        fee_percent=bot.config.decimal("TP_FLAT_FEE"),
        lifetime_s=bot.config.integer("ORDER_LIFETIME_S"),
        **offer,
    )
    tx.send("invoice.create", invoice_id)
    say(tx, person.id, texts.Say(texts.PREPARING))

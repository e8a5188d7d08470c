"""The acts: each as a person would do it, through the doors that he has."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from typing import Any, TypeVar

from deploy.emulators import scheduler
from deploy.local.demo.people import Buyer, Owner
from deploy.local.demo.world import World

P = TypeVar("P", Owner, Buyer)
PRICE = "49.00"
DAYS = 30


def found_channel(world: World, owner: Owner) -> None:
    """An owner registers, confirms his mail, links Telegram, connects his channel and says where he is paid."""
    world.api("POST", "/api/auth/register", {"email": owner.email, "password": owner.password, "display_name": owner.name})
    token = world.until(f"{owner.name}'s mail", lambda: _mailed_token(world, owner.email))
    world.api("POST", "/api/auth/verify-email", {"token": token})
    owner.token = world.api("POST", "/api/auth/login", {"email": owner.email, "password": owner.password})["access_token"]
    start = world.api("POST", "/api/account/telegram-link", token=owner.token)["url"].partition("start=")[2]
    world.speak(owner.user, text=f"/start {start}")
    world.until(f"{owner.name}'s Telegram account", lambda: world.api("GET", "/api/account", token=owner.token)["telegram_linked"])
    _make_chats(world, owner)
    _open_shop(world, owner)


def _mailed_token(world: World, email: str) -> str | None:
    for mail in world.control("sendgrid", "books")["mails"]:
        text = str(mail)
        found = re.search(r"#verify=([A-Za-z0-9_-]+)", text)
        if email in text and found:
            return found[1]
    return None


def _make_chats(world: World, owner: Owner) -> None:
    bot = {"status": "administrator", "rights": {"can_invite_users": True, "can_restrict_members": True, "can_post_messages": True}}
    for chat_id, title in ((owner.open_chat, f"{owner.name}'s news"), (owner.closed_chat, f"{owner.name}'s circle")):
        world.control("telegram", "chats", {"id": chat_id, "type": "channel", "title": title, "owner": owner.user, "bot": bot})


def _open_shop(world: World, owner: Owner) -> None:
    channel = world.api("POST", "/api/channels", {"open_channel_id": owner.open_chat, "closed_channel_id": owner.closed_chat}, token=owner.token)
    owner.channel_id = channel["id"]
    tier = {"label": "Month", "price_usd": PRICE, "days": DAYS, "position": 1}
    owner.tier_id = world.api("POST", f"/api/mappings/{owner.channel_id}/tiers", tier, token=owner.token)["id"]
    details = {"asset": owner.asset, "address": owner.address, "password": owner.password}
    world.api("PUT", "/api/payouts/details", details, token=owner.token)
    world.api("PATCH", "/api/account", {"payout_threshold_usd": "20"}, token=owner.token)
    owner.links = world.api("GET", f"/api/channels/{owner.channel_id}/links", token=owner.token)


def order(world: World, buyer: Buyer) -> None:
    """A buyer opens the owner's link in the bot and gets a payment link."""
    link = buyer.owner.links["donate"] if buyer.donates else buyer.owner.links["subscribe"][str(buyer.owner.tier_id)]
    world.speak(buyer.user, text=f"/start {link.partition('start=')[2]}")
    if buyer.donates:
        world.until("the question how much", lambda: _with_button(world, buyer.id, "$25"))
        world.speak(buyer.user, text="25")
    message = world.until(f"{buyer.user['first_name']}'s payment link", lambda: _with_button(world, buyer.id, "Pay"))
    buyer.invoice_id = _button(message, "Pay")["url"].partition("iid=")[2]


def pay(world: World, buyer: Buyer) -> None:
    """He pays in ETH; the vendor tells us about it, status by status."""
    paid = world.control("nowpayments", f"invoices/{buyer.invoice_id}/pay", {"pay_currency": "eth"})
    buyer.payment_id = str(paid["payment_id"])


def enter(world: World, buyer: Buyer) -> None:
    """He follows his invite, asks to join, and is let in."""
    message = world.until(f"{buyer.user['first_name']}'s invite", lambda: _with_button(world, buyer.id, "Join"))
    world.speak(buyer.user, join=_button(message, "Join")["url"])
    world.until(f"{buyer.user['first_name']} in the channel", lambda: is_member(world, buyer))


def is_member(world: World, buyer: Buyer) -> bool:
    """Whether Telegram says that he is in."""
    return any(
        member["user"]["id"] == buyer.id and member["status"] == "member" for member in world.control("telegram", f"chats/{buyer.owner.closed_chat}/members")
    )


def heard(world: World, owner: Owner, words: str) -> str | None:
    """The last thing the bot told an owner that contains these words."""
    return next((message["text"] for message in reversed(world.messages(int(owner.user["id"]))) if words in message["text"]), None)


def ring(world: World, schedule: str) -> None:
    """Call a schedule's door now, as the scheduler would."""
    scheduler.Bell(world.known).ring(scheduler.jobs()[schedule], datetime.now(UTC))


def together(act: Callable[[World, P], object], world: World, people: Sequence[P]) -> None:
    """Everybody does the same at once; the first error, or a Ctrl-C, ends it for all."""
    with ThreadPoolExecutor(max_workers=len(people)) as pool:
        doing = [pool.submit(act, world, person) for person in people]
        try:
            for done in as_completed(doing):
                done.result()
        except BaseException:
            world.over.set()
            raise


def _with_button(world: World, chat_id: int, label: str) -> Any:
    return next((message for message in reversed(world.messages(chat_id)) if _button(message, label)), None)


def _button(message: Any, label: str) -> Any:
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])
    return next((button for row in rows for button in row if label in button["text"]), None)

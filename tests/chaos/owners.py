"""The owners of a run: each registers, links Telegram, connects his channel, and says where and from when on he is paid."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from deploy.local.demo.world import World
from tests.chaos.plan import OwnerPlan

# Each signs in with a password that is hashed for a tenth of a second on purpose.
AT_ONCE = 4
RIGHTS = {"can_invite_users": True, "can_restrict_members": True, "can_post_messages": True}


@dataclass(frozen=True)
class Shop:
    """An owner who sells: his plan, his mail address, and what buyers follow into the bot."""

    plan: OwnerPlan
    email: str
    subscribe: str
    donate: str


def found_all(world: World, plans: Sequence[OwnerPlan], tell: Callable[[int], None]) -> list[Shop]:
    """Let every owner begin; `tell` hears how many are ready. Raises PlayError when one cannot."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ready = []
        for shop in pool.map(lambda plan: _found(world, plan), plans):
            ready.append(shop)
            tell(len(ready))
    return ready


def _found(world: World, plan: OwnerPlan) -> Shop:
    email, password = f"owner{plan.number}.{secrets.token_hex(3)}@example.test", secrets.token_urlsafe(12)
    user = {"id": plan.user_id, "first_name": f"Owner {plan.number}"}
    world.api("POST", "/api/auth/register", {"email": email, "password": password, "display_name": f"Owner {plan.number}"})
    world.api("POST", "/api/auth/verify-email", {"token": world.until("the mail", lambda: _mailed_token(world, email))})
    token = world.api("POST", "/api/auth/login", {"email": email, "password": password})["access_token"]
    start = world.api("POST", "/api/account/telegram-link", token=token)["url"].partition("start=")[2]
    world.speak(user, text=f"/start {start}")
    world.until("the link to Telegram", lambda: world.api("GET", "/api/account", token=token)["telegram_linked"])
    for chat, title in ((plan.open_chat, f"News no. {plan.number}."), (plan.closed_chat, plan.title)):
        world.control("telegram", "chats", {"id": chat, "type": "channel", "title": title, "owner": user, "bot": {"status": "administrator", "rights": RIGHTS}})
    return _sell(world, plan, token, email, password)


def _mailed_token(world: World, email: str) -> str | None:
    for mail in world.control("sendgrid", "books/mails"):
        found = re.search(r"#verify=([A-Za-z0-9_-]+)", str(mail["content"]))
        if email in mail["to"] and found:
            return found[1]
    return None


def _sell(world: World, plan: OwnerPlan, token: str, email: str, password: str) -> Shop:
    mode = "single_use" if plan.single_use else "join_request"
    chats = {"open_channel_id": plan.open_chat, "closed_channel_id": plan.closed_chat, "access_mode": mode}
    channel = world.api("POST", "/api/channels", chats, token=token)["id"]
    tier = {"label": "Access", "price_usd": plan.price_usd, "days": plan.days, "position": 1}
    tier_id = world.api("POST", f"/api/mappings/{channel}/tiers", tier, token=token)["id"]
    details = {"asset": plan.asset, "address": plan.address, "password": password}
    world.api("PUT", "/api/payouts/details", details, token=token)
    world.api("PATCH", "/api/account", {"payout_threshold_usd": plan.threshold_usd}, token=token)
    links: dict[str, Any] = world.api("GET", f"/api/channels/{channel}/links", token=token)
    return Shop(plan, email, _payload(links["subscribe"][str(tier_id)]), _payload(links["donate"]))


def _payload(link: str) -> str:
    return link.partition("start=")[2]

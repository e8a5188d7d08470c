"""Plan what is due, post it once, and take an owner's own post."""

from __future__ import annotations

from dataclasses import dataclass

from PGP_BROADCAST_v1 import store
from PGP_COMMON import deeplinks
from PGP_COMMON.clients.telegram import Button
from PGP_COMMON.config import BaseConfigManager
from PGP_COMMON.database import BaseDatabaseManager, Transaction
from PGP_COMMON.engine import Commit, Done, Job, Later, Outcome
from PGP_COMMON.errors import Conflict, NotFound, TooMany
from PGP_COMMON.limits import Counters
from PGP_COMMON.money import plain
from PGP_COMMON.money_machines import owners
from PGP_COMMON.speech import RESEND_WAIT_S, RESENDS, Said, Speaker


@dataclass(frozen=True)
class Clients:
    """The bot's voice, and the counters of the owners' requests."""

    speaker: Speaker
    counters: Counters


def plan_due(job: Job[Clients]) -> Commit:
    """Plan the scheduled posts of every channel whose interval is over."""
    hours = job.config.decimal("BROADCAST_AUTO_INTERVAL")

    def record(tx: Transaction) -> Outcome:
        planned = store.plan_due(tx, hours=hours)
        for broadcast_id in planned:
            _send_posts(tx, broadcast_id)
        return Done(f"{len(planned)} broadcasts")

    return record


def _send_posts(tx: Transaction, broadcast_id: int) -> None:
    for post_id in store.add_posts(tx, broadcast_id):
        tx.send("broadcast.post", post_id)


def post_once(job: Job[Clients]) -> Commit:
    """Post to one chat."""
    with job.db.reading() as tx:
        post = store.post(tx, job.id)
        if post is None:
            raise NotFound(f"there is no post {job.subject}")
        text, buttons = words(tx, post, job.config.text("TELEGRAM_BOT_USERNAME"))
    if post.state != "planned":
        return lambda _tx: Done("posted before")
    said = job.clients.speaker.say(post.chat_id, text, buttons=buttons)
    return lambda tx: _finish(tx, post, said)


def _finish(tx: Transaction, post: store.Post, said: Said) -> Outcome:
    """Write down what became of a post; one whose answer was lost goes out at most twice more."""
    if said.outcome == "later":
        return Later(said.wait_s, "pacing")
    if said.outcome == "unknown" and store.count_unknown_send(tx, post.id) <= RESENDS:
        return Later(RESEND_WAIT_S, "no answer; once more with the same text")
    store.mark_post(tx, post.id, state="undeliverable" if said.outcome == "undeliverable" else "sent", message_id=said.message_id)
    return Done(said.code)


def words(tx: Transaction, post: store.Post, bot: str) -> tuple[str, list[list[Button]]]:
    """A post's text and buttons: offers for the open channel, the donation for the closed one."""
    if post.part == "donate":
        text = post.text or post.donation_message or f"Do you like {post.channel_title}? You can support it."
        return text, [[Button("💝 Donate", url=deeplinks.donate(bot, post.channel_id))]]
    offers = owners.tiers(tx, post.channel_id)
    buttons = [[Button(f"{tier.label}: {tier.days} days, ${plain(tier.price_usd)}", url=deeplinks.subscribe(bot, post.channel_id, tier.id))] for tier in offers]
    return post.text or f"Join {post.channel_title}:", buttons


def post_by_hand(db: BaseDatabaseManager, config: BaseConfigManager, *, account_id: int, channel_id: int, text: str, key: str | None) -> int:
    """Plan an owner's own post to one of his channels, at most one an interval; the same key twice is the same post.

    Raises NotFound for a channel that is not his, Conflict for a key that was used with another text, TooMany with the seconds to wait.
    """
    with db.transaction() as tx:
        if not store.own_channel(tx, account_id=account_id, channel_id=channel_id):
            raise NotFound("There is no such channel.")
        known = store.requested(tx, channel_id=channel_id, key=key) if key else None
        if known is not None:
            if known.text != text:
                raise Conflict("This Idempotency-Key was used for another post.")
            return known.id
        wait_s = store.seconds_to_wait(tx, channel_id=channel_id, hours=config.decimal("BROADCAST_MANUAL_INTERVAL"))
        if wait_s > 0:
            raise TooMany(f"You can post here again in {wait_s} seconds.", retry_after_s=wait_s)
        broadcast_id = store.add_manual(tx, channel_id=channel_id, account_id=account_id, text=text, key=key)
        _send_posts(tx, broadcast_id)
        return broadcast_id

"""What an owner's requests do: each in one transaction, whose checks are in its statements."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from PGP_COMMON import addresses, deeplinks
from PGP_COMMON.config import BaseConfigManager
from PGP_COMMON.database import BaseDatabaseManager, Transaction
from PGP_COMMON.errors import BadInput, Conflict, Forbidden, NotFound, Refused, Unauthenticated
from PGP_COMMON.money_machines import audit, notices
from PGP_WEBAPI_v1 import forms, passwords, store

if TYPE_CHECKING:
    from PGP_COMMON.clients.telegram import Telegram

DAY_S = 86400
REFRESH_S = 30 * DAY_S
LINK_S = 3600
# Two requests with one refresh token that cross each other are one person's; later ones are a thief's (money.md 14).
GRACE_S = 10
WRONG = "This e-mail address and password do not fit together."


@dataclass(frozen=True)
class Session:
    """Who is signed in, with the refresh token for the next time."""

    account_id: int
    refresh_token: str


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def register(db: BaseDatabaseManager, form: forms.Register) -> None:
    """Make an account and mail its verification; says and does the same, seen from outside, when the address is taken."""
    hashed = passwords.hashed(form.password, form.email)
    token = secrets.token_urlsafe(32)
    with db.transaction() as tx:
        account_id = store.add_account(tx, email=form.email, password_hash=hashed, display_name=form.display_name)
        if account_id is not None:
            store.add_one_time_token(tx, token_hash=_hash(token), account_id=account_id, purpose="verify_email", lifetime_s=DAY_S)
            tx.send("mail.send", store.add_mail(tx, account_id=account_id, kind="verify_email", token=token))


def verify_email(db: BaseDatabaseManager, token: str) -> None:
    """Note that an address is its owner's; raises BadInput for a token that is not valid (any more)."""
    with db.transaction() as tx:
        account_id = store.use_one_time_token(tx, token_hash=_hash(token), purpose="verify_email")
        if account_id is None:
            raise BadInput("This link is not valid any more. Register again to get a new one.")
        store.verify_email(tx, account_id)


def sign_in(db: BaseDatabaseManager, form: forms.Login) -> Session:
    """Check a password; raises Unauthenticated with the same sentence and in the same time whoever is unknown."""
    with db.reading() as tx:
        account = store.account_by_email(tx, form.email)
    right = passwords.fits(account.password_hash if account else passwords.NOBODY, form.password)
    if account is None or account.locked or not right:
        if account is not None and not account.locked:
            with db.transaction() as tx:
                store.note_failed_login(tx, account.id)
        raise Unauthenticated(WRONG)
    if not account.email_verified:
        raise Forbidden("Please open the link in the mail we sent you first.")
    with db.transaction() as tx:
        store.note_login(tx, account.id)
        return _new_session(tx, account.id, family=str(uuid.uuid4()), parent_id=None)


def _new_session(tx: Transaction, account_id: int, *, family: str, parent_id: int | None) -> Session:
    token = secrets.token_urlsafe(32)
    store.add_refresh_token(tx, account_id=account_id, family=family, token_hash=_hash(token), parent_id=parent_id, lifetime_s=REFRESH_S)
    return Session(account_id, token)


def refresh(db: BaseDatabaseManager, token: str) -> Session:
    """Swap a refresh token for a new one; a second use after the grace ends the whole family."""
    with db.transaction() as tx:
        found = store.lock_refresh_token(tx, _hash(token))
        if found is not None and not found.revoked and not found.expired:
            crossed = found.used_seconds_ago is not None and found.used_seconds_ago <= GRACE_S and not store.grandchildren(tx, found.id)
            if found.used_seconds_ago is None or crossed:
                store.use_refresh_token(tx, found.id)
                return _new_session(tx, found.account_id, family=found.family, parent_id=found.id)
            store.revoke_family(tx, found.family)
    raise Unauthenticated("Please sign in again.")


def sign_out(db: BaseDatabaseManager, token: str) -> None:
    """End a session; the same answer for a token that nobody knows."""
    with db.transaction() as tx:
        found = store.lock_refresh_token(tx, _hash(token))
        if found is not None:
            store.revoke_family(tx, found.family)


def signed_in(db: BaseDatabaseManager, account_id: int) -> store.Account:
    """The account behind an access token; raises Unauthenticated when it is gone."""
    with db.reading() as tx:
        account = store.account_by_id(tx, account_id)
    if account is None:
        raise Unauthenticated("Please sign in again.")
    return account


def telegram_link(db: BaseDatabaseManager, account: store.Account, bot: str) -> str:
    """An address that links the Telegram account which opens it, once, within the hour."""
    code = secrets.token_urlsafe(24)
    with db.transaction() as tx:
        store.add_one_time_token(tx, token_hash=_hash(code), account_id=account.id, purpose="link_telegram", lifetime_s=LINK_S)
    return deeplinks.link_owner(bot, code)


def change_account(db: BaseDatabaseManager, account: store.Account, form: forms.AccountChange) -> None:
    """Change an owner's own settings, with an audit entry."""
    with db.transaction() as tx:
        store.lock_owner(tx, account.owner_id)
        before = store.profile(tx, account.owner_id)
        store.change_owner(tx, account.owner_id, display_name=form.display_name, strategy=form.payout_strategy, threshold=form.payout_threshold_usd)
        after = store.profile(tx, account.owner_id)
        if before and after:
            _audit(tx, account, "change account", f"owner {account.owner_id}", before=asdict(before), after=asdict(after))


def register_channel(db: BaseDatabaseManager, telegram: Telegram, account: store.Account, form: forms.NewChannel) -> int:
    """Register a channel that its owner and the bot both administer; raises BadInput, Conflict."""
    if form.open_channel_id == form.closed_channel_id:
        raise BadInput("The open and the closed channel are two channels.")
    with db.reading() as tx:
        user = store.telegram_user(tx, account.owner_id)
    if user is None:
        raise Conflict("Link your Telegram account first: we have to see that the channel is yours.")
    titles = [_administered(telegram, chat_id, user) for chat_id in (form.open_channel_id, form.closed_channel_id)]
    try:
        with db.transaction() as tx:
            channel_id = store.add_channel(tx, owner_id=account.owner_id, open_title=titles[0], closed_title=titles[1], **form.model_dump())
            _audit(tx, account, "register channel", f"channel {channel_id}", after=form.model_dump())
            return channel_id
    except Conflict as error:
        raise Conflict("One of these channels is registered already.") from error


def _administered(telegram: Telegram, chat_id: int, user: int) -> str:
    """The title of a chat in which both the bot and the owner are administrators; raises BadInput with what to do."""
    try:
        bot = telegram.get_member(chat_id, telegram.get_me()[0])
        title = telegram.get_chat(chat_id).title
        owner = telegram.get_member(chat_id, user)
    except Refused as error:
        raise BadInput(f"The bot cannot see {chat_id}. Add it there as an administrator.") from error
    if not (bot.can_invite and bot.can_restrict):
        raise BadInput(f"Make the bot an administrator of {chat_id}, with the right to invite and to remove people.")
    if owner.status not in {"creator", "administrator"}:
        raise BadInput(f"You are not an administrator of {chat_id}.")
    return (title or "untitled")[:128]


def own_channel(tx: Transaction, account: store.Account, channel_id: int) -> store.ChannelRow:
    """One of the owner's channels; somebody else's is as absent as none."""
    found = store.channel(tx, account.owner_id, channel_id)
    if found is None:
        raise NotFound("There is no such channel.")
    return found


def add_tier(db: BaseDatabaseManager, account: store.Account, channel_id: int, form: forms.NewTier) -> int:
    """Add an offer to one of the owner's channels."""
    try:
        with db.transaction() as tx:
            own_channel(tx, account, channel_id)
            tier_id = store.add_tier(tx, channel_id=channel_id, **form.model_dump())
            _audit(tx, account, "add tier", f"tier {tier_id}", after=form.model_dump())
            return tier_id
    except Conflict as error:
        raise Conflict("That place in the list is taken.") from error


def change_tier(db: BaseDatabaseManager, account: store.Account, channel_id: int, tier_id: int, form: forms.TierChange | None) -> None:
    """Change an offer, or (without a form) withdraw it."""
    with db.transaction() as tx:
        own_channel(tx, account, channel_id)
        touched = store.close_tier(tx, channel_id, tier_id) if form is None else store.change_tier(tx, channel_id, tier_id, **form.model_dump())
        if not touched:
            raise NotFound("There is no such tier.")
        _audit(tx, account, "withdraw tier" if form is None else "change tier", f"tier {tier_id}", after=form.model_dump() if form else None)


def change_channel(db: BaseDatabaseManager, account: store.Account, channel_id: int, form: forms.ChannelChange | None) -> None:
    """Change a channel, or (without a form) stop selling it."""
    with db.transaction() as tx:
        before = own_channel(tx, account, channel_id)
        if form is None:
            store.close_channel(tx, account.owner_id, channel_id)
        else:
            store.change_channel(tx, account.owner_id, channel_id, **form.model_dump())
        _audit(
            tx,
            account,
            "close channel" if form is None else "change channel",
            f"channel {channel_id}",
            before=asdict(before),
            after=form.model_dump() if form else None,
        )


def set_payout_details(db: BaseDatabaseManager, config: BaseConfigManager, account: store.Account, form: forms.PayoutDetails) -> None:
    """Say where the owner is paid. The first address counts at once; a changed one waits, and the owner is told on every way we know."""
    if not passwords.fits(account.password_hash, form.password):
        raise Forbidden("The password is not right.")
    with db.transaction() as tx:
        coin = next((row for row in store.coins(tx) if row.asset == form.asset), None)
        if coin is None:
            raise BadInput("We cannot pay out in this coin.", fields={"asset": "is not one of /api/currencies"})
        fault = addresses.problem(coin.address_family, form.address)
        if fault is None and (form.address.lower() == config.text("HOST_WALLET_ETH_ADDRESS").lower() or store.is_ours(tx, form.address)):
            fault = "is one of our own addresses"
        if fault:
            raise BadInput("This address does not work.", fields={"address": fault})
        store.lock_owner(tx, account.owner_id)
        known = store.details(tx, account.owner_id)
        wait_s = config.integer("ADDRESS_COOLDOWN_S") if known else 0
        details_id = store.add_details(tx, owner_id=account.owner_id, asset=form.asset, address=form.address, extra_id=form.extra_id or None, wait_s=wait_s)
        _audit(
            tx,
            account,
            "set payout address",
            f"owner {account.owner_id}",
            before=asdict(known[0]) if known else None,
            after={"asset": form.asset, "address": form.address},
        )
        if known:
            tx.send("mail.send", store.add_mail(tx, account_id=account.id, kind="address_changed", token=None))
            notices.tell(tx, kind="address_changed", subject=details_id, chat_id=store.telegram_user(tx, account.owner_id))


def _audit(
    tx: Transaction,
    account: store.Account,
    action: str,
    subject: str,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    audit.record(tx, actor=f"account {account.id}", action=action, subject=subject, reason="asked for by the owner", before=before, after=after)

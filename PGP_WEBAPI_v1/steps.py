"""What an owner's requests do: each in one transaction, whose checks are in its statements."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from PGP_COMMON import addresses, deeplinks
from PGP_COMMON.config import BaseConfigManager
from PGP_COMMON.database import BaseDatabaseManager, Transaction
from PGP_COMMON.errors import BadInput, Conflict, Forbidden, NotFound, Refused
from PGP_COMMON.money_machines import audit, mails, notices, one_time_tokens, owners
from PGP_WEBAPI_v1 import account_store, channel_store, forms, passwords, payout_store
from PGP_WEBAPI_v1.account_store import Account

if TYPE_CHECKING:
    from PGP_COMMON.clients.telegram import Telegram

# How long the link to an owner's Telegram account can be used.
LINK_S = 3600
# Where join requests and the removal of members work; a plain group has neither.
KINDS_OF_CHAT = frozenset({"channel", "supergroup"})


def telegram_link(db: BaseDatabaseManager, account: Account, bot: str) -> str:
    """An address that links the Telegram account which opens it, once, within the hour."""
    with db.transaction() as tx:
        return deeplinks.link_owner(bot, one_time_tokens.issue(tx, account_id=account.id, purpose="link_telegram", lifetime_s=LINK_S))


def change_account(db: BaseDatabaseManager, account: Account, form: forms.AccountChange) -> None:
    """Change an owner's own settings, with an audit entry."""
    with db.transaction() as tx:
        owners.lock(tx, account.owner_id)
        before = account_store.profile(tx, account.owner_id)
        owners.change(tx, account.owner_id, display_name=form.display_name, strategy=form.payout_strategy, threshold_usd=form.payout_threshold_usd)
        after = account_store.profile(tx, account.owner_id)
        if before and after:
            _audit(tx, account, "change account", f"owner {account.owner_id}", before=asdict(before), after=asdict(after))


def register_channel(db: BaseDatabaseManager, telegram: Telegram, account: Account, form: forms.NewChannel) -> int:
    """Register a channel that its owner and the bot both administer; raises BadInput, Conflict."""
    if form.open_channel_id == form.closed_channel_id:
        raise BadInput("The open and the closed channel are two channels.")
    with db.reading() as tx:
        user = owners.notify_chat(tx, account.owner_id)
    if user is None:
        raise Conflict("Link your Telegram account first: we have to see that the channel is yours.")
    titles = [_administered(telegram, chat_id, user) for chat_id in (form.open_channel_id, form.closed_channel_id)]
    try:
        with db.transaction() as tx:
            new = owners.NewChannel(open_title=titles[0], closed_title=titles[1], **form.model_dump())
            channel_id = owners.add_channel(tx, account.owner_id, new)
            _audit(tx, account, "register channel", f"channel {channel_id}", after=form.model_dump())
            return channel_id
    except Conflict as error:
        raise Conflict("One of these channels is registered already.") from error


def _administered(telegram: Telegram, chat_id: int, user: int) -> str:
    """The title of a chat in which both the bot and the owner are administrators; raises BadInput with what to do."""
    try:
        bot = telegram.get_member(chat_id, telegram.get_me()[0])
        chat = telegram.get_chat(chat_id)
        owner = telegram.get_member(chat_id, user)
    except Refused as error:
        raise BadInput(f"The bot cannot see {chat_id}. Add it there as an administrator.") from error
    if chat.type not in KINDS_OF_CHAT:
        raise BadInput(f"{chat_id} is neither a channel nor a supergroup. Turn the group into a supergroup first; its id changes then.")
    if not (bot.can_invite and bot.can_restrict):
        raise BadInput(f"Make the bot an administrator of {chat_id}, with the right to invite and to remove people.")
    if owner.status not in {"creator", "administrator"}:
        raise BadInput(f"You are not an administrator of {chat_id}.")
    return (chat.title or "untitled")[:128]


def own_channel(tx: Transaction, account: Account, channel_id: int) -> channel_store.ChannelRow:
    """One of the owner's channels; somebody else's is as absent as none."""
    found = channel_store.channel(tx, account.owner_id, channel_id)
    if found is None:
        raise NotFound("There is no such channel.")
    return found


def change_channel(db: BaseDatabaseManager, account: Account, channel_id: int, form: forms.ChannelChange | None) -> None:
    """Change a channel, or (without a form) stop selling it."""
    with db.transaction() as tx:
        before = own_channel(tx, account, channel_id)
        if form is None:
            owners.close_channel(tx, account.owner_id, channel_id)
        else:
            owners.change_channel(tx, account.owner_id, channel_id, **form.model_dump())
        action, after = ("close channel", None) if form is None else ("change channel", form.model_dump(exclude_none=True))
        _audit(tx, account, action, f"channel {channel_id}", before=asdict(before), after=after)


def add_tier(db: BaseDatabaseManager, account: Account, channel_id: int, form: forms.NewTier) -> int:
    """Add an offer to one of the owner's channels."""
    try:
        with db.transaction() as tx:
            own_channel(tx, account, channel_id)
            tier_id = channel_store.add_tier(tx, channel_id=channel_id, **form.model_dump())
            _audit(tx, account, "add tier", f"tier {tier_id}", after=form.model_dump())
            return tier_id
    except Conflict as error:
        raise Conflict("That place in the list is taken.") from error


def change_tier(db: BaseDatabaseManager, account: Account, channel_id: int, tier_id: int, form: forms.TierChange | None) -> None:
    """Change an offer, or (without a form) withdraw it."""
    with db.transaction() as tx:
        own_channel(tx, account, channel_id)
        before = channel_store.tier(tx, channel_id, tier_id)
        if before is None:
            raise NotFound("There is no such tier.")
        if form is None:
            channel_store.close_tier(tx, channel_id, tier_id)
        else:
            channel_store.change_tier(tx, channel_id, tier_id, **form.model_dump())
        action, after = ("withdraw tier", None) if form is None else ("change tier", form.model_dump(exclude_none=True))
        _audit(tx, account, action, f"tier {tier_id}", before=asdict(before), after=after)


def set_payout_details(db: BaseDatabaseManager, config: BaseConfigManager, account: Account, form: forms.PayoutDetails) -> None:
    """Say where the owner is paid. The first address counts at once; a changed one waits, and the owner is told on every way we know.

    At most one change waits: a newer one takes its place, and setting the address in use again takes it back at once.
    """
    if not passwords.fits(account.password_hash, form.password):
        raise Forbidden("The password is not right.")
    with db.transaction() as tx:
        _check_address(tx, config, form)
        owners.lock(tx, account.owner_id)
        known = payout_store.details(tx, account.owner_id)
        wanted = (form.asset, form.address, form.extra_id)
        if known and (known[0].asset, known[0].address, known[0].extra_id) == wanted:
            return
        payout_store.drop_waiting_details(tx, account.owner_id)
        before, after = (asdict(known[0]) if known else None), {"asset": form.asset, "address": form.address}
        _audit(tx, account, "set payout address", f"owner {account.owner_id}", before=before, after=after)
        if any((row.asset, row.address, row.extra_id) == wanted for row in known):
            return
        wait_s = config.integer("ADDRESS_COOLDOWN_S") if known else 0
        details_id = payout_store.add_details(tx, owner_id=account.owner_id, asset=form.asset, address=form.address, wait_s=wait_s)
        if known:
            mails.send(tx, "address_changed", account.id)
            notices.tell(tx, kind="address_changed", subject=details_id, chat_id=owners.notify_chat(tx, account.owner_id))


def _check_address(tx: Transaction, config: BaseConfigManager, form: forms.PayoutDetails) -> None:
    """Raises BadInput for a coin that we cannot pay out, and for an address where money would be lost or go in a circle."""
    coin = next((row for row in payout_store.coins(tx) if row.asset == form.asset), None)
    if coin is None:
        raise BadInput("We cannot pay out in this coin.", fields={"asset": "is not one of /api/currencies"})
    fault = addresses.problem(coin.address_family, form.address)
    if fault is None and (form.address.lower() == config.text("HOST_WALLET_ETH_ADDRESS").lower() or payout_store.is_ours(tx, form.address)):
        fault = "is one of our own addresses, or a token's contract"
    if fault:
        raise BadInput("This address does not work.", fields={"address": fault})


def _audit(
    tx: Transaction,
    account: Account,
    action: str,
    subject: str,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    audit.record(tx, actor=f"account {account.id}", action=action, subject=subject, reason="asked for by the owner", before=before, after=after)

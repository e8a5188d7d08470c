"""Telegram: messages, links, members and the webhook, through python-telegram-bot (contracts: section 3)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

import httpx
from telegram import Bot, ChatMember, InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions, Update
from telegram.error import BadRequest, ChatMigrated, Conflict, Forbidden, InvalidToken, NetworkError, RetryAfter, TelegramError, TimedOut
from telegram.request import HTTPXRequest

from PGP_COMMON.clients.telegram_loop import run
from PGP_COMMON.errors import AnswerLost, BadInput, Lost, Refused, Throttled, TryAgain, VendorDown
from PGP_COMMON.failpoints import failpoint
from PGP_COMMON.http import CONNECT_TIMEOUT_S, LONGEST_WAIT_S, READ_TIMEOUT_S, OnLost, effect, read, tls

T = TypeVar("T")

VENDOR: Final = "telegram"
# As many calls at once as a process has request threads; the library's default of one would make them queue.
CONNECTIONS: Final = 8
# Connect, write and read together; the library bounds each of them alone.
LONGEST_CALL_S: Final = 2 * READ_TIMEOUT_S + 2 * CONNECT_TIMEOUT_S

# Telegram's own sentences, in parts and lower case, and what we call them (contracts: 3.2). The library capitalises some.
REFUSALS: Final[Mapping[str, str]] = {
    "bot was blocked by the user": "blocked",
    "user is deactivated": "deactivated",
    "bot was kicked": "kicked",
    "bot is not a member": "not_member",
    "chat was deleted": "chat_deleted",
    "can't initiate conversation": "not_started",
    "chat not found": "chat_not_found",
    "user not found": "user_not_found",
    "participant_id_invalid": "user_not_found",
    "user is an administrator": "is_admin",
    "not enough rights": "no_rights",
    "need administrator rights": "no_rights",
    "chat_admin_required": "no_rights",
    "chat_write_forbidden": "no_rights",
    "message is not modified": "not_modified",
    "message to edit not found": "message_gone",
    "message can't be edited": "message_gone",
    "query is too old": "query_too_old",
    "hide_requester_missing": "no_request",
    "user_already_participant": "already_member",
    "user_not_participant": "not_participant",
    "invite_hash_expired": "link_gone",
}


@dataclass(frozen=True, slots=True)
class Button:
    """One button under a message: it opens an address, or sends `data` (at most 64 bytes) back to the bot."""

    text: str
    url: str | None = None
    data: str | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """What a user is in a chat, and what he may do there."""

    user_id: int
    status: str
    is_in: bool
    can_invite: bool
    can_restrict: bool
    can_post: bool


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat: `type` is private, group, supergroup or channel."""

    id: int
    type: str
    title: str | None
    username: str | None


class Telegram:
    """What we ask of Telegram, for threads; the calls themselves run on the process's one event loop."""

    def __init__(
        self,
        token: Callable[[], str],
        *,
        base_url: str = "https://api.telegram.org",
        connections: int = CONNECTIONS,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Take the token as a function: when it changes, the next call uses the new one."""
        self._token = token
        self._base_url = base_url.rstrip("/")
        self._connections = connections
        self._transport = transport
        self._lock = threading.Lock()
        self._made: tuple[str, Bot] | None = None

    # Messages.

    @effect(OnLost.RESEND_LIMITED, reason="no idempotency there: a message may arrive twice, which is counted")
    def send_message(self, chat_id: int, text: str, *, buttons: Sequence[Sequence[Button]] | None = None, protect: bool = False, html: bool = False) -> int:
        """Send a text; gives back the message's id. `protect` forbids forwarding, `html` reads Telegram's HTML in the text."""
        sent = self._ask(
            lambda bot: bot.send_message(
                chat_id,
                text,
                parse_mode="HTML" if html else None,
                protect_content=protect,
                reply_markup=_keyboard(buttons),
                link_preview_options=LinkPreviewOptions(is_disabled=True),
            )
        )
        return sent.message_id

    @effect(OnLost.REPEAT, reason="state, not event: the text ends up the same")
    def edit_message(self, chat_id: int, message_id: int, text: str, *, buttons: Sequence[Sequence[Button]] | None = None, html: bool = False) -> bool:
        """Change a message of ours; False if it says so already."""
        return self._settle(
            lambda bot: bot.edit_message_text(
                text,
                chat_id=chat_id,
                message_id=message_id,
                parse_mode="HTML" if html else None,
                reply_markup=_keyboard(buttons),
                link_preview_options=LinkPreviewOptions(is_disabled=True),
            ),
            already={"not_modified"},
        )

    @effect(OnLost.REPEAT, reason="state, not event: the button stops spinning")
    def answer_callback(self, query_id: str, *, text: str | None = None, alert: bool = False) -> bool:
        """Answer a pressed button (at most 200 characters); False if it is too late for that."""
        return self._settle(lambda bot: bot.answer_callback_query(query_id, text=text, show_alert=alert), already={"query_too_old"})

    # Links and members.

    @effect(OnLost.REPEAT, reason="a link that we do not know was sent to nobody")
    def create_join_link(self, chat_id: int, *, name: str) -> str:
        """Make a link whose users ask to join and wait for the bot; `name` has at most 32 characters."""
        made = self._ask(lambda bot: bot.create_chat_invite_link(chat_id, name=name, creates_join_request=True))
        return made.invite_link

    @effect(OnLost.REPEAT, reason="a link that we do not know was sent to nobody")
    def create_single_use_link(self, chat_id: int, *, name: str, expires_at: datetime) -> str:
        """Make a link that lets one user in until a time."""
        made = self._ask(lambda bot: bot.create_chat_invite_link(chat_id, name=name, member_limit=1, expire_date=expires_at))
        return made.invite_link

    @effect(OnLost.REPEAT, reason="state, not event")
    def revoke_link(self, chat_id: int, link: str) -> bool:
        """Make a link useless; False if it is gone already."""
        return self._settle(lambda bot: bot.revoke_chat_invite_link(chat_id, link), already={"link_gone"})

    @effect(OnLost.REPEAT, reason="state, not event")
    def approve_join(self, chat_id: int, user_id: int) -> bool:
        """Let a user in who asked; False if he is in already, or no longer asks."""
        return self._settle(lambda bot: bot.approve_chat_join_request(chat_id, user_id), already={"already_member", "no_request"})

    @effect(OnLost.REPEAT, reason="state, not event")
    def decline_join(self, chat_id: int, user_id: int) -> bool:
        """Turn a user away who asked; False if he no longer asks."""
        return self._settle(lambda bot: bot.decline_chat_join_request(chat_id, user_id), already={"already_member", "no_request"})

    @effect(OnLost.REPEAT, reason="state, not event")
    def ban(self, chat_id: int, user_id: int) -> bool:
        """Put a user out and keep him out; False if he was not in."""
        return self._settle(lambda bot: bot.ban_chat_member(chat_id, user_id), already={"not_participant"})

    @effect(OnLost.REPEAT, reason="state, not event")
    def unban(self, chat_id: int, user_id: int) -> bool:
        """Let a banned user come back by a link; a member stays in. False if he was not banned."""
        return self._settle(lambda bot: bot.unban_chat_member(chat_id, user_id, only_if_banned=True), already={"not_participant"})

    @read
    def get_member(self, chat_id: int, user_id: int) -> Member:
        """What a user is in a chat; whoever was never seen there has left it."""
        try:
            return _member(self._ask(lambda bot: bot.get_chat_member(chat_id, user_id)))
        except Refused as error:
            if error.code not in {"user_not_found", "not_participant"}:
                raise
            return Member(user_id, "left", is_in=False, can_invite=False, can_restrict=False, can_post=False)

    @read
    def get_chat(self, chat_id: int) -> Chat:
        """A chat's type and names."""
        chat = self._ask(lambda bot: bot.get_chat(chat_id))
        return Chat(chat.id, str(chat.type), chat.title, chat.username)

    # The bot itself.

    @read
    def get_me(self) -> tuple[int, str]:
        """The bot's own id and user name."""
        me = self._ask(lambda bot: bot.get_me())
        return me.id, me.username or ""

    @effect(OnLost.REPEAT, reason="state, not event")
    def set_webhook(self, url: str, *, secret_token: str, allowed_updates: Sequence[str], max_connections: int = 40) -> None:
        """Tell Telegram where updates go. Kinds that are not named do not come (contracts: 3.3)."""
        self._ask(lambda bot: bot.set_webhook(url, secret_token=secret_token, allowed_updates=allowed_updates, max_connections=max_connections))

    @effect(OnLost.REPEAT, reason="state, not event")
    def delete_webhook(self) -> None:
        """Stop Telegram from calling us; updates wait to be fetched."""
        self._ask(lambda bot: bot.delete_webhook())

    @effect(OnLost.REPEAT, reason="the same updates come again until the offset passes them")
    def get_updates(self, *, offset: int | None, wait_s: int, allowed_updates: Sequence[str]) -> tuple[Update, ...]:
        """Fetch updates from `offset` on, which forgets those before it; waits so long for the first one."""
        return self._ask(
            lambda bot: bot.get_updates(offset=offset, timeout=wait_s, allowed_updates=allowed_updates, read_timeout=READ_TIMEOUT_S),
            longer_s=wait_s,
        )

    def _ask(self, ask: Callable[[Bot], Coroutine[Any, Any, T]], *, longer_s: float = 0) -> T:
        """Call Telegram once, on the process's loop."""
        failpoint("http.telegram.sent")
        try:
            answer = run(ask(self._bot()), timeout_s=LONGEST_CALL_S + longer_s)
        except TelegramError as error:
            raise translated(error) from error
        except TimeoutError as error:
            raise AnswerLost(vendor=VENDOR) from error
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            # The library wants fields that the answer lacks.
            raise AnswerLost("an unreadable answer", vendor=VENDOR) from error
        failpoint("http.telegram.answered")
        return answer

    def _settle(self, ask: Callable[[Bot], Coroutine[Any, Any, Any]], *, already: set[str]) -> bool:
        """Bring something about; False, and no error, if Telegram says that it is so already."""
        try:
            self._ask(ask)
        except Refused as error:
            if error.code not in already:
                raise
            return False
        return True

    def _bot(self) -> Bot:
        """The library's bot for the token as it is now. One with an old token is left to the calls that still use it."""
        token = self._token()
        with self._lock:
            if self._made is None or self._made[0] != token:
                self._made = (token, self._make(token))
            return self._made[1]

    def _make(self, token: str) -> Bot:
        more = {} if self._transport is None else {"transport": self._transport}
        request = HTTPXRequest(
            connection_pool_size=self._connections,
            connect_timeout=CONNECT_TIMEOUT_S,
            pool_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            write_timeout=READ_TIMEOUT_S,
            httpx_kwargs={"trust_env": False, "verify": tls(), **more},
        )
        return Bot(token, base_url=f"{self._base_url}/bot", request=request, get_updates_request=request)


def parse_update(body: object) -> Update:
    """Read an update as Telegram sends it; raises BadInput for what is none. It cannot be answered through: it knows no bot."""
    if not isinstance(body, dict) or type(body.get("update_id")) is not int:
        raise BadInput("not an update")
    try:
        return Update.de_json(body, None)
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError, OSError) as error:
        raise BadInput("not an update") from error


def _keyboard(buttons: Sequence[Sequence[Button]] | None) -> InlineKeyboardMarkup | None:
    if not buttons:
        return None
    return InlineKeyboardMarkup([[InlineKeyboardButton(b.text, url=b.url, callback_data=b.data) for b in row] for row in buttons])


def _member(member: ChatMember) -> Member:
    owner = member.status == ChatMember.OWNER
    return Member(
        user_id=member.user.id,
        status=str(member.status),
        is_in=member.status in {ChatMember.OWNER, ChatMember.ADMINISTRATOR, ChatMember.MEMBER} or bool(getattr(member, "is_member", False)),
        can_invite=owner or bool(getattr(member, "can_invite_users", False)),
        can_restrict=owner or bool(getattr(member, "can_restrict_members", False)),
        can_post=owner or bool(getattr(member, "can_post_messages", False)),
    )


def translated(error: TelegramError) -> Refused | TryAgain | Lost:
    """What an error of the library means. Its BadRequest is a NetworkError too, and must not count as one."""
    if isinstance(error, RetryAfter):
        # The public attribute warns that it will change its type.
        wait_s = int(error._retry_after.total_seconds())  # noqa: SLF001 - see above
        return Throttled(vendor=VENDOR, retry_after_s=max(1, min(wait_s, LONGEST_WAIT_S)))
    if isinstance(error, ChatMigrated):
        return Refused("the group has a new id", vendor=VENDOR, status=400, code="migrated", new_chat_id=error.new_chat_id)
    if isinstance(error, Forbidden):
        return _refused(error, status=403, otherwise="forbidden")
    if isinstance(error, BadRequest):
        return _refused(error, status=400, otherwise="bad_request")
    if isinstance(error, Conflict):
        return _refused(error, status=409, otherwise="conflict")
    if isinstance(error, InvalidToken):
        return VendorDown("the vendor refuses our key", vendor=VENDOR, code="key_refused")
    return _network(error)


def _refused(error: TelegramError, *, status: int, otherwise: str) -> Refused:
    text = error.message.lower()
    code = next((code for part, code in REFUSALS.items() if part in text), otherwise)
    return Refused(error.message[:200], vendor=VENDOR, status=status, code=code)


def _network(error: TelegramError) -> TryAgain | Lost:
    """Whether the request can have reached Telegram: the library keeps the reason as the error's cause."""
    cause = error.__cause__
    if isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return VendorDown("no connection", vendor=VENDOR, fast=isinstance(cause, httpx.ConnectError))
    if isinstance(error, TimedOut):
        return AnswerLost(vendor=VENDOR)
    if isinstance(cause, TelegramError | None) and isinstance(error, NetworkError) and "gateway" not in error.message.lower():
        # Telegram answered, with a 5xx. A gateway's only shows in its sentence, and may have passed the request on.
        return VendorDown(vendor=VENDOR, fast=True)
    return AnswerLost(vendor=VENDOR, fast=True)

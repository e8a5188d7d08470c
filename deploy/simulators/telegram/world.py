"""The simulated world: users, chats and members, read and written in one place; everything else goes through here."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy.simulators.books import Books, Row
from deploy.simulators.telegram.errors import bad_request

# Deliberately not 1, as with the real server, so that nobody can take an update's number for a row's.
FIRST_UPDATE_ID = 700_000_001

ADMIN_RIGHTS = {
    "can_be_edited": False,
    "is_anonymous": False,
    "can_manage_chat": True,
    "can_delete_messages": True,
    "can_manage_video_chats": True,
    "can_restrict_members": True,
    "can_promote_members": False,
    "can_change_info": True,
    "can_invite_users": True,
    "can_post_stories": True,
    "can_edit_stories": True,
    "can_delete_stories": True,
}
CHANNEL_RIGHTS = {"can_post_messages": True, "can_edit_messages": True}
GROUP_RIGHTS = {"can_pin_messages": True, "can_manage_topics": False}

# "restricted" may be a member or not; nobody is restricted in this world unless a test says so, and then he is one.
INSIDE = {"creator", "administrator", "member", "restricted"}


@dataclass(frozen=True)
class Account:
    """The bot as Telegram knows it."""

    token: str = field(repr=False)
    id: int
    username: str
    first_name: str


class World:
    """Reads and writes the world's rows. Writers run within `books.write()`, which the caller opens."""

    def __init__(self, books: Books, account: Account) -> None:
        """Take where the rows are kept, and whose world this is."""
        self.books = books
        self.account = account

    def now(self) -> int:
        """Say what time it is, in whole seconds since 1970."""
        return int(time.time())

    def setting(self, key: str, default: Any = None) -> Any:
        """Read one setting of the bot."""
        row = self.books.one("SELECT value FROM settings WHERE key = ?", (key,))
        return default if row is None else json.loads(row["value"])

    def set_setting(self, key: str, value: Any) -> None:
        """Write one setting of the bot; None forgets it."""
        if value is None:
            self.books.run("DELETE FROM settings WHERE key = ?", (key,))
        else:
            self.books.run("INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, json.dumps(value)))

    def user(self, user_id: int) -> Row | None:
        """Read a person (or the bot itself)."""
        if user_id == self.account.id:
            return {"id": user_id, "is_bot": True, "first_name": self.account.first_name, "username": self.account.username}
        return self.books.one("SELECT * FROM users WHERE id = ?", (user_id,))

    def meet(self, person: Mapping[str, Any]) -> Row:
        """Write down a person as he is now; what is not said stays as it was. Raises ValueError for an odd id."""
        user_id = person.get("id")
        if not isinstance(user_id, int) or isinstance(user_id, bool) or not 0 < user_id < 2**52 or user_id == self.account.id:
            raise ValueError("a user is {id, first_name, last_name?, username?, language_code?}, id is 1 to 2^52")
        known = self.user(user_id) or {"first_name": f"User {user_id}"}
        said = {name: person.get(name, known.get(name)) for name in ("first_name", "last_name", "username", "language_code")}
        self.books.run(
            "INSERT INTO users (id, first_name, last_name, username, language_code)"
            " VALUES (:id, :first_name, :last_name, :username, :language_code)"
            " ON CONFLICT (id) DO UPDATE SET first_name = excluded.first_name, last_name = excluded.last_name,"
            " username = excluded.username, language_code = excluded.language_code",
            {"id": user_id, **said},
        )
        self.books.run("INSERT OR IGNORE INTO chats (id, type) VALUES (?, 'private')", (user_id,))
        found = self.user(user_id)
        assert found is not None
        return found

    def chat(self, chat_id: int) -> Row | None:
        """Read a chat."""
        return self.books.one("SELECT * FROM chats WHERE id = ?", (chat_id,))

    def named_chat(self, username: str) -> Row | None:
        """Read a public chat by its @name; private chats cannot be found so."""
        return self.books.one("SELECT * FROM chats WHERE username = ? COLLATE NOCASE AND type <> 'private'", (username,))

    def member(self, chat_id: int, user_id: int) -> Row:
        """Read what somebody is in a chat; who never was in it has left. A ban whose time is over counts as left."""
        row = self.books.one("SELECT * FROM members WHERE chat_id = ? AND user_id = ?", (chat_id, user_id))
        if row is None or (row["status"] == "kicked" and 0 < row["until_date"] <= self.now()):
            return {"chat_id": chat_id, "user_id": user_id, "status": "left", "rights": {}, "until_date": 0, "link": None}
        return {**row, "rights": json.loads(row["rights"])}

    def put_member(self, member: Row) -> None:
        """Write what somebody is in a chat from now on."""
        self.books.run(
            "INSERT OR REPLACE INTO members (chat_id, user_id, status, rights, until_date, link, since)"
            " VALUES (:chat_id, :user_id, :status, :rights, :until_date, :link, :since)",
            {**member, "rights": json.dumps(member["rights"]), "since": self.now()},
        )

    def me(self, chat_id: int) -> Row:
        """Read what the bot is in a chat."""
        return self.member(chat_id, self.account.id)

    def may(self, chat_id: int, right: str) -> bool:
        """Say whether the bot is an administrator there who has this right."""
        me = self.me(chat_id)
        return me["status"] == "creator" or (me["status"] == "administrator" and me["rights"].get(right) is True)

    def next_message_id(self, chat_id: int) -> int:
        """Count one message further in a chat."""
        row = self.books.one("UPDATE chats SET last_message_id = last_message_id + 1 WHERE id = ? RETURNING last_message_id", (chat_id,))
        assert row is not None
        return int(row["last_message_id"])

    def put_message(self, body: Mapping[str, Any], *, outgoing: bool) -> None:
        """Write down a message as it was sent, or as it is after an edit."""
        self.books.run(
            "INSERT OR REPLACE INTO messages (chat_id, message_id, outgoing, date, body) VALUES (?, ?, ?, ?, ?)",
            (body["chat"]["id"], body["message_id"], outgoing, body["date"], json.dumps(body)),
        )

    def message(self, chat_id: int, message_id: int, what: str) -> tuple[dict[str, Any], bool]:
        """Read a message that was not deleted, and whether the bot sent it; raises ApiError "`what` not found"."""
        row = self.books.one("SELECT * FROM messages WHERE chat_id = ? AND message_id = ? AND NOT deleted", (chat_id, message_id))
        if row is None:
            raise bad_request(f"{what} not found")
        return json.loads(row["body"]), bool(row["outgoing"])


def default_rights(chat_type: str) -> dict[str, bool]:
    """Say what an administrator may do when nothing else is said."""
    return ADMIN_RIGHTS | (CHANNEL_RIGHTS if chat_type == "channel" else GROUP_RIGHTS)

"""The tables in which the simulator keeps its world."""

from __future__ import annotations

# Message and update bodies are stored as the JSON that was or will be sent: what the bot was told is what the books show.
SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS users (
    id INTEGER PRIMARY KEY, first_name TEXT NOT NULL, last_name TEXT, username TEXT, language_code TEXT,
    started INTEGER NOT NULL DEFAULT 0, blocked INTEGER NOT NULL DEFAULT 0, deactivated INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS chats (
    id INTEGER PRIMARY KEY, type TEXT NOT NULL, title TEXT, username TEXT, description TEXT, migrated_to INTEGER,
    deleted INTEGER NOT NULL DEFAULT 0, last_message_id INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS members (
    chat_id INTEGER NOT NULL, user_id INTEGER NOT NULL, status TEXT NOT NULL, rights TEXT NOT NULL DEFAULT '{}',
    until_date INTEGER NOT NULL DEFAULT 0, link TEXT, since INTEGER NOT NULL, PRIMARY KEY (chat_id, user_id)
);
CREATE TABLE IF NOT EXISTS links (
    link TEXT PRIMARY KEY, chat_id INTEGER NOT NULL, creator_id INTEGER NOT NULL, name TEXT, expire_date INTEGER NOT NULL DEFAULT 0,
    member_limit INTEGER NOT NULL DEFAULT 0, creates_join_request INTEGER NOT NULL DEFAULT 0, is_primary INTEGER NOT NULL DEFAULT 0,
    is_revoked INTEGER NOT NULL DEFAULT 0, subscription_period INTEGER NOT NULL DEFAULT 0, subscription_price INTEGER NOT NULL DEFAULT 0,
    created INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS joins (
    id INTEGER PRIMARY KEY AUTOINCREMENT, chat_id INTEGER NOT NULL, user_id INTEGER NOT NULL, link TEXT NOT NULL,
    state TEXT NOT NULL, date INTEGER NOT NULL, decided INTEGER
);
CREATE UNIQUE INDEX IF NOT EXISTS one_pending_join ON joins (chat_id, user_id) WHERE state = 'pending';
CREATE TABLE IF NOT EXISTS messages (
    chat_id INTEGER NOT NULL, message_id INTEGER NOT NULL, outgoing INTEGER NOT NULL, date INTEGER NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0, body TEXT NOT NULL, PRIMARY KEY (chat_id, message_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS messages_by_date ON messages (date);
CREATE TABLE IF NOT EXISTS callbacks (
    id TEXT PRIMARY KEY, user_id INTEGER NOT NULL, chat_id INTEGER NOT NULL, message_id INTEGER NOT NULL, data TEXT NOT NULL,
    date INTEGER NOT NULL, answer TEXT
);
CREATE TABLE IF NOT EXISTS updates (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, update_id INTEGER NOT NULL, kind TEXT NOT NULL, queue TEXT NOT NULL, body TEXT NOT NULL,
    created REAL NOT NULL, expires REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, ended TEXT
);
CREATE INDEX IF NOT EXISTS waiting_updates ON updates (queue, seq) WHERE ended IS NULL;
"""

-- Owners, their channels and tiers, the coins, and how an owner signs in.

CREATE EXTENSION IF NOT EXISTS btree_gist;

-- All deadlines are decided by this one function; a test database replaces it.
CREATE FUNCTION pgp_now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT now()';

-- 'NaN' and 'Infinity' are greater than every number in PostgreSQL, so both ends are bounded.
CREATE DOMAIN pos_units AS numeric(38, 0) CHECK (VALUE > 0 AND VALUE < 1e38);
CREATE DOMAIN units AS numeric(38, 0) CHECK (VALUE >= 0 AND VALUE < 1e38);
CREATE DOMAIN usd AS numeric(20, 8) CHECK (VALUE >= 0 AND VALUE < 1e12);
CREATE DOMAIN telegram_user AS bigint CHECK (VALUE BETWEEN 1 AND 4503599627370496);
CREATE DOMAIN telegram_channel AS bigint CHECK (VALUE < 0 AND VALUE > -4503599627370496);

CREATE TABLE currency_to_network (
    asset text PRIMARY KEY CHECK (asset ~ '^[a-z0-9]{2,20}$'),
    name text NOT NULL,
    ticker text NOT NULL,
    network text NOT NULL,
    decimals int NOT NULL CHECK (decimals BETWEEN 0 AND 30),
    address_family text,
    token_contract text,
    -- The coin's name at CoinGecko; without one that source is not asked.
    coingecko_id text,
    can_pay boolean NOT NULL DEFAULT true,
    can_pay_out boolean NOT NULL DEFAULT false CHECK (NOT can_pay_out OR address_family IS NOT NULL),
    UNIQUE (ticker, network)
);

CREATE TABLE account (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email text NOT NULL CHECK (length(email) BETWEEN 3 AND 254),
    password_hash text NOT NULL,
    email_verified_at timestamptz,
    failed_logins int NOT NULL DEFAULT 0,
    locked_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT pgp_now()
);
-- One account an address, whatever its case.
CREATE UNIQUE INDEX account_email_key ON account (lower(email));

CREATE TABLE refresh_token (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES account,
    family uuid NOT NULL,
    token_hash bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    parent_id bigint REFERENCES refresh_token,
    issued_at timestamptz NOT NULL DEFAULT pgp_now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX refresh_token_family ON refresh_token (family);

CREATE TABLE one_time_token (
    token_hash bytea PRIMARY KEY CHECK (length(token_hash) = 32),
    account_id bigint NOT NULL REFERENCES account,
    purpose text NOT NULL CHECK (purpose IN ('verify_email', 'reset_password', 'link_telegram')),
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);

-- A mail that waits to be sent; what it carries is sealed until it is gone.
CREATE TABLE mail (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES account,
    kind text NOT NULL CHECK (kind IN ('verify_email', 'reset_password', 'password_changed', 'address_changed')),
    token text,
    unknown_sends int NOT NULL DEFAULT 0,
    sent_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT pgp_now()
);

-- Owners. The map calls them clients.
CREATE TABLE client_table (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL UNIQUE REFERENCES account,
    display_name text NOT NULL DEFAULT '',
    -- The owner's own Telegram account, linked through the bot; messages go there.
    notify_chat_id telegram_user,
    payout_strategy text NOT NULL DEFAULT 'threshold' CHECK (payout_strategy IN ('threshold', 'instant')),
    payout_threshold_usd usd NOT NULL DEFAULT 50,
    fee_cap_percent numeric(5, 2) CHECK (fee_cap_percent BETWEEN 0 AND 50),
    payouts_stopped_reason text,
    created_at timestamptz NOT NULL DEFAULT pgp_now()
);

CREATE TABLE payout_details (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner_id bigint NOT NULL REFERENCES client_table,
    asset text NOT NULL REFERENCES currency_to_network,
    address text NOT NULL CHECK (length(address) BETWEEN 10 AND 128),
    extra_id text,
    usable_from timestamptz NOT NULL DEFAULT pgp_now(),
    created_at timestamptz NOT NULL DEFAULT pgp_now()
);
CREATE INDEX payout_details_owner ON payout_details (owner_id, usable_from DESC, id DESC);

CREATE TABLE channel (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner_id bigint NOT NULL REFERENCES client_table,
    open_channel_id telegram_channel NOT NULL UNIQUE,
    closed_channel_id telegram_channel NOT NULL UNIQUE CHECK (closed_channel_id <> open_channel_id),
    open_title text NOT NULL,
    closed_title text NOT NULL,
    description text NOT NULL DEFAULT '',
    donation_message text NOT NULL DEFAULT '',
    access_mode text NOT NULL DEFAULT 'join_request' CHECK (access_mode IN ('join_request', 'single_use')),
    join_link text,
    tolerance_bps int NOT NULL DEFAULT 100 CHECK (tolerance_bps BETWEEN 0 AND 1000),
    active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT pgp_now()
);
CREATE INDEX channel_owner ON channel (owner_id);

CREATE TABLE subscription_tier_map (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel_id bigint NOT NULL REFERENCES channel,
    position int NOT NULL CHECK (position BETWEEN 1 AND 10),
    label text NOT NULL CHECK (length(label) BETWEEN 1 AND 64),
    price_usd numeric(8, 2) NOT NULL CHECK (price_usd BETWEEN 4.99 AND 9999.99),
    days int NOT NULL CHECK (days BETWEEN 1 AND 3660),
    active boolean NOT NULL DEFAULT true
);
-- One active tier a place in the channel's list.
CREATE UNIQUE INDEX subscription_tier_place ON subscription_tier_map (channel_id, position) WHERE active;

CREATE TABLE conversation_state (
    user_id telegram_user PRIMARY KEY,
    state text NOT NULL,
    data jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT pgp_now()
);

CREATE TABLE telegram_update (
    update_id bigint PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT pgp_now()
);

-- What the bot still has to say: written with the update that caused it, sent as work.
CREATE TABLE bot_message (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chat_id bigint NOT NULL,
    text text NOT NULL CHECK (length(text) BETWEEN 1 AND 4096),
    buttons jsonb NOT NULL DEFAULT '[]',
    unknown_sends int NOT NULL DEFAULT 0,
    sent_message_id bigint,
    created_at timestamptz NOT NULL DEFAULT pgp_now()
);

-- Rate limits when Redis is away (transaction_limits is the map's name).
CREATE TABLE transaction_limits (
    bucket text NOT NULL,
    window_start timestamptz NOT NULL,
    used int NOT NULL CHECK (used > 0),
    PRIMARY KEY (bucket, window_start)
);

CREATE TABLE audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT pgp_now(),
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    before jsonb,
    after jsonb,
    reason text NOT NULL
);

-- From the order to the chain: what a buyer pays, what his owner is owed, and how it reaches him.

CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    unique_id text NOT NULL UNIQUE CHECK (unique_id ~ '^[0-9A-Z]{26}$'),
    view_token text NOT NULL UNIQUE CHECK (length(view_token) >= 22),
    kind text NOT NULL CHECK (kind IN ('subscription', 'donation')),
    owner_id bigint NOT NULL REFERENCES client_table,
    channel_id bigint NOT NULL REFERENCES channel,
    tier_id bigint REFERENCES subscription_tier_map,
    buyer_id telegram_user NOT NULL,
    buyer_name text NOT NULL DEFAULT '',
    price_usd numeric(8, 2) NOT NULL CHECK (price_usd BETWEEN 4.99 AND 9999.99),
    days int CHECK (days BETWEEN 1 AND 3660),
    fee_percent numeric(5, 2) NOT NULL CHECK (fee_percent BETWEEN 0 AND 100),
    tolerance_bps int NOT NULL CHECK (tolerance_bps BETWEEN 0 AND 1000),
    paid_usd usd NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'created' CHECK (state IN ('created', 'invoiced', 'part_paid', 'paid', 'expired', 'cancelled')),
    correlation text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pgp_now(),
    expires_at timestamptz NOT NULL,
    CHECK ((kind = 'subscription') = (days IS NOT NULL AND tier_id IS NOT NULL))
);
CREATE INDEX orders_buyer ON orders (buyer_id, created_at DESC);
CREATE INDEX orders_open ON orders (expires_at) WHERE state IN ('created', 'invoiced', 'part_paid');
CREATE INDEX orders_channel ON orders (channel_id);

CREATE TABLE invoice (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id bigint NOT NULL REFERENCES orders,
    price_usd numeric(8, 2) NOT NULL CHECK (price_usd > 0 AND price_usd < 100000),
    provider text NOT NULL DEFAULT 'nowpayments',
    provider_id text,
    url text,
    created_at timestamptz NOT NULL DEFAULT pgp_now(),
    UNIQUE (provider, provider_id),
    CHECK ((provider_id IS NULL) = (url IS NULL))
);
CREATE INDEX invoice_order ON invoice (order_id);

CREATE TABLE inbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('ipn', 'found')),
    body bytea NOT NULL CHECK (length(body) BETWEEN 1 AND 65536),
    body_sha256 bytea NOT NULL UNIQUE CHECK (length(body_sha256) = 32),
    times_seen int NOT NULL DEFAULT 1,
    first_seen timestamptz NOT NULL DEFAULT pgp_now(),
    last_seen timestamptz NOT NULL DEFAULT pgp_now()
);

CREATE TABLE processed_payments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider text NOT NULL DEFAULT 'nowpayments',
    provider_id text NOT NULL CHECK (provider_id ~ '^[0-9]{1,20}$'),
    order_id bigint NOT NULL REFERENCES orders,
    invoice_id bigint REFERENCES invoice,
    parent_provider_id text,
    state text NOT NULL DEFAULT 'observed' CHECK (state IN ('observed', 'credited', 'review', 'rejected', 'reversed')),
    status text NOT NULL,
    status_rank int NOT NULL CHECK (status_rank BETWEEN 0 AND 8),
    pay_currency text,
    pay_amount numeric CHECK (pay_amount >= 0 AND pay_amount < 1e30),
    actually_paid numeric CHECK (actually_paid >= 0 AND actually_paid < 1e30),
    outcome_asset text REFERENCES currency_to_network,
    outcome_units units NOT NULL DEFAULT 0,
    owner_units units NOT NULL DEFAULT 0,
    fee_units units NOT NULL DEFAULT 0,
    suspense_units units NOT NULL DEFAULT 0,
    paid_usd usd NOT NULL DEFAULT 0,
    -- The outcome's value at that moment; NULL means unpriced.
    value_usd usd,
    -- A repeated or late deposit that no order needed: the owner's, without access.
    excess boolean NOT NULL DEFAULT false,
    payout_hash text CHECK (payout_hash ~ '^0x[0-9a-f]{64}$'),
    review_reason text,
    correlation text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pgp_now(),
    credited_at timestamptz,
    UNIQUE (provider, provider_id),
    -- What was credited is exactly what came: the fee and the owner's part, or suspense.
    CONSTRAINT payment_parts CHECK (state <> 'credited' OR owner_units + fee_units = outcome_units)
);
CREATE INDEX processed_payments_order ON processed_payments (order_id);
-- What the vendor is asked about again, because a notice may have been lost.
CREATE INDEX processed_payments_observed ON processed_payments (created_at) WHERE state = 'observed';
CREATE UNIQUE INDEX processed_payments_payout_hash ON processed_payments (payout_hash) WHERE payout_hash IS NOT NULL;

CREATE TABLE membership (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel_id bigint NOT NULL REFERENCES channel,
    buyer_id telegram_user NOT NULL,
    present boolean NOT NULL DEFAULT false,
    present_changed_at timestamptz,
    removed_at timestamptz,
    UNIQUE (channel_id, buyer_id)
);
CREATE INDEX membership_buyer ON membership (buyer_id);

CREATE TABLE entitlement (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    membership_id bigint NOT NULL REFERENCES membership,
    order_id bigint NOT NULL UNIQUE REFERENCES orders,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL CHECK (ends_at > starts_at),
    revoked_at timestamptz,
    reminded_at timestamptz,
    expired_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT pgp_now(),
    -- A renewal extends; it never overlaps.
    CONSTRAINT entitlement_no_overlap EXCLUDE USING gist (membership_id WITH =, tstzrange(starts_at, ends_at) WITH &&) WHERE (revoked_at IS NULL)
);
CREATE INDEX entitlement_ending ON entitlement (ends_at) WHERE expired_at IS NULL;

CREATE TABLE invite (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entitlement_id bigint NOT NULL UNIQUE REFERENCES entitlement,
    mode text NOT NULL CHECK (mode IN ('join_request', 'single_use')),
    state text NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'linked', 'sent', 'joined', 'expired', 'blocked')),
    link text,
    link_expires_at timestamptz,
    -- When somebody came in by a link that was made for one person: it is worth nothing from then on.
    link_used_at timestamptz,
    message_id bigint,
    unknown_sends int NOT NULL DEFAULT 0 CHECK (unknown_sends BETWEEN 0 AND 3),
    created_at timestamptz NOT NULL DEFAULT pgp_now(),
    CHECK (state = 'planned' OR state = 'blocked' OR state = 'expired' OR link IS NOT NULL)
);
-- Whose link somebody came in by.
CREATE INDEX invite_link ON invite (link) WHERE mode = 'single_use';

CREATE TABLE wallet (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    address text NOT NULL UNIQUE CHECK (address ~ '^0x[0-9a-fA-F]{40}$'),
    chain_id bigint NOT NULL CHECK (chain_id > 0),
    first_nonce bigint NOT NULL CHECK (first_nonce >= 0),
    next_nonce bigint NOT NULL CHECK (next_nonce >= first_nonce),
    scanned_block bigint NOT NULL CHECK (scanned_block >= 0),
    max_in_flight int NOT NULL DEFAULT 16 CHECK (max_in_flight BETWEEN 1 AND 64),
    gas_reserve_wei units NOT NULL DEFAULT 20000000000000000,
    frozen_reason text,
    frozen_at timestamptz,
    opened_at timestamptz NOT NULL DEFAULT pgp_now()
);

CREATE TABLE batch_conversions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    from_asset text NOT NULL REFERENCES currency_to_network,
    from_units pos_units NOT NULL,
    to_asset text NOT NULL REFERENCES currency_to_network,
    received_units units,
    state text NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'quoted', 'swapping', 'done', 'refunded', 'review', 'cancelled')),
    reason text,
    correlation text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pgp_now(),
    finished_at timestamptz,
    CHECK (from_asset <> to_asset)
);

CREATE TABLE split_payout_que (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner_id bigint NOT NULL REFERENCES client_table,
    details_id bigint NOT NULL REFERENCES payout_details,
    asset text NOT NULL REFERENCES currency_to_network,
    units pos_units NOT NULL,
    -- Written down when the money is reserved, and not read again from the owner's settings.
    payout_asset text NOT NULL REFERENCES currency_to_network,
    address text NOT NULL,
    extra_id text,
    fee_cap_percent numeric(5, 2) NOT NULL,
    state text NOT NULL DEFAULT 'reserved'
        CHECK (state IN ('reserved', 'quoted', 'swap_ready', 'funding', 'funded', 'settled', 'refunding', 'released', 'review')),
    quotes_failed int NOT NULL DEFAULT 0,
    reason text,
    paid_out_units units,
    tx_hash text,
    correlation text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pgp_now(),
    finished_at timestamptz
);
-- One open payout an owner.
CREATE UNIQUE INDEX split_payout_que_open ON split_payout_que (owner_id) WHERE state NOT IN ('settled', 'released');
CREATE INDEX split_payout_que_owner ON split_payout_que (owner_id);

CREATE TABLE payout_accumulation (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payment_id bigint NOT NULL REFERENCES processed_payments,
    -- 1 for the first credit of a payment, 2 and on for a later larger outcome's difference.
    part int NOT NULL DEFAULT 1 CHECK (part > 0),
    owner_id bigint NOT NULL REFERENCES client_table,
    channel_id bigint NOT NULL REFERENCES channel,
    asset text NOT NULL REFERENCES currency_to_network,
    units pos_units NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'converting', 'converted', 'attached', 'paid', 'frozen', 'reversed')),
    conversion_id bigint REFERENCES batch_conversions,
    converted_asset text REFERENCES currency_to_network,
    converted_units units,
    payout_id bigint REFERENCES split_payout_que,
    created_at timestamptz NOT NULL DEFAULT pgp_now(),
    UNIQUE (payment_id, part),
    CHECK (state NOT IN ('converted', 'attached', 'paid') OR converted_units IS NOT NULL),
    CHECK ((converted_units IS NULL) = (converted_asset IS NULL)),
    CHECK (state NOT IN ('converting', 'converted', 'attached', 'paid') OR conversion_id IS NOT NULL OR converted_asset = asset),
    CHECK ((state IN ('attached', 'paid')) = (payout_id IS NOT NULL))
);
CREATE INDEX payout_accumulation_pending ON payout_accumulation (asset, id) WHERE state = 'pending';
CREATE INDEX payout_accumulation_converted ON payout_accumulation (owner_id, id) WHERE state = 'converted';
CREATE INDEX payout_accumulation_conversion ON payout_accumulation (conversion_id) WHERE conversion_id IS NOT NULL;
CREATE INDEX payout_accumulation_payout ON payout_accumulation (payout_id) WHERE payout_id IS NOT NULL;

CREATE TABLE quote (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    conversion_id bigint REFERENCES batch_conversions,
    payout_id bigint REFERENCES split_payout_que,
    from_asset text NOT NULL REFERENCES currency_to_network,
    from_units pos_units NOT NULL,
    to_asset text NOT NULL REFERENCES currency_to_network,
    -- Filled once, when the exchange has answered.
    to_units pos_units,
    rate_id text,
    valid_until timestamptz,
    -- What the exchange's answer costs against the mid price, in hundredths of a percent; NULL when no price is known.
    cost_bps int,
    created_at timestamptz NOT NULL DEFAULT pgp_now(),
    priced_at timestamptz,
    -- Why the exchange names no price (below its minimum, a pair it does not trade).
    refused_reason text,
    CHECK ((conversion_id IS NULL) <> (payout_id IS NULL)),
    CHECK ((to_units IS NULL) = (priced_at IS NULL)),
    CHECK (refused_reason IS NULL OR priced_at IS NULL)
);
CREATE INDEX quote_payout ON quote (payout_id) WHERE payout_id IS NOT NULL;
CREATE INDEX quote_conversion ON quote (conversion_id) WHERE conversion_id IS NOT NULL;

CREATE TABLE swap (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reference uuid NOT NULL UNIQUE,
    quote_id bigint NOT NULL UNIQUE REFERENCES quote,
    conversion_id bigint REFERENCES batch_conversions,
    payout_id bigint REFERENCES split_payout_que,
    state text NOT NULL DEFAULT 'planned'
        CHECK (state IN ('planned', 'created', 'funding', 'funded', 'hold', 'lost', 'finished', 'refunded', 'abandoned')),
    from_asset text NOT NULL REFERENCES currency_to_network,
    from_units pos_units NOT NULL,
    to_asset text NOT NULL REFERENCES currency_to_network,
    to_units pos_units NOT NULL,
    payout_address text NOT NULL,
    payout_extra_id text,
    refund_address text NOT NULL,
    deadline timestamptz NOT NULL,
    creates int NOT NULL DEFAULT 0 CHECK (creates BETWEEN 0 AND 3),
    provider_id text UNIQUE,
    payin_address text UNIQUE,
    vendor_status text,
    vendor_looked_at timestamptz,
    received_units units,
    payout_hash text,
    refund_units units,
    refund_hash text,
    reason text,
    created_at timestamptz NOT NULL DEFAULT pgp_now(),
    funded_at timestamptz,
    ended_at timestamptz,
    CHECK ((conversion_id IS NULL) <> (payout_id IS NULL)),
    CHECK ((provider_id IS NULL) = (payin_address IS NULL)),
    CHECK (state IN ('planned', 'abandoned') OR provider_id IS NOT NULL)
);
-- At most one swap that may still carry money, for a payout and for a conversion.
CREATE UNIQUE INDEX swap_live_payout ON swap (payout_id) WHERE payout_id IS NOT NULL AND state NOT IN ('abandoned', 'refunded', 'lost');
CREATE UNIQUE INDEX swap_live_conversion ON swap (conversion_id) WHERE conversion_id IS NOT NULL AND state NOT IN ('abandoned', 'refunded', 'lost');

-- Which exchange an arrival came from.
CREATE INDEX swap_payout_hash ON swap (payout_hash) WHERE payout_hash IS NOT NULL;
CREATE INDEX swap_refund_hash ON swap (refund_hash) WHERE refund_hash IS NOT NULL;

-- After 'created' what the exchange agreed to never changes.
CREATE FUNCTION swap_terms_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.from_asset, OLD.from_units, OLD.to_asset, OLD.to_units, OLD.payout_address, OLD.refund_address, OLD.quote_id)
       IS DISTINCT FROM (NEW.from_asset, NEW.from_units, NEW.to_asset, NEW.to_units, NEW.payout_address, NEW.refund_address, NEW.quote_id)
       OR (OLD.state <> 'planned' AND (OLD.provider_id, OLD.payin_address, OLD.deadline) IS DISTINCT FROM (NEW.provider_id, NEW.payin_address, NEW.deadline)) THEN
        RAISE EXCEPTION 'the terms of swap % are fixed', OLD.id USING ERRCODE = '23514', CONSTRAINT = 'swap_terms_stay';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER swap_terms BEFORE UPDATE ON swap FOR EACH ROW EXECUTE FUNCTION swap_terms_stay();

-- Exchanges that were created and are not ours to fund: a lost answer's twin, a slower worker's.
CREATE TABLE swap_orphan (
    provider_id text PRIMARY KEY,
    swap_id bigint NOT NULL REFERENCES swap,
    payin_address text NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT pgp_now()
);

CREATE TABLE transfer (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    wallet_id bigint NOT NULL REFERENCES wallet,
    purpose text NOT NULL CHECK (purpose IN ('swap', 'direct', 'treasury', 'refund')),
    swap_id bigint REFERENCES swap,
    payout_id bigint REFERENCES split_payout_que,
    payment_id bigint REFERENCES processed_payments,
    asset text NOT NULL REFERENCES currency_to_network,
    recipient text NOT NULL CHECK (recipient ~ '^0x[0-9a-fA-F]{40}$'),
    units pos_units NOT NULL,
    deadline timestamptz,
    state text NOT NULL DEFAULT 'requested'
        CHECK (state IN ('requested', 'signed', 'broadcast', 'mined', 'final', 'failed_onchain', 'cancelled', 'stuck', 'superseded')),
    nonce bigint CHECK (nonce >= 0),
    calldata_hash bytea,
    max_total_fee_wei pos_units,
    mined_hash text,
    mined_block bigint,
    mined_block_hash text,
    -- How often in a row the mined receipt was missing (3 times: a re-organisation), or an unknown nonce was seen.
    missing int NOT NULL DEFAULT 0,
    gas_wei units,
    reason text,
    created_at timestamptz NOT NULL DEFAULT pgp_now(),
    signed_at timestamptz,
    final_at timestamptz,
    UNIQUE (wallet_id, nonce),
    UNIQUE (id, wallet_id, nonce, asset, recipient, units, calldata_hash),
    CHECK ((purpose = 'swap') = (swap_id IS NOT NULL)),
    CHECK ((purpose = 'direct') = (payout_id IS NOT NULL)),
    CHECK ((purpose = 'refund') = (payment_id IS NOT NULL)),
    CHECK (state IN ('requested', 'cancelled') OR (nonce IS NOT NULL AND calldata_hash IS NOT NULL AND max_total_fee_wei IS NOT NULL))
);
-- At most one transfer for a swap, and for a direct payout, that is not given up.
CREATE UNIQUE INDEX transfer_live_swap ON transfer (swap_id) WHERE swap_id IS NOT NULL AND state NOT IN ('cancelled', 'failed_onchain', 'superseded');
CREATE UNIQUE INDEX transfer_live_payout ON transfer (payout_id) WHERE payout_id IS NOT NULL AND state NOT IN ('cancelled', 'failed_onchain', 'superseded');
CREATE INDEX transfer_signed ON transfer (wallet_id, signed_at) WHERE signed_at IS NOT NULL;
CREATE INDEX transfer_in_flight ON transfer (wallet_id) WHERE state IN ('signed', 'broadcast', 'mined', 'stuck');

CREATE FUNCTION transfer_terms_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.wallet_id, OLD.purpose, OLD.swap_id, OLD.payout_id, OLD.payment_id, OLD.asset, OLD.recipient, OLD.units)
       IS DISTINCT FROM (NEW.wallet_id, NEW.purpose, NEW.swap_id, NEW.payout_id, NEW.payment_id, NEW.asset, NEW.recipient, NEW.units)
       OR (OLD.nonce IS NOT NULL AND (OLD.nonce, OLD.calldata_hash) IS DISTINCT FROM (NEW.nonce, NEW.calldata_hash)) THEN
        RAISE EXCEPTION 'the terms of transfer % are fixed', OLD.id USING ERRCODE = '23514', CONSTRAINT = 'transfer_terms_stay';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER transfer_terms BEFORE UPDATE ON transfer FOR EACH ROW EXECUTE FUNCTION transfer_terms_stay();

CREATE TABLE transfer_attempt (
    transfer_id bigint NOT NULL,
    seq int NOT NULL CHECK (seq > 0),
    wallet_id bigint NOT NULL,
    nonce bigint NOT NULL,
    asset text NOT NULL,
    recipient text NOT NULL,
    units pos_units NOT NULL,
    calldata_hash bytea NOT NULL,
    raw bytea NOT NULL,
    tx_hash text NOT NULL UNIQUE CHECK (tx_hash ~ '^0x[0-9a-f]{64}$'),
    gas_limit bigint NOT NULL CHECK (gas_limit > 0),
    max_fee_wei pos_units NOT NULL,
    max_priority_wei units NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pgp_now(),
    PRIMARY KEY (transfer_id, seq),
    -- All attempts of a transfer share wallet, nonce, asset, recipient, units and calldata: the chain can mine at most one.
    FOREIGN KEY (transfer_id, wallet_id, nonce, asset, recipient, units, calldata_hash)
        REFERENCES transfer (id, wallet_id, nonce, asset, recipient, units, calldata_hash)
);
CREATE TRIGGER transfer_attempt_append_only BEFORE UPDATE OR DELETE ON transfer_attempt FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE nonce_fill (
    wallet_id bigint NOT NULL REFERENCES wallet,
    nonce bigint NOT NULL,
    tx_hash text NOT NULL UNIQUE,
    raw bytea NOT NULL,
    reason text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pgp_now(),
    PRIMARY KEY (wallet_id, nonce, tx_hash)
);

CREATE TABLE arrival (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    wallet_id bigint NOT NULL REFERENCES wallet,
    asset text NOT NULL REFERENCES currency_to_network,
    units pos_units NOT NULL,
    tx_hash text NOT NULL CHECK (tx_hash ~ '^0x[0-9a-f]{64}$'),
    -- The log's index for ERC-20, 'native' for ETH.
    log text NOT NULL,
    block bigint NOT NULL,
    sender text NOT NULL,
    cause text CHECK (cause IN ('payment', 'swap', 'refund', 'treasury')),
    payment_id bigint REFERENCES processed_payments,
    swap_id bigint REFERENCES swap,
    seen_at timestamptz NOT NULL DEFAULT pgp_now(),
    matched_at timestamptz,
    UNIQUE (tx_hash, log),
    CHECK ((cause IS NULL) = (matched_at IS NULL)),
    CHECK ((cause = 'payment') IS NOT DISTINCT FROM (payment_id IS NOT NULL) OR cause IS NULL),
    CHECK ((cause IN ('swap', 'refund')) IS NOT DISTINCT FROM (swap_id IS NOT NULL) OR cause IS NULL)
);
CREATE INDEX arrival_unmatched ON arrival (seen_at) WHERE matched_at IS NULL;
CREATE INDEX arrival_payment ON arrival (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX arrival_swap ON arrival (swap_id) WHERE swap_id IS NOT NULL;

-- Deposits that an operator announced.
CREATE TABLE expected_deposit (
    tx_hash text PRIMARY KEY CHECK (tx_hash ~ '^0x[0-9a-f]{64}$'),
    reason text NOT NULL,
    announced_at timestamptz NOT NULL DEFAULT pgp_now()
);

-- One row a message that must reach a person once: sends whose answer was lost are counted.
CREATE TABLE notification (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('sale', 'donation', 'part_paid', 'payout_settled', 'payout_released', 'access_ended', 'reminder', 'address_changed')),
    subject bigint NOT NULL,
    chat_id telegram_user,
    state text NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'sent', 'undeliverable')),
    unknown_sends int NOT NULL DEFAULT 0,
    message_id bigint,
    created_at timestamptz NOT NULL DEFAULT pgp_now(),
    sent_at timestamptz,
    UNIQUE (kind, subject)
);

CREATE TABLE broadcast_manager (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel_id bigint NOT NULL REFERENCES channel,
    kind text NOT NULL CHECK (kind IN ('scheduled', 'manual')),
    text text NOT NULL DEFAULT '',
    requested_by bigint REFERENCES account,
    idempotency_key text,
    due_at timestamptz NOT NULL DEFAULT pgp_now(),
    created_at timestamptz NOT NULL DEFAULT pgp_now()
);
CREATE INDEX broadcast_manager_channel ON broadcast_manager (channel_id, kind, due_at DESC);
CREATE UNIQUE INDEX broadcast_manager_request ON broadcast_manager (channel_id, idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TABLE broadcast_post (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    broadcast_id bigint NOT NULL REFERENCES broadcast_manager,
    chat_id telegram_channel NOT NULL,
    part text NOT NULL CHECK (part IN ('subscribe', 'donate')),
    state text NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'sent', 'undeliverable')),
    unknown_sends int NOT NULL DEFAULT 0,
    message_id bigint,
    sent_at timestamptz,
    UNIQUE (broadcast_id, chat_id)
);

-- One row a run of a read-only comparison, with its breaks.
CREATE TABLE reconciliation (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job text NOT NULL,
    at timestamptz NOT NULL DEFAULT pgp_now(),
    compared int NOT NULL,
    breaks jsonb NOT NULL DEFAULT '[]'
);
CREATE INDEX reconciliation_job ON reconciliation (job, at DESC);

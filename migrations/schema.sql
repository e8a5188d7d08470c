-- Written by `pgp migrate dump` from a database that the migrations made. Do not edit.

CREATE DOMAIN pos_units AS numeric(38,0) CHECK (((VALUE > (0)::numeric) AND (VALUE < '100000000000000000000000000000000000000'::numeric)));
CREATE DOMAIN telegram_channel AS bigint CHECK (((VALUE < 0) AND (VALUE > '-4503599627370496'::bigint)));
CREATE DOMAIN telegram_user AS bigint CHECK (((VALUE >= 1) AND (VALUE <= '4503599627370496'::bigint)));
CREATE DOMAIN units AS numeric(38,0) CHECK (((VALUE >= (0)::numeric) AND (VALUE < '100000000000000000000000000000000000000'::numeric)));
CREATE DOMAIN usd AS numeric(20,8) CHECK (((VALUE >= (0)::numeric) AND (VALUE < '1000000000000'::numeric)));

CREATE TABLE account (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    email text NOT NULL,
    password_hash text NOT NULL,
    email_verified_at timestamp with time zone,
    failed_logins integer NOT NULL DEFAULT 0,
    locked_until timestamp with time zone,
    created_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    CONSTRAINT account_email_check CHECK (((length(email) >= 3) AND (length(email) <= 254))),
    CONSTRAINT account_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX account_email_key ON public.account USING btree (lower(email));

CREATE TABLE accumulation_place (
    accumulation_id bigint NOT NULL,
    conversion_id bigint,
    payout_id bigint,
    at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT accumulation_place_check CHECK (((conversion_id IS NULL) <> (payout_id IS NULL))),
    CONSTRAINT accumulation_place_accumulation_id_fkey FOREIGN KEY (accumulation_id) REFERENCES payout_accumulation(id),
    CONSTRAINT accumulation_place_conversion_id_fkey FOREIGN KEY (conversion_id) REFERENCES batch_conversions(id),
    CONSTRAINT accumulation_place_payout_id_fkey FOREIGN KEY (payout_id) REFERENCES split_payout_que(id)
);
CREATE INDEX accumulation_place_accumulation ON public.accumulation_place USING btree (accumulation_id);
CREATE UNIQUE INDEX accumulation_place_conversion ON public.accumulation_place USING btree (conversion_id, accumulation_id) WHERE (conversion_id IS NOT NULL);
CREATE UNIQUE INDEX accumulation_place_payout ON public.accumulation_place USING btree (payout_id, accumulation_id) WHERE (payout_id IS NOT NULL);
CREATE TRIGGER accumulation_place_append_only BEFORE DELETE OR UPDATE ON public.accumulation_place FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE arrival (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    wallet_id bigint NOT NULL,
    asset text NOT NULL,
    units pos_units NOT NULL,
    tx_hash text NOT NULL,
    log text NOT NULL,
    block bigint NOT NULL,
    sender text NOT NULL,
    cause text,
    payment_id bigint,
    swap_id bigint,
    seen_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    matched_at timestamp with time zone,
    CONSTRAINT arrival_cause_check CHECK ((cause = ANY (ARRAY['payment'::text, 'swap'::text, 'refund'::text, 'treasury'::text]))),
    CONSTRAINT arrival_check CHECK (((cause IS NULL) = (matched_at IS NULL))),
    CONSTRAINT arrival_check1 CHECK (((NOT ((cause = 'payment'::text) IS DISTINCT FROM (payment_id IS NOT NULL))) OR (cause IS NULL))),
    CONSTRAINT arrival_check2 CHECK (((NOT ((cause = ANY (ARRAY['swap'::text, 'refund'::text])) IS DISTINCT FROM (swap_id IS NOT NULL))) OR (cause IS NULL))),
    CONSTRAINT arrival_tx_hash_check CHECK ((tx_hash ~ '^0x[0-9a-f]{64}$'::text)),
    CONSTRAINT arrival_asset_fkey FOREIGN KEY (asset) REFERENCES currency_to_network(asset),
    CONSTRAINT arrival_payment_id_fkey FOREIGN KEY (payment_id) REFERENCES processed_payments(id),
    CONSTRAINT arrival_swap_id_fkey FOREIGN KEY (swap_id) REFERENCES swap(id),
    CONSTRAINT arrival_wallet_id_fkey FOREIGN KEY (wallet_id) REFERENCES wallet(id),
    CONSTRAINT arrival_pkey PRIMARY KEY (id),
    CONSTRAINT arrival_tx_hash_log_key UNIQUE (tx_hash, log)
);
CREATE INDEX arrival_block ON public.arrival USING btree (wallet_id, block);
CREATE INDEX arrival_payment ON public.arrival USING btree (payment_id) WHERE (payment_id IS NOT NULL);
CREATE INDEX arrival_swap ON public.arrival USING btree (swap_id) WHERE (swap_id IS NOT NULL);
CREATE INDEX arrival_unmatched ON public.arrival USING btree (seen_at) WHERE (matched_at IS NULL);

CREATE TABLE audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    before jsonb,
    after jsonb,
    reason text NOT NULL,
    CONSTRAINT audit_log_pkey PRIMARY KEY (id)
);
CREATE TRIGGER audit_log_append_only BEFORE DELETE OR UPDATE ON public.audit_log FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON public.audit_log FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE batch_conversions (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    from_asset text NOT NULL,
    from_units pos_units NOT NULL,
    to_asset text NOT NULL,
    received_units units,
    state text NOT NULL DEFAULT 'planned'::text,
    reason text,
    correlation text NOT NULL,
    created_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    finished_at timestamp with time zone,
    CONSTRAINT batch_conversions_check CHECK ((from_asset <> to_asset)),
    CONSTRAINT batch_conversions_state_check CHECK ((state = ANY (ARRAY['planned'::text, 'quoted'::text, 'swapping'::text, 'done'::text, 'refunded'::text, 'review'::text, 'cancelled'::text]))),
    CONSTRAINT batch_conversions_from_asset_fkey FOREIGN KEY (from_asset) REFERENCES currency_to_network(asset),
    CONSTRAINT batch_conversions_to_asset_fkey FOREIGN KEY (to_asset) REFERENCES currency_to_network(asset),
    CONSTRAINT batch_conversions_pkey PRIMARY KEY (id)
);
CREATE TRIGGER guard_birth AFTER INSERT ON public.batch_conversions FOR EACH ROW EXECUTE FUNCTION guard_move('conversion', 'planned');
CREATE TRIGGER guard_move BEFORE UPDATE OF state ON public.batch_conversions FOR EACH ROW EXECUTE FUNCTION guard_move('conversion', 'planned');

CREATE TABLE bot_message (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    chat_id bigint NOT NULL,
    text text NOT NULL,
    buttons jsonb NOT NULL DEFAULT '[]'::jsonb,
    unknown_sends integer NOT NULL DEFAULT 0,
    sent_message_id bigint,
    created_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    CONSTRAINT bot_message_text_check CHECK (((length(text) >= 1) AND (length(text) <= 4096))),
    CONSTRAINT bot_message_pkey PRIMARY KEY (id)
);

CREATE TABLE broadcast_manager (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    channel_id bigint NOT NULL,
    kind text NOT NULL,
    text text NOT NULL DEFAULT ''::text,
    requested_by bigint,
    idempotency_key text,
    due_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    created_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    CONSTRAINT broadcast_manager_kind_check CHECK ((kind = ANY (ARRAY['scheduled'::text, 'manual'::text]))),
    CONSTRAINT broadcast_manager_channel_id_fkey FOREIGN KEY (channel_id) REFERENCES channel(id),
    CONSTRAINT broadcast_manager_requested_by_fkey FOREIGN KEY (requested_by) REFERENCES account(id),
    CONSTRAINT broadcast_manager_pkey PRIMARY KEY (id)
);
CREATE INDEX broadcast_manager_channel ON public.broadcast_manager USING btree (channel_id, kind, due_at DESC);
CREATE UNIQUE INDEX broadcast_manager_request ON public.broadcast_manager USING btree (channel_id, idempotency_key) WHERE (idempotency_key IS NOT NULL);

CREATE TABLE broadcast_post (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    broadcast_id bigint NOT NULL,
    chat_id telegram_channel NOT NULL,
    part text NOT NULL,
    state text NOT NULL DEFAULT 'planned'::text,
    unknown_sends integer NOT NULL DEFAULT 0,
    message_id bigint,
    sent_at timestamp with time zone,
    CONSTRAINT broadcast_post_part_check CHECK ((part = ANY (ARRAY['subscribe'::text, 'donate'::text]))),
    CONSTRAINT broadcast_post_state_check CHECK ((state = ANY (ARRAY['planned'::text, 'sent'::text, 'undeliverable'::text]))),
    CONSTRAINT broadcast_post_broadcast_id_fkey FOREIGN KEY (broadcast_id) REFERENCES broadcast_manager(id),
    CONSTRAINT broadcast_post_pkey PRIMARY KEY (id),
    CONSTRAINT broadcast_post_broadcast_id_chat_id_key UNIQUE (broadcast_id, chat_id)
);

CREATE TABLE chain_tx (
    tx_hash text NOT NULL,
    wallet_id bigint NOT NULL,
    nonce bigint NOT NULL,
    block bigint NOT NULL,
    asset text,
    units units NOT NULL,
    recipient text,
    succeeded boolean NOT NULL,
    gas_wei units NOT NULL,
    seen_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    booked_at timestamp with time zone,
    explained_at timestamp with time zone,
    explained_as text,
    transfer_id bigint,
    CONSTRAINT chain_tx_block_check CHECK ((block >= 0)),
    CONSTRAINT chain_tx_check CHECK (((explained_at IS NULL) = (explained_as IS NULL))),
    CONSTRAINT chain_tx_check1 CHECK (((NOT ((explained_as = 'transfer'::text) IS DISTINCT FROM (transfer_id IS NOT NULL))) OR (explained_as IS NULL))),
    CONSTRAINT chain_tx_explained_as_check CHECK ((explained_as = ANY (ARRAY['transfer'::text, 'fill'::text, 'loss'::text]))),
    CONSTRAINT chain_tx_nonce_check CHECK ((nonce >= 0)),
    CONSTRAINT chain_tx_tx_hash_check CHECK ((tx_hash ~ '^0x[0-9a-f]{64}$'::text)),
    CONSTRAINT chain_tx_asset_fkey FOREIGN KEY (asset) REFERENCES currency_to_network(asset),
    CONSTRAINT chain_tx_transfer_id_fkey FOREIGN KEY (transfer_id) REFERENCES transfer(id),
    CONSTRAINT chain_tx_wallet_id_fkey FOREIGN KEY (wallet_id) REFERENCES wallet(id),
    CONSTRAINT chain_tx_pkey PRIMARY KEY (tx_hash),
    CONSTRAINT chain_tx_wallet_id_nonce_key UNIQUE (wallet_id, nonce)
);
CREATE INDEX chain_tx_unbooked ON public.chain_tx USING btree (wallet_id) WHERE (booked_at IS NULL);
CREATE INDEX chain_tx_unexplained ON public.chain_tx USING btree (wallet_id, nonce) WHERE (explained_at IS NULL);

CREATE TABLE channel (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    owner_id bigint NOT NULL,
    open_channel_id telegram_channel NOT NULL,
    closed_channel_id telegram_channel NOT NULL,
    open_title text NOT NULL,
    closed_title text NOT NULL,
    description text NOT NULL DEFAULT ''::text,
    donation_message text NOT NULL DEFAULT ''::text,
    access_mode text NOT NULL DEFAULT 'join_request'::text,
    join_link text,
    tolerance_bps integer NOT NULL DEFAULT 100,
    active boolean NOT NULL DEFAULT true,
    created_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    CONSTRAINT channel_access_mode_check CHECK ((access_mode = ANY (ARRAY['join_request'::text, 'single_use'::text]))),
    CONSTRAINT channel_check CHECK (((closed_channel_id)::bigint <> (open_channel_id)::bigint)),
    CONSTRAINT channel_tolerance_bps_check CHECK (((tolerance_bps >= 0) AND (tolerance_bps <= 1000))),
    CONSTRAINT channel_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES client_table(id),
    CONSTRAINT channel_pkey PRIMARY KEY (id),
    CONSTRAINT channel_closed_channel_id_key UNIQUE (closed_channel_id),
    CONSTRAINT channel_open_channel_id_key UNIQUE (open_channel_id)
);
CREATE INDEX channel_owner ON public.channel USING btree (owner_id);

CREATE TABLE client_table (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    account_id bigint NOT NULL,
    display_name text NOT NULL DEFAULT ''::text,
    notify_chat_id telegram_user,
    payout_strategy text NOT NULL DEFAULT 'threshold'::text,
    payout_threshold_usd usd NOT NULL DEFAULT 50,
    fee_cap_percent numeric(5,2),
    payouts_stopped_reason text,
    created_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    CONSTRAINT client_table_fee_cap_percent_check CHECK (((fee_cap_percent >= (0)::numeric) AND (fee_cap_percent <= (50)::numeric))),
    CONSTRAINT client_table_payout_strategy_check CHECK ((payout_strategy = ANY (ARRAY['threshold'::text, 'instant'::text]))),
    CONSTRAINT client_table_account_id_fkey FOREIGN KEY (account_id) REFERENCES account(id),
    CONSTRAINT client_table_pkey PRIMARY KEY (id),
    CONSTRAINT client_table_account_id_key UNIQUE (account_id)
);

CREATE TABLE conversation_state (
    user_id telegram_user NOT NULL,
    state text NOT NULL,
    data jsonb NOT NULL DEFAULT '{}'::jsonb,
    updated_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    CONSTRAINT conversation_state_pkey PRIMARY KEY (user_id)
);

CREATE TABLE currency_to_network (
    asset text NOT NULL,
    name text NOT NULL,
    ticker text NOT NULL,
    network text NOT NULL,
    decimals integer NOT NULL,
    address_family text,
    token_contract text,
    coingecko_id text,
    can_pay boolean NOT NULL DEFAULT true,
    can_pay_out boolean NOT NULL DEFAULT false,
    CONSTRAINT currency_to_network_asset_check CHECK ((asset ~ '^[a-z0-9]{2,20}$'::text)),
    CONSTRAINT currency_to_network_check CHECK (((NOT can_pay_out) OR (address_family IS NOT NULL))),
    CONSTRAINT currency_to_network_decimals_check CHECK (((decimals >= 0) AND (decimals <= 30))),
    CONSTRAINT currency_to_network_pkey PRIMARY KEY (asset),
    CONSTRAINT currency_to_network_ticker_network_key UNIQUE (ticker, network)
);

CREATE TABLE entitlement (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    membership_id bigint NOT NULL,
    order_id bigint NOT NULL,
    starts_at timestamp with time zone NOT NULL,
    ends_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone,
    reminded_at timestamp with time zone,
    expired_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    CONSTRAINT entitlement_check CHECK ((ends_at > starts_at)),
    CONSTRAINT entitlement_membership_id_fkey FOREIGN KEY (membership_id) REFERENCES membership(id),
    CONSTRAINT entitlement_order_id_fkey FOREIGN KEY (order_id) REFERENCES orders(id),
    CONSTRAINT entitlement_pkey PRIMARY KEY (id),
    CONSTRAINT entitlement_order_id_key UNIQUE (order_id),
    CONSTRAINT entitlement_no_overlap EXCLUDE USING gist (membership_id WITH =, tstzrange(starts_at, ends_at) WITH &&) WHERE ((revoked_at IS NULL))
);
CREATE INDEX entitlement_ending ON public.entitlement USING btree (ends_at) WHERE (expired_at IS NULL);

CREATE TABLE expected_deposit (
    tx_hash text NOT NULL,
    reason text NOT NULL,
    announced_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    CONSTRAINT expected_deposit_tx_hash_check CHECK ((tx_hash ~ '^0x[0-9a-f]{64}$'::text)),
    CONSTRAINT expected_deposit_pkey PRIMARY KEY (tx_hash)
);

CREATE TABLE failed_transactions (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    source text NOT NULL,
    subject text NOT NULL,
    reason text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'::jsonb,
    work_id bigint,
    created_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    resolved_at timestamp with time zone,
    resolution text,
    resolved_by text,
    CONSTRAINT failed_transactions_work_id_fkey FOREIGN KEY (work_id) REFERENCES work(id),
    CONSTRAINT failed_transactions_pkey PRIMARY KEY (id)
);
CREATE INDEX failed_transactions_subject ON public.failed_transactions USING btree (source, subject);
CREATE INDEX failed_transactions_work ON public.failed_transactions USING btree (work_id) WHERE (work_id IS NOT NULL);
CREATE UNIQUE INDEX failed_transactions_open ON public.failed_transactions USING btree (source, subject) WHERE (resolved_at IS NULL);

CREATE TABLE inbox (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    kind text NOT NULL,
    body bytea NOT NULL,
    body_sha256 bytea NOT NULL,
    times_seen integer NOT NULL DEFAULT 1,
    first_seen timestamp with time zone NOT NULL DEFAULT pgp_now(),
    last_seen timestamp with time zone NOT NULL DEFAULT pgp_now(),
    CONSTRAINT inbox_body_check CHECK (((length(body) >= 1) AND (length(body) <= 65536))),
    CONSTRAINT inbox_body_sha256_check CHECK ((length(body_sha256) = 32)),
    CONSTRAINT inbox_kind_check CHECK ((kind = ANY (ARRAY['ipn'::text, 'found'::text]))),
    CONSTRAINT inbox_pkey PRIMARY KEY (id),
    CONSTRAINT inbox_body_sha256_key UNIQUE (body_sha256)
);

CREATE TABLE invite (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    entitlement_id bigint NOT NULL,
    mode text NOT NULL,
    state text NOT NULL DEFAULT 'planned'::text,
    link text,
    link_expires_at timestamp with time zone,
    link_used_at timestamp with time zone,
    message_id bigint,
    unknown_sends integer NOT NULL DEFAULT 0,
    created_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    CONSTRAINT invite_check CHECK (((state = 'planned'::text) OR (state = 'blocked'::text) OR (state = 'expired'::text) OR (link IS NOT NULL))),
    CONSTRAINT invite_mode_check CHECK ((mode = ANY (ARRAY['join_request'::text, 'single_use'::text]))),
    CONSTRAINT invite_state_check CHECK ((state = ANY (ARRAY['planned'::text, 'linked'::text, 'sent'::text, 'joined'::text, 'expired'::text, 'blocked'::text]))),
    CONSTRAINT invite_unknown_sends_check CHECK (((unknown_sends >= 0) AND (unknown_sends <= 3))),
    CONSTRAINT invite_entitlement_id_fkey FOREIGN KEY (entitlement_id) REFERENCES entitlement(id),
    CONSTRAINT invite_pkey PRIMARY KEY (id),
    CONSTRAINT invite_entitlement_id_key UNIQUE (entitlement_id)
);
CREATE INDEX invite_link ON public.invite USING btree (link) WHERE (mode = 'single_use'::text);
CREATE TRIGGER guard_birth AFTER INSERT ON public.invite FOR EACH ROW EXECUTE FUNCTION guard_move('invite', 'planned');
CREATE TRIGGER guard_move BEFORE UPDATE OF state ON public.invite FOR EACH ROW EXECUTE FUNCTION guard_move('invite', 'planned');

CREATE TABLE invoice (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    order_id bigint NOT NULL,
    price_usd numeric(8,2) NOT NULL,
    provider text NOT NULL DEFAULT 'nowpayments'::text,
    provider_id text,
    url text,
    created_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    CONSTRAINT invoice_check CHECK (((provider_id IS NULL) = (url IS NULL))),
    CONSTRAINT invoice_price_usd_check CHECK (((price_usd > (0)::numeric) AND (price_usd < (100000)::numeric))),
    CONSTRAINT invoice_order_id_fkey FOREIGN KEY (order_id) REFERENCES orders(id),
    CONSTRAINT invoice_pkey PRIMARY KEY (id),
    CONSTRAINT invoice_provider_provider_id_key UNIQUE (provider, provider_id)
);
CREATE INDEX invoice_order ON public.invoice USING btree (order_id);

CREATE TABLE ledger_account (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    code text NOT NULL,
    asset text NOT NULL,
    side character(1) NOT NULL,
    owner_id bigint,
    balance numeric(38,0) NOT NULL DEFAULT 0,
    floor_at_zero boolean NOT NULL DEFAULT false,
    CONSTRAINT ledger_account_side_check CHECK ((side = ANY (ARRAY['D'::bpchar, 'C'::bpchar]))),
    CONSTRAINT ledger_floor CHECK (((NOT floor_at_zero) OR ((side = 'C'::bpchar) AND (balance <= (0)::numeric)) OR ((side = 'D'::bpchar) AND (balance >= (0)::numeric)))),
    CONSTRAINT ledger_account_asset_fkey FOREIGN KEY (asset) REFERENCES currency_to_network(asset),
    CONSTRAINT ledger_account_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES client_table(id),
    CONSTRAINT ledger_account_pkey PRIMARY KEY (id),
    CONSTRAINT ledger_account_code_asset_key UNIQUE (code, asset)
);
CREATE INDEX ledger_account_owner ON public.ledger_account USING btree (owner_id) WHERE (owner_id IS NOT NULL);

CREATE TABLE ledger_posting (
    tx_id bigint NOT NULL,
    line integer NOT NULL,
    account_id bigint NOT NULL,
    asset text NOT NULL,
    units numeric(38,0) NOT NULL,
    CONSTRAINT ledger_posting_units_check CHECK (((units <> (0)::numeric) AND (units > '-100000000000000000000000000000000000000'::numeric) AND (units < '100000000000000000000000000000000000000'::numeric))),
    CONSTRAINT ledger_posting_account_id_fkey FOREIGN KEY (account_id) REFERENCES ledger_account(id),
    CONSTRAINT ledger_posting_tx_id_fkey FOREIGN KEY (tx_id) REFERENCES ledger_tx(id),
    CONSTRAINT ledger_posting_pkey PRIMARY KEY (tx_id, line)
);
CREATE INDEX ledger_posting_account ON public.ledger_posting USING btree (account_id);
CREATE TRIGGER ledger_posting_append_only BEFORE DELETE OR UPDATE ON public.ledger_posting FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_posting_fresh BEFORE INSERT ON public.ledger_posting FOR EACH ROW EXECUTE FUNCTION ledger_posting_is_fresh();
CREATE TRIGGER ledger_posting_no_truncate BEFORE TRUNCATE ON public.ledger_posting FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE ledger_tx (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    kind text NOT NULL,
    reference text NOT NULL,
    reverses bigint,
    actor text NOT NULL DEFAULT current_setting('application_name'::text),
    at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT ledger_tx_reverses_fkey FOREIGN KEY (reverses) REFERENCES ledger_tx(id),
    CONSTRAINT ledger_tx_pkey PRIMARY KEY (id),
    CONSTRAINT ledger_tx_kind_reference_key UNIQUE (kind, reference)
);
CREATE UNIQUE INDEX ledger_tx_reverses ON public.ledger_tx USING btree (reverses) WHERE (reverses IS NOT NULL);
CREATE TRIGGER ledger_tx_append_only BEFORE DELETE OR UPDATE ON public.ledger_tx FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE CONSTRAINT TRIGGER ledger_tx_balanced AFTER INSERT ON public.ledger_tx DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_tx_balances();
CREATE TRIGGER ledger_tx_no_truncate BEFORE TRUNCATE ON public.ledger_tx FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE legal_move (
    machine text NOT NULL,
    source text NOT NULL,
    target text NOT NULL,
    CONSTRAINT legal_move_pkey PRIMARY KEY (machine, source, target)
);

CREATE TABLE machine_pause (
    switch text NOT NULL,
    since timestamp with time zone NOT NULL DEFAULT pgp_now(),
    reason text NOT NULL,
    CONSTRAINT machine_pause_switch_check CHECK ((switch = ANY (ARRAY['intake'::text, 'convert'::text, 'payout_plan'::text, 'sign'::text, 'invite'::text]))),
    CONSTRAINT machine_pause_pkey PRIMARY KEY (switch)
);

CREATE TABLE mail (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    account_id bigint NOT NULL,
    kind text NOT NULL,
    token text,
    unknown_sends integer NOT NULL DEFAULT 0,
    sent_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    CONSTRAINT mail_kind_check CHECK ((kind = ANY (ARRAY['verify_email'::text, 'reset_password'::text, 'password_changed'::text, 'address_changed'::text]))),
    CONSTRAINT mail_account_id_fkey FOREIGN KEY (account_id) REFERENCES account(id),
    CONSTRAINT mail_pkey PRIMARY KEY (id)
);

CREATE TABLE membership (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    channel_id bigint NOT NULL,
    buyer_id telegram_user NOT NULL,
    present boolean NOT NULL DEFAULT false,
    present_changed_at timestamp with time zone,
    removed_at timestamp with time zone,
    CONSTRAINT membership_channel_id_fkey FOREIGN KEY (channel_id) REFERENCES channel(id),
    CONSTRAINT membership_pkey PRIMARY KEY (id),
    CONSTRAINT membership_channel_id_buyer_id_key UNIQUE (channel_id, buyer_id)
);
CREATE INDEX membership_buyer ON public.membership USING btree (buyer_id);

CREATE TABLE nonce_fill (
    wallet_id bigint NOT NULL,
    nonce bigint NOT NULL,
    tx_hash text NOT NULL,
    raw bytea NOT NULL,
    reason text NOT NULL,
    created_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    CONSTRAINT nonce_fill_wallet_id_fkey FOREIGN KEY (wallet_id) REFERENCES wallet(id),
    CONSTRAINT nonce_fill_pkey PRIMARY KEY (wallet_id, nonce, tx_hash),
    CONSTRAINT nonce_fill_tx_hash_key UNIQUE (tx_hash)
);

CREATE TABLE notification (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    kind text NOT NULL,
    subject bigint NOT NULL,
    chat_id telegram_user,
    state text NOT NULL DEFAULT 'planned'::text,
    unknown_sends integer NOT NULL DEFAULT 0,
    message_id bigint,
    created_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    sent_at timestamp with time zone,
    CONSTRAINT notification_kind_check CHECK ((kind = ANY (ARRAY['sale'::text, 'donation'::text, 'part_paid'::text, 'payout_settled'::text, 'payout_released'::text, 'access_ended'::text, 'reminder'::text, 'address_changed'::text]))),
    CONSTRAINT notification_state_check CHECK ((state = ANY (ARRAY['planned'::text, 'sent'::text, 'undeliverable'::text]))),
    CONSTRAINT notification_pkey PRIMARY KEY (id),
    CONSTRAINT notification_kind_subject_key UNIQUE (kind, subject)
);

CREATE TABLE one_time_token (
    token_hash bytea NOT NULL,
    account_id bigint NOT NULL,
    purpose text NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    CONSTRAINT one_time_token_purpose_check CHECK ((purpose = ANY (ARRAY['verify_email'::text, 'reset_password'::text, 'link_telegram'::text]))),
    CONSTRAINT one_time_token_token_hash_check CHECK ((length(token_hash) = 32)),
    CONSTRAINT one_time_token_account_id_fkey FOREIGN KEY (account_id) REFERENCES account(id),
    CONSTRAINT one_time_token_pkey PRIMARY KEY (token_hash)
);

CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    unique_id text NOT NULL,
    view_token text NOT NULL,
    kind text NOT NULL,
    owner_id bigint NOT NULL,
    channel_id bigint NOT NULL,
    tier_id bigint,
    buyer_id telegram_user NOT NULL,
    buyer_name text NOT NULL DEFAULT ''::text,
    price_usd numeric(8,2) NOT NULL,
    days integer,
    fee_percent numeric(5,2) NOT NULL,
    tolerance_bps integer NOT NULL,
    paid_usd usd NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'created'::text,
    correlation text NOT NULL,
    created_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT orders_check CHECK (((kind = 'subscription'::text) = ((days IS NOT NULL) AND (tier_id IS NOT NULL)))),
    CONSTRAINT orders_days_check CHECK (((days >= 1) AND (days <= 3660))),
    CONSTRAINT orders_fee_percent_check CHECK (((fee_percent >= (0)::numeric) AND (fee_percent <= (100)::numeric))),
    CONSTRAINT orders_kind_check CHECK ((kind = ANY (ARRAY['subscription'::text, 'donation'::text]))),
    CONSTRAINT orders_price_usd_check CHECK (((price_usd >= 4.99) AND (price_usd <= 9999.99))),
    CONSTRAINT orders_state_check CHECK ((state = ANY (ARRAY['created'::text, 'invoiced'::text, 'part_paid'::text, 'paid'::text, 'expired'::text, 'cancelled'::text]))),
    CONSTRAINT orders_tolerance_bps_check CHECK (((tolerance_bps >= 0) AND (tolerance_bps <= 1000))),
    CONSTRAINT orders_unique_id_check CHECK ((unique_id ~ '^[0-9A-Z]{26}$'::text)),
    CONSTRAINT orders_view_token_check CHECK ((length(view_token) >= 22)),
    CONSTRAINT orders_channel_id_fkey FOREIGN KEY (channel_id) REFERENCES channel(id),
    CONSTRAINT orders_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES client_table(id),
    CONSTRAINT orders_tier_id_fkey FOREIGN KEY (tier_id) REFERENCES subscription_tier_map(id),
    CONSTRAINT orders_pkey PRIMARY KEY (id),
    CONSTRAINT orders_unique_id_key UNIQUE (unique_id),
    CONSTRAINT orders_view_token_key UNIQUE (view_token)
);
CREATE INDEX orders_buyer ON public.orders USING btree (buyer_id, created_at DESC);
CREATE INDEX orders_channel ON public.orders USING btree (channel_id);
CREATE INDEX orders_open ON public.orders USING btree (expires_at) WHERE (state = ANY (ARRAY['created'::text, 'invoiced'::text, 'part_paid'::text]));
CREATE TRIGGER guard_birth AFTER INSERT ON public.orders FOR EACH ROW EXECUTE FUNCTION guard_move('order', 'created');
CREATE TRIGGER guard_move BEFORE UPDATE OF state ON public.orders FOR EACH ROW EXECUTE FUNCTION guard_move('order', 'created');

CREATE TABLE payout_accumulation (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    payment_id bigint NOT NULL,
    part integer NOT NULL DEFAULT 1,
    owner_id bigint NOT NULL,
    channel_id bigint NOT NULL,
    asset text NOT NULL,
    units pos_units NOT NULL,
    state text NOT NULL DEFAULT 'pending'::text,
    conversion_id bigint,
    converted_asset text,
    converted_units units,
    payout_id bigint,
    created_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    CONSTRAINT payout_accumulation_check CHECK (((state <> ALL (ARRAY['converted'::text, 'attached'::text, 'paid'::text])) OR (converted_units IS NOT NULL))),
    CONSTRAINT payout_accumulation_check1 CHECK (((converted_units IS NULL) = (converted_asset IS NULL))),
    CONSTRAINT payout_accumulation_check2 CHECK (((state <> ALL (ARRAY['converting'::text, 'converted'::text, 'attached'::text, 'paid'::text])) OR (conversion_id IS NOT NULL) OR (converted_asset = asset))),
    CONSTRAINT payout_accumulation_check3 CHECK (((state = ANY (ARRAY['attached'::text, 'paid'::text])) = (payout_id IS NOT NULL))),
    CONSTRAINT payout_accumulation_part_check CHECK ((part > 0)),
    CONSTRAINT payout_accumulation_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'converting'::text, 'converted'::text, 'attached'::text, 'paid'::text, 'frozen'::text, 'reversed'::text]))),
    CONSTRAINT payout_accumulation_asset_fkey FOREIGN KEY (asset) REFERENCES currency_to_network(asset),
    CONSTRAINT payout_accumulation_channel_id_fkey FOREIGN KEY (channel_id) REFERENCES channel(id),
    CONSTRAINT payout_accumulation_conversion_id_fkey FOREIGN KEY (conversion_id) REFERENCES batch_conversions(id),
    CONSTRAINT payout_accumulation_converted_asset_fkey FOREIGN KEY (converted_asset) REFERENCES currency_to_network(asset),
    CONSTRAINT payout_accumulation_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES client_table(id),
    CONSTRAINT payout_accumulation_payment_id_fkey FOREIGN KEY (payment_id) REFERENCES processed_payments(id),
    CONSTRAINT payout_accumulation_payout_id_fkey FOREIGN KEY (payout_id) REFERENCES split_payout_que(id),
    CONSTRAINT payout_accumulation_pkey PRIMARY KEY (id),
    CONSTRAINT payout_accumulation_payment_id_part_key UNIQUE (payment_id, part)
);
CREATE INDEX payout_accumulation_conversion ON public.payout_accumulation USING btree (conversion_id) WHERE (conversion_id IS NOT NULL);
CREATE INDEX payout_accumulation_converted ON public.payout_accumulation USING btree (owner_id, id) WHERE (state = 'converted'::text);
CREATE INDEX payout_accumulation_owed ON public.payout_accumulation USING btree (owner_id) WHERE (state <> ALL (ARRAY['paid'::text, 'reversed'::text]));
CREATE INDEX payout_accumulation_payout ON public.payout_accumulation USING btree (payout_id) WHERE (payout_id IS NOT NULL);
CREATE INDEX payout_accumulation_pending ON public.payout_accumulation USING btree (asset, id) WHERE (state = 'pending'::text);
CREATE TRIGGER guard_birth AFTER INSERT ON public.payout_accumulation FOR EACH ROW EXECUTE FUNCTION guard_move('accumulation', 'pending');
CREATE TRIGGER guard_move BEFORE UPDATE OF state ON public.payout_accumulation FOR EACH ROW EXECUTE FUNCTION guard_move('accumulation', 'pending');
CREATE TRIGGER keep_place AFTER UPDATE OF conversion_id, payout_id ON public.payout_accumulation FOR EACH ROW EXECUTE FUNCTION keep_place();

CREATE TABLE payout_details (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    owner_id bigint NOT NULL,
    asset text NOT NULL,
    address text NOT NULL,
    extra_id text,
    usable_from timestamp with time zone NOT NULL DEFAULT pgp_now(),
    created_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    CONSTRAINT payout_details_address_check CHECK (((length(address) >= 10) AND (length(address) <= 128))),
    CONSTRAINT payout_details_asset_fkey FOREIGN KEY (asset) REFERENCES currency_to_network(asset),
    CONSTRAINT payout_details_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES client_table(id),
    CONSTRAINT payout_details_pkey PRIMARY KEY (id)
);
CREATE INDEX payout_details_owner ON public.payout_details USING btree (owner_id, usable_from DESC, id DESC);

CREATE TABLE processed_payments (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    provider text NOT NULL DEFAULT 'nowpayments'::text,
    provider_id text NOT NULL,
    order_id bigint NOT NULL,
    invoice_id bigint,
    parent_provider_id text,
    state text NOT NULL DEFAULT 'observed'::text,
    status text NOT NULL,
    status_rank integer NOT NULL,
    pay_currency text,
    pay_amount numeric,
    actually_paid numeric,
    outcome_asset text,
    outcome_units units NOT NULL DEFAULT 0,
    owner_units units NOT NULL DEFAULT 0,
    fee_units units NOT NULL DEFAULT 0,
    suspense_units units NOT NULL DEFAULT 0,
    paid_usd usd NOT NULL DEFAULT 0,
    value_usd usd,
    excess boolean NOT NULL DEFAULT false,
    payout_hash text,
    review_reason text,
    correlation text NOT NULL,
    created_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    credited_at timestamp with time zone,
    payin_hash text,
    CONSTRAINT payment_parts CHECK (((state <> 'credited'::text) OR (((owner_units)::numeric + (fee_units)::numeric) = (outcome_units)::numeric))),
    CONSTRAINT processed_payments_actually_paid_check CHECK (((actually_paid >= (0)::numeric) AND (actually_paid < '1000000000000000000000000000000'::numeric))),
    CONSTRAINT processed_payments_pay_amount_check CHECK (((pay_amount >= (0)::numeric) AND (pay_amount < '1000000000000000000000000000000'::numeric))),
    CONSTRAINT processed_payments_payin_hash_check CHECK (((length(payin_hash) >= 1) AND (length(payin_hash) <= 200))),
    CONSTRAINT processed_payments_payout_hash_check CHECK ((payout_hash ~ '^0x[0-9a-f]{64}$'::text)),
    CONSTRAINT processed_payments_provider_id_check CHECK ((provider_id ~ '^[0-9]{1,20}$'::text)),
    CONSTRAINT processed_payments_state_check CHECK ((state = ANY (ARRAY['observed'::text, 'credited'::text, 'review'::text, 'rejected'::text, 'reversed'::text]))),
    CONSTRAINT processed_payments_status_rank_check CHECK (((status_rank >= 0) AND (status_rank <= 8))),
    CONSTRAINT processed_payments_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES invoice(id),
    CONSTRAINT processed_payments_order_id_fkey FOREIGN KEY (order_id) REFERENCES orders(id),
    CONSTRAINT processed_payments_outcome_asset_fkey FOREIGN KEY (outcome_asset) REFERENCES currency_to_network(asset),
    CONSTRAINT processed_payments_pkey PRIMARY KEY (id),
    CONSTRAINT processed_payments_provider_provider_id_key UNIQUE (provider, provider_id)
);
CREATE INDEX processed_payments_observed ON public.processed_payments USING btree (created_at) WHERE (state = 'observed'::text);
CREATE INDEX processed_payments_order ON public.processed_payments USING btree (order_id);
CREATE INDEX processed_payments_payin_hash ON public.processed_payments USING btree (payin_hash) WHERE (payin_hash IS NOT NULL);
CREATE INDEX processed_payments_review ON public.processed_payments USING btree (id) WHERE (state = 'review'::text);
CREATE INDEX processed_payments_suspense ON public.processed_payments USING btree (id) WHERE ((suspense_units)::numeric > (0)::numeric);
CREATE INDEX processed_payments_unfinished ON public.processed_payments USING btree (created_at) WHERE ((state = 'credited'::text) AND (status_rank < 7));
CREATE UNIQUE INDEX processed_payments_payout_hash ON public.processed_payments USING btree (payout_hash) WHERE (payout_hash IS NOT NULL);
CREATE TRIGGER guard_birth AFTER INSERT ON public.processed_payments FOR EACH ROW EXECUTE FUNCTION guard_move('payment', 'observed');
CREATE TRIGGER guard_move BEFORE UPDATE OF state ON public.processed_payments FOR EACH ROW EXECUTE FUNCTION guard_move('payment', 'observed');

CREATE TABLE quote (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    conversion_id bigint,
    payout_id bigint,
    from_asset text NOT NULL,
    from_units pos_units NOT NULL,
    to_asset text NOT NULL,
    to_units pos_units,
    rate_id text,
    valid_until timestamp with time zone,
    cost_bps integer,
    created_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    priced_at timestamp with time zone,
    refused_reason text,
    CONSTRAINT quote_check CHECK (((conversion_id IS NULL) <> (payout_id IS NULL))),
    CONSTRAINT quote_check1 CHECK (((to_units IS NULL) = (priced_at IS NULL))),
    CONSTRAINT quote_check2 CHECK (((refused_reason IS NULL) OR (priced_at IS NULL))),
    CONSTRAINT quote_conversion_id_fkey FOREIGN KEY (conversion_id) REFERENCES batch_conversions(id),
    CONSTRAINT quote_from_asset_fkey FOREIGN KEY (from_asset) REFERENCES currency_to_network(asset),
    CONSTRAINT quote_payout_id_fkey FOREIGN KEY (payout_id) REFERENCES split_payout_que(id),
    CONSTRAINT quote_to_asset_fkey FOREIGN KEY (to_asset) REFERENCES currency_to_network(asset),
    CONSTRAINT quote_pkey PRIMARY KEY (id)
);
CREATE INDEX quote_conversion ON public.quote USING btree (conversion_id) WHERE (conversion_id IS NOT NULL);
CREATE INDEX quote_payout ON public.quote USING btree (payout_id) WHERE (payout_id IS NOT NULL);

CREATE TABLE reconciliation (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    job text NOT NULL,
    at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    compared integer NOT NULL,
    breaks jsonb NOT NULL DEFAULT '[]'::jsonb,
    seen jsonb NOT NULL DEFAULT '{}'::jsonb,
    CONSTRAINT reconciliation_pkey PRIMARY KEY (id)
);
CREATE INDEX reconciliation_job ON public.reconciliation USING btree (job, at DESC);

CREATE TABLE refresh_token (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    account_id bigint NOT NULL,
    family uuid NOT NULL,
    token_hash bytea NOT NULL,
    parent_id bigint,
    issued_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    revoked_at timestamp with time zone,
    CONSTRAINT refresh_token_token_hash_check CHECK ((length(token_hash) = 32)),
    CONSTRAINT refresh_token_account_id_fkey FOREIGN KEY (account_id) REFERENCES account(id),
    CONSTRAINT refresh_token_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES refresh_token(id),
    CONSTRAINT refresh_token_pkey PRIMARY KEY (id),
    CONSTRAINT refresh_token_token_hash_key UNIQUE (token_hash)
);
CREATE INDEX refresh_token_family ON public.refresh_token USING btree (family);

CREATE TABLE split_payout_que (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    owner_id bigint NOT NULL,
    details_id bigint NOT NULL,
    asset text NOT NULL,
    units pos_units NOT NULL,
    payout_asset text NOT NULL,
    address text NOT NULL,
    extra_id text,
    fee_cap_percent numeric(5,2) NOT NULL,
    state text NOT NULL DEFAULT 'reserved'::text,
    quotes_failed integer NOT NULL DEFAULT 0,
    reason text,
    paid_out_units units,
    tx_hash text,
    correlation text NOT NULL,
    created_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    finished_at timestamp with time zone,
    CONSTRAINT split_payout_que_state_check CHECK ((state = ANY (ARRAY['reserved'::text, 'quoted'::text, 'swap_ready'::text, 'funding'::text, 'funded'::text, 'settled'::text, 'refunding'::text, 'released'::text, 'review'::text]))),
    CONSTRAINT split_payout_que_asset_fkey FOREIGN KEY (asset) REFERENCES currency_to_network(asset),
    CONSTRAINT split_payout_que_details_id_fkey FOREIGN KEY (details_id) REFERENCES payout_details(id),
    CONSTRAINT split_payout_que_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES client_table(id),
    CONSTRAINT split_payout_que_payout_asset_fkey FOREIGN KEY (payout_asset) REFERENCES currency_to_network(asset),
    CONSTRAINT split_payout_que_pkey PRIMARY KEY (id)
);
CREATE INDEX split_payout_que_owner ON public.split_payout_que USING btree (owner_id);
CREATE UNIQUE INDEX split_payout_que_open ON public.split_payout_que USING btree (owner_id) WHERE (state <> ALL (ARRAY['settled'::text, 'released'::text]));
CREATE TRIGGER guard_birth AFTER INSERT ON public.split_payout_que FOR EACH ROW EXECUTE FUNCTION guard_move('payout', 'reserved');
CREATE TRIGGER guard_move BEFORE UPDATE OF state ON public.split_payout_que FOR EACH ROW EXECUTE FUNCTION guard_move('payout', 'reserved');

CREATE TABLE state_history (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    machine text NOT NULL,
    subject bigint NOT NULL,
    source text,
    target text NOT NULL,
    actor text NOT NULL,
    at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT state_history_pkey PRIMARY KEY (id)
);
CREATE INDEX state_history_subject ON public.state_history USING btree (machine, subject, id);
CREATE TRIGGER state_history_append_only BEFORE DELETE OR UPDATE ON public.state_history FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE subscription_tier_map (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    channel_id bigint NOT NULL,
    position integer NOT NULL,
    label text NOT NULL,
    price_usd numeric(8,2) NOT NULL,
    days integer NOT NULL,
    active boolean NOT NULL DEFAULT true,
    CONSTRAINT subscription_tier_map_days_check CHECK (((days >= 1) AND (days <= 3660))),
    CONSTRAINT subscription_tier_map_label_check CHECK (((length(label) >= 1) AND (length(label) <= 64))),
    CONSTRAINT subscription_tier_map_position_check CHECK ((("position" >= 1) AND ("position" <= 10))),
    CONSTRAINT subscription_tier_map_price_usd_check CHECK (((price_usd >= 4.99) AND (price_usd <= 9999.99))),
    CONSTRAINT subscription_tier_map_channel_id_fkey FOREIGN KEY (channel_id) REFERENCES channel(id),
    CONSTRAINT subscription_tier_map_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX subscription_tier_place ON public.subscription_tier_map USING btree (channel_id, "position") WHERE active;

CREATE TABLE swap (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    reference uuid NOT NULL,
    quote_id bigint NOT NULL,
    conversion_id bigint,
    payout_id bigint,
    state text NOT NULL DEFAULT 'planned'::text,
    from_asset text NOT NULL,
    from_units pos_units NOT NULL,
    to_asset text NOT NULL,
    to_units pos_units NOT NULL,
    payout_address text NOT NULL,
    payout_extra_id text,
    refund_address text NOT NULL,
    deadline timestamp with time zone NOT NULL,
    creates integer NOT NULL DEFAULT 0,
    provider_id text,
    payin_address text,
    vendor_status text,
    vendor_looked_at timestamp with time zone,
    received_units units,
    payout_hash text,
    refund_units units,
    refund_hash text,
    reason text,
    created_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    funded_at timestamp with time zone,
    ended_at timestamp with time zone,
    CONSTRAINT swap_check CHECK (((conversion_id IS NULL) <> (payout_id IS NULL))),
    CONSTRAINT swap_check1 CHECK (((provider_id IS NULL) = (payin_address IS NULL))),
    CONSTRAINT swap_check2 CHECK (((state = ANY (ARRAY['planned'::text, 'abandoned'::text])) OR (provider_id IS NOT NULL))),
    CONSTRAINT swap_creates_check CHECK (((creates >= 0) AND (creates <= 3))),
    CONSTRAINT swap_state_check CHECK ((state = ANY (ARRAY['planned'::text, 'created'::text, 'funding'::text, 'funded'::text, 'hold'::text, 'lost'::text, 'finished'::text, 'refunded'::text, 'abandoned'::text]))),
    CONSTRAINT swap_conversion_id_fkey FOREIGN KEY (conversion_id) REFERENCES batch_conversions(id),
    CONSTRAINT swap_from_asset_fkey FOREIGN KEY (from_asset) REFERENCES currency_to_network(asset),
    CONSTRAINT swap_payout_id_fkey FOREIGN KEY (payout_id) REFERENCES split_payout_que(id),
    CONSTRAINT swap_quote_id_fkey FOREIGN KEY (quote_id) REFERENCES quote(id),
    CONSTRAINT swap_to_asset_fkey FOREIGN KEY (to_asset) REFERENCES currency_to_network(asset),
    CONSTRAINT swap_pkey PRIMARY KEY (id),
    CONSTRAINT swap_payin_address_key UNIQUE (payin_address),
    CONSTRAINT swap_provider_id_key UNIQUE (provider_id),
    CONSTRAINT swap_quote_id_key UNIQUE (quote_id),
    CONSTRAINT swap_reference_key UNIQUE (reference)
);
CREATE INDEX swap_abandoned ON public.swap USING btree (ended_at) WHERE ((state = 'abandoned'::text) AND (provider_id IS NOT NULL));
CREATE INDEX swap_conversion ON public.swap USING btree (conversion_id) WHERE (conversion_id IS NOT NULL);
CREATE INDEX swap_live ON public.swap USING btree (id) WHERE (state = ANY (ARRAY['created'::text, 'funding'::text, 'funded'::text, 'hold'::text]));
CREATE INDEX swap_payout ON public.swap USING btree (payout_id) WHERE (payout_id IS NOT NULL);
CREATE INDEX swap_payout_hash ON public.swap USING btree (payout_hash) WHERE (payout_hash IS NOT NULL);
CREATE INDEX swap_refund_hash ON public.swap USING btree (refund_hash) WHERE (refund_hash IS NOT NULL);
CREATE UNIQUE INDEX swap_live_conversion ON public.swap USING btree (conversion_id) WHERE ((conversion_id IS NOT NULL) AND (state <> ALL (ARRAY['abandoned'::text, 'refunded'::text, 'lost'::text])));
CREATE UNIQUE INDEX swap_live_payout ON public.swap USING btree (payout_id) WHERE ((payout_id IS NOT NULL) AND (state <> ALL (ARRAY['abandoned'::text, 'refunded'::text, 'lost'::text])));
CREATE TRIGGER guard_birth AFTER INSERT ON public.swap FOR EACH ROW EXECUTE FUNCTION guard_move('swap', 'planned');
CREATE TRIGGER guard_move BEFORE UPDATE OF state ON public.swap FOR EACH ROW EXECUTE FUNCTION guard_move('swap', 'planned');
CREATE TRIGGER swap_terms BEFORE UPDATE ON public.swap FOR EACH ROW EXECUTE FUNCTION swap_terms_stay();

CREATE TABLE swap_orphan (
    provider_id text NOT NULL,
    swap_id bigint NOT NULL,
    payin_address text NOT NULL,
    seen_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    CONSTRAINT swap_orphan_swap_id_fkey FOREIGN KEY (swap_id) REFERENCES swap(id),
    CONSTRAINT swap_orphan_pkey PRIMARY KEY (provider_id)
);
CREATE INDEX swap_orphan_seen ON public.swap_orphan USING btree (seen_at);

CREATE TABLE telegram_update (
    update_id bigint NOT NULL,
    received_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    CONSTRAINT telegram_update_pkey PRIMARY KEY (update_id)
);

CREATE TABLE transaction_limits (
    bucket text NOT NULL,
    window_start timestamp with time zone NOT NULL,
    used integer NOT NULL,
    CONSTRAINT transaction_limits_used_check CHECK ((used > 0)),
    CONSTRAINT transaction_limits_pkey PRIMARY KEY (bucket, window_start)
);

CREATE TABLE transfer (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    wallet_id bigint NOT NULL,
    purpose text NOT NULL,
    swap_id bigint,
    payout_id bigint,
    payment_id bigint,
    asset text NOT NULL,
    recipient text NOT NULL,
    units pos_units NOT NULL,
    deadline timestamp with time zone,
    state text NOT NULL DEFAULT 'requested'::text,
    nonce bigint,
    calldata_hash bytea,
    max_total_fee_wei pos_units,
    mined_hash text,
    mined_block bigint,
    mined_block_hash text,
    missing integer NOT NULL DEFAULT 0,
    gas_wei units,
    reason text,
    created_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    signed_at timestamp with time zone,
    final_at timestamp with time zone,
    CONSTRAINT transfer_check CHECK (((purpose = 'swap'::text) = (swap_id IS NOT NULL))),
    CONSTRAINT transfer_check1 CHECK (((purpose = 'direct'::text) = (payout_id IS NOT NULL))),
    CONSTRAINT transfer_check2 CHECK (((purpose = 'refund'::text) = (payment_id IS NOT NULL))),
    CONSTRAINT transfer_check3 CHECK (((state = ANY (ARRAY['requested'::text, 'cancelled'::text])) OR ((nonce IS NOT NULL) AND (calldata_hash IS NOT NULL) AND (max_total_fee_wei IS NOT NULL)))),
    CONSTRAINT transfer_nonce_check CHECK ((nonce >= 0)),
    CONSTRAINT transfer_purpose_check CHECK ((purpose = ANY (ARRAY['swap'::text, 'direct'::text, 'treasury'::text, 'refund'::text, 'fill'::text]))),
    CONSTRAINT transfer_recipient_check CHECK ((recipient ~ '^0x[0-9a-fA-F]{40}$'::text)),
    CONSTRAINT transfer_state_check CHECK ((state = ANY (ARRAY['requested'::text, 'signed'::text, 'broadcast'::text, 'mined'::text, 'final'::text, 'failed_onchain'::text, 'cancelled'::text, 'stuck'::text, 'superseded'::text]))),
    CONSTRAINT transfer_asset_fkey FOREIGN KEY (asset) REFERENCES currency_to_network(asset),
    CONSTRAINT transfer_payment_id_fkey FOREIGN KEY (payment_id) REFERENCES processed_payments(id),
    CONSTRAINT transfer_payout_id_fkey FOREIGN KEY (payout_id) REFERENCES split_payout_que(id),
    CONSTRAINT transfer_swap_id_fkey FOREIGN KEY (swap_id) REFERENCES swap(id),
    CONSTRAINT transfer_wallet_id_fkey FOREIGN KEY (wallet_id) REFERENCES wallet(id),
    CONSTRAINT transfer_pkey PRIMARY KEY (id),
    CONSTRAINT transfer_id_wallet_id_nonce_asset_recipient_units_calldata__key UNIQUE (id, wallet_id, nonce, asset, recipient, units, calldata_hash)
);
CREATE INDEX transfer_came_back ON public.transfer USING btree (wallet_id) WHERE (state = ANY (ARRAY['failed_onchain'::text, 'superseded'::text]));
CREATE INDEX transfer_fills ON public.transfer USING btree (wallet_id) WHERE (purpose = 'fill'::text);
CREATE INDEX transfer_in_flight ON public.transfer USING btree (wallet_id) WHERE (state = ANY (ARRAY['signed'::text, 'broadcast'::text, 'mined'::text, 'stuck'::text]));
CREATE INDEX transfer_mined ON public.transfer USING btree (wallet_id, mined_block) WHERE (mined_block IS NOT NULL);
CREATE INDEX transfer_signed ON public.transfer USING btree (wallet_id, signed_at) WHERE (signed_at IS NOT NULL);
CREATE UNIQUE INDEX transfer_live_payment ON public.transfer USING btree (payment_id) WHERE ((payment_id IS NOT NULL) AND (state <> ALL (ARRAY['cancelled'::text, 'failed_onchain'::text, 'superseded'::text])));
CREATE UNIQUE INDEX transfer_live_payout ON public.transfer USING btree (payout_id) WHERE ((payout_id IS NOT NULL) AND (state <> ALL (ARRAY['cancelled'::text, 'failed_onchain'::text, 'superseded'::text])));
CREATE UNIQUE INDEX transfer_live_swap ON public.transfer USING btree (swap_id) WHERE ((swap_id IS NOT NULL) AND (state <> ALL (ARRAY['cancelled'::text, 'failed_onchain'::text, 'superseded'::text])));
CREATE UNIQUE INDEX transfer_nonce ON public.transfer USING btree (wallet_id, nonce) WHERE (state <> 'superseded'::text);
CREATE TRIGGER guard_birth AFTER INSERT ON public.transfer FOR EACH ROW EXECUTE FUNCTION guard_move('transfer', 'requested');
CREATE TRIGGER guard_move BEFORE UPDATE OF state ON public.transfer FOR EACH ROW EXECUTE FUNCTION guard_move('transfer', 'requested');
CREATE TRIGGER transfer_terms BEFORE UPDATE ON public.transfer FOR EACH ROW EXECUTE FUNCTION transfer_terms_stay();

CREATE TABLE transfer_attempt (
    transfer_id bigint NOT NULL,
    seq integer NOT NULL,
    wallet_id bigint NOT NULL,
    nonce bigint NOT NULL,
    asset text NOT NULL,
    recipient text NOT NULL,
    units pos_units NOT NULL,
    calldata_hash bytea NOT NULL,
    raw bytea NOT NULL,
    tx_hash text NOT NULL,
    gas_limit bigint NOT NULL,
    max_fee_wei pos_units NOT NULL,
    max_priority_wei units NOT NULL,
    created_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    CONSTRAINT transfer_attempt_gas_limit_check CHECK ((gas_limit > 0)),
    CONSTRAINT transfer_attempt_seq_check CHECK ((seq > 0)),
    CONSTRAINT transfer_attempt_tx_hash_check CHECK ((tx_hash ~ '^0x[0-9a-f]{64}$'::text)),
    CONSTRAINT transfer_attempt_transfer_id_wallet_id_nonce_asset_recipie_fkey FOREIGN KEY (transfer_id, wallet_id, nonce, asset, recipient, units, calldata_hash) REFERENCES transfer(id, wallet_id, nonce, asset, recipient, units, calldata_hash),
    CONSTRAINT transfer_attempt_pkey PRIMARY KEY (transfer_id, seq),
    CONSTRAINT transfer_attempt_tx_hash_key UNIQUE (tx_hash)
);
CREATE TRIGGER transfer_attempt_append_only BEFORE DELETE OR UPDATE ON public.transfer_attempt FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE vendor_pause (
    vendor text NOT NULL,
    until timestamp with time zone NOT NULL,
    failures integer NOT NULL DEFAULT 1,
    reason text NOT NULL,
    CONSTRAINT vendor_pause_pkey PRIMARY KEY (vendor)
);

CREATE TABLE wallet (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    address text NOT NULL,
    chain_id bigint NOT NULL,
    first_nonce bigint NOT NULL,
    next_nonce bigint NOT NULL,
    scanned_block bigint NOT NULL,
    max_in_flight integer NOT NULL DEFAULT 16,
    gas_reserve_wei units NOT NULL DEFAULT '20000000000000000'::bigint,
    frozen_reason text,
    frozen_at timestamp with time zone,
    opened_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    CONSTRAINT wallet_address_check CHECK ((address ~ '^0x[0-9a-fA-F]{40}$'::text)),
    CONSTRAINT wallet_chain_id_check CHECK ((chain_id > 0)),
    CONSTRAINT wallet_check CHECK ((next_nonce >= first_nonce)),
    CONSTRAINT wallet_first_nonce_check CHECK ((first_nonce >= 0)),
    CONSTRAINT wallet_max_in_flight_check CHECK (((max_in_flight >= 1) AND (max_in_flight <= 64))),
    CONSTRAINT wallet_scanned_block_check CHECK ((scanned_block >= 0)),
    CONSTRAINT wallet_pkey PRIMARY KEY (id),
    CONSTRAINT wallet_address_key UNIQUE (address)
);

CREATE TABLE wallet_home (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    wallet_id bigint NOT NULL,
    home text NOT NULL DEFAULT pgp_home(),
    made_in xid NOT NULL DEFAULT (pg_current_xact_id())::xid,
    reason text NOT NULL,
    made_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    CONSTRAINT wallet_home_wallet_id_fkey FOREIGN KEY (wallet_id) REFERENCES wallet(id),
    CONSTRAINT wallet_home_pkey PRIMARY KEY (id)
);
CREATE INDEX wallet_home_wallet ON public.wallet_home USING btree (wallet_id, id DESC);
CREATE TRIGGER wallet_home_append_only BEFORE DELETE OR UPDATE ON public.wallet_home FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE work (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    step text NOT NULL,
    subject text NOT NULL,
    state text NOT NULL DEFAULT 'open'::text,
    point text NOT NULL DEFAULT 'start'::text,
    not_before timestamp with time zone NOT NULL DEFAULT pgp_now(),
    wake_at timestamp with time zone NOT NULL,
    lease_owner text,
    lease_until timestamp with time zone,
    fence bigint NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    generation integer NOT NULL DEFAULT 1,
    signature text NOT NULL,
    correlation text NOT NULL,
    sender text NOT NULL,
    last_error text,
    created_at timestamp with time zone NOT NULL DEFAULT pgp_now(),
    done_at timestamp with time zone,
    started_at timestamp with time zone,
    outcome text,
    CONSTRAINT work_state_check CHECK ((state = ANY (ARRAY['open'::text, 'done'::text, 'dead'::text]))),
    CONSTRAINT work_subject_check CHECK (((length(subject) >= 1) AND (length(subject) <= 200))),
    CONSTRAINT work_pkey PRIMARY KEY (id),
    CONSTRAINT work_step_subject_key UNIQUE (step, subject)
);
CREATE INDEX work_correlation ON public.work USING btree (correlation);
CREATE INDEX work_dead ON public.work USING btree (id) WHERE (state = 'dead'::text);
CREATE INDEX work_due ON public.work USING btree (wake_at) WHERE (state = 'open'::text);
CREATE INDEX work_step ON public.work USING btree (step, id DESC);

CREATE OR REPLACE FUNCTION public.frozen_because(p_wallet wallet)
 RETURNS text
 LANGUAGE sql
 STABLE
AS $function$
    SELECT coalesce(p_wallet.frozen_reason, CASE WHEN NOT is_home(p_wallet.id) THEN 'this is not the database that the wallet was opened in' END)
$function$;

CREATE OR REPLACE FUNCTION public.guard_move()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> TG_ARGV[1] THEN
            RAISE EXCEPTION '% begins as %, not %', TG_ARGV[0], TG_ARGV[1], NEW.state USING ERRCODE = '23514', CONSTRAINT = 'legal_move';
        END IF;
        INSERT INTO state_history (machine, subject, source, target, actor)
        VALUES (TG_ARGV[0], NEW.id, NULL, NEW.state, current_setting('application_name'));
    ELSIF NEW.state <> OLD.state THEN
        IF NOT EXISTS (SELECT 1 FROM legal_move WHERE machine = TG_ARGV[0] AND source = OLD.state AND target = NEW.state) THEN
            RAISE EXCEPTION '% % may not go from % to %', TG_ARGV[0], NEW.id, OLD.state, NEW.state USING ERRCODE = '23514', CONSTRAINT = 'legal_move';
        END IF;
        INSERT INTO state_history (machine, subject, source, target, actor)
        VALUES (TG_ARGV[0], NEW.id, OLD.state, NEW.state, current_setting('application_name'));
    END IF;
    RETURN NEW;
END $function$;

CREATE OR REPLACE FUNCTION public.is_home(p_wallet bigint)
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
    SELECT coalesce((SELECT home = pgp_home() AND xmin = made_in FROM wallet_home WHERE wallet_id = p_wallet ORDER BY id DESC LIMIT 1), false)
$function$;

CREATE OR REPLACE FUNCTION public.is_switched_off(p_switch text)
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
    SELECT EXISTS (SELECT 1 FROM machine_pause WHERE switch = p_switch)
        OR (p_switch IN ('convert', 'payout_plan', 'sign')
            AND (EXISTS (SELECT 1 FROM wallet WHERE NOT is_home(id)) OR EXISTS (SELECT 1 FROM chain_tx WHERE explained_at IS NULL)))
$function$;

CREATE OR REPLACE FUNCTION public.keep_place()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF NEW.conversion_id IS NOT NULL AND NEW.conversion_id IS DISTINCT FROM OLD.conversion_id THEN
        INSERT INTO accumulation_place (accumulation_id, conversion_id) VALUES (NEW.id, NEW.conversion_id) ON CONFLICT DO NOTHING;
    END IF;
    IF NEW.payout_id IS NOT NULL AND NEW.payout_id IS DISTINCT FROM OLD.payout_id THEN
        INSERT INTO accumulation_place (accumulation_id, payout_id) VALUES (NEW.id, NEW.payout_id) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NEW;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_post(p_kind text, p_reference text, p_lines jsonb, p_reverses bigint DEFAULT NULL::bigint)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_tx bigint;
BEGIN
    INSERT INTO ledger_tx (kind, reference, reverses) VALUES (p_kind, p_reference, p_reverses)
    ON CONFLICT (kind, reference) DO NOTHING RETURNING id INTO v_tx;
    IF v_tx IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO ledger_account (code, asset, side, owner_id, floor_at_zero)
    SELECT DISTINCT ON (l.code, l.asset) l.code, l.asset, l.side, l.owner, coalesce(l.floor, false)
      FROM jsonb_to_recordset(p_lines) AS l (code text, asset text, side text, owner bigint, floor boolean, units numeric)
     WHERE NOT EXISTS (SELECT 1 FROM ledger_account a WHERE a.code = l.code AND a.asset = l.asset)
     ORDER BY l.code, l.asset
    ON CONFLICT (code, asset) DO NOTHING;
    PERFORM 1 FROM ledger_account a
      WHERE EXISTS (SELECT 1 FROM jsonb_to_recordset(p_lines) AS l (code text, asset text) WHERE l.code = a.code AND l.asset = a.asset)
      ORDER BY a.id FOR NO KEY UPDATE;
    INSERT INTO ledger_posting (tx_id, line, account_id, asset, units)
    SELECT v_tx, row_number() OVER (), a.id, a.asset, l.units
      FROM jsonb_to_recordset(p_lines) AS l (code text, asset text, units numeric)
      JOIN ledger_account a ON a.code = l.code AND a.asset = l.asset;
    UPDATE ledger_account a SET balance = a.balance + p.units
      FROM (SELECT account_id, sum(units) AS units FROM ledger_posting WHERE tx_id = v_tx GROUP BY account_id) p
     WHERE a.id = p.account_id;
    RETURN v_tx;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_posting_is_fresh()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM ledger_tx WHERE id = NEW.tx_id AND xmin = pg_current_xact_id()::xid) THEN
        RAISE EXCEPTION 'ledger transaction % is closed', NEW.tx_id USING ERRCODE = '23001', CONSTRAINT = 'append_only';
    END IF;
    RETURN NEW;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_tx_balances()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM ledger_posting WHERE tx_id = NEW.id) THEN
        RAISE EXCEPTION 'ledger transaction % is empty', NEW.id USING ERRCODE = '23514', CONSTRAINT = 'ledger_balanced';
    END IF;
    IF EXISTS (SELECT 1 FROM ledger_posting WHERE tx_id = NEW.id GROUP BY asset HAVING sum(units) <> 0) THEN
        RAISE EXCEPTION 'ledger transaction % does not balance', NEW.id USING ERRCODE = '23514', CONSTRAINT = 'ledger_balanced';
    END IF;
    RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.pgp_home()
 RETURNS text
 LANGUAGE sql
 STABLE
AS $function$
    SELECT (SELECT CAST(system_identifier AS text) FROM pg_control_system())
           || '/' || (SELECT CAST(oid AS text) FROM pg_database WHERE datname = current_database())
           || '/' || CASE WHEN pg_is_in_recovery() THEN 'in recovery' ELSE substring(pg_walfile_name(pg_current_wal_lsn()) FOR 8) END
$function$;

CREATE OR REPLACE FUNCTION public.pgp_now()
 RETURNS timestamp with time zone
 LANGUAGE sql
 STABLE
AS $function$SELECT now()$function$;

CREATE OR REPLACE FUNCTION public.refuse_change()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = '23001', CONSTRAINT = 'append_only';
END $function$;

CREATE OR REPLACE FUNCTION public.swap_terms_stay()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF (OLD.from_asset, OLD.from_units, OLD.to_asset, OLD.to_units, OLD.payout_address, OLD.refund_address, OLD.quote_id)
       IS DISTINCT FROM (NEW.from_asset, NEW.from_units, NEW.to_asset, NEW.to_units, NEW.payout_address, NEW.refund_address, NEW.quote_id)
       OR (OLD.state <> 'planned' AND NOT (OLD.state = 'abandoned' AND NEW.provider_id IS NULL AND NEW.payin_address IS NULL)
           AND (OLD.provider_id, OLD.payin_address, OLD.deadline) IS DISTINCT FROM (NEW.provider_id, NEW.payin_address, NEW.deadline)) THEN
        RAISE EXCEPTION 'the terms of swap % are fixed', OLD.id USING ERRCODE = '23514', CONSTRAINT = 'swap_terms_stay';
    END IF;
    RETURN NEW;
END $function$;

CREATE OR REPLACE FUNCTION public.transfer_terms_stay()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF (OLD.wallet_id, OLD.purpose, OLD.swap_id, OLD.payout_id, OLD.payment_id, OLD.asset, OLD.recipient, OLD.units)
       IS DISTINCT FROM (NEW.wallet_id, NEW.purpose, NEW.swap_id, NEW.payout_id, NEW.payment_id, NEW.asset, NEW.recipient, NEW.units)
       OR (OLD.nonce IS NOT NULL AND (OLD.nonce, OLD.calldata_hash) IS DISTINCT FROM (NEW.nonce, NEW.calldata_hash)) THEN
        RAISE EXCEPTION 'the terms of transfer % are fixed', OLD.id USING ERRCODE = '23514', CONSTRAINT = 'transfer_terms_stay';
    END IF;
    RETURN NEW;
END $function$;

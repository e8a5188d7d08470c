-- Guards around the wallet: the database that it belongs to, what its chain did that no row explains, and what comparisons have looked at.

-- Which database this is: the server's cluster, the database in it, and the branch of its history (a promoted copy begins a new one).
CREATE FUNCTION pgp_home() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT (SELECT CAST(system_identifier AS text) FROM pg_control_system())
           || '/' || (SELECT CAST(oid AS text) FROM pg_database WHERE datname = current_database())
           || '/' || CASE WHEN pg_is_in_recovery() THEN 'in recovery' ELSE substring(pg_walfile_name(pg_current_wal_lsn()) FOR 8) END
$$;

-- Where a wallet was opened, or adopted after a restore; the newest row counts.
CREATE TABLE wallet_home (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    wallet_id bigint NOT NULL REFERENCES wallet,
    home text NOT NULL DEFAULT pgp_home(),
    -- The transaction that wrote this very row. A dump carries the number along, but not the row's own xmin: what was restored does not match,
    -- even in the same database of the same server.
    made_in xid NOT NULL DEFAULT CAST(pg_current_xact_id() AS xid),
    reason text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT pgp_now()
);
CREATE INDEX wallet_home_wallet ON wallet_home (wallet_id, id DESC);
CREATE TRIGGER wallet_home_append_only BEFORE UPDATE OR DELETE ON wallet_home FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE FUNCTION is_home(p_wallet bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT home = pgp_home() AND xmin = made_in FROM wallet_home WHERE wallet_id = p_wallet ORDER BY id DESC LIMIT 1), false)
$$;

-- A wallet away from its home is frozen, whoever asks, before anybody has written that down.
CREATE FUNCTION frozen_because(p_wallet wallet) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(p_wallet.frozen_reason, CASE WHEN NOT is_home(p_wallet.id) THEN 'this is not the database that the wallet was opened in' END)
$$;

-- A final transaction of our wallet that no row of ours made: the key in other hands, or a database older than its chain.
CREATE TABLE chain_tx (
    tx_hash text PRIMARY KEY CHECK (tx_hash ~ '^0x[0-9a-f]{64}$'),
    wallet_id bigint NOT NULL REFERENCES wallet,
    nonce bigint NOT NULL CHECK (nonce >= 0),
    block bigint NOT NULL CHECK (block >= 0),
    -- What left and where to; no asset when nothing did that we keep books of.
    asset text REFERENCES currency_to_network,
    units units NOT NULL,
    recipient text,
    succeeded boolean NOT NULL,
    gas_wei units NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT pgp_now(),
    booked_at timestamptz,
    explained_at timestamptz,
    explained_as text CHECK (explained_as IN ('transfer', 'fill', 'loss')),
    transfer_id bigint REFERENCES transfer,
    -- A chain has one final transaction for each nonce.
    UNIQUE (wallet_id, nonce),
    CHECK ((explained_at IS NULL) = (explained_as IS NULL)),
    CHECK ((explained_as = 'transfer') IS NOT DISTINCT FROM (transfer_id IS NOT NULL) OR explained_as IS NULL)
);
CREATE INDEX chain_tx_unexplained ON chain_tx (wallet_id, nonce) WHERE explained_at IS NULL;
CREATE INDEX chain_tx_unbooked ON chain_tx (wallet_id) WHERE booked_at IS NULL;

-- What rests: what an operator or a broken claim has switched off; and everything before a signature, while the wallet is away from home or
-- its chain has something that nobody has explained.
CREATE FUNCTION is_switched_off(p_switch text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT 1 FROM machine_pause WHERE switch = p_switch)
        OR (p_switch IN ('convert', 'payout_plan', 'sign')
            AND (EXISTS (SELECT 1 FROM wallet WHERE NOT is_home(id)) OR EXISTS (SELECT 1 FROM chain_tx WHERE explained_at IS NULL)))
$$;

-- A fill is a transfer of nothing worth naming to ourselves: it takes a nonce that a lost signature may still carry.
ALTER TABLE transfer DROP CONSTRAINT transfer_purpose_check;
ALTER TABLE transfer ADD CONSTRAINT transfer_purpose_check CHECK (purpose IN ('swap', 'direct', 'treasury', 'refund', 'fill'));
CREATE INDEX transfer_fills ON transfer (wallet_id) WHERE purpose = 'fill';
-- Two transfers never share a nonce, but for one whose nonce went to something else for good: what took it may be a transfer as well.
ALTER TABLE transfer DROP CONSTRAINT transfer_wallet_id_nonce_key;
CREATE UNIQUE INDEX transfer_nonce ON transfer (wallet_id, nonce) WHERE state <> 'superseded';

-- What was given up may hand its order on: after a restore it turns out that its coins had left, and another row tells so.
CREATE OR REPLACE FUNCTION swap_terms_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.from_asset, OLD.from_units, OLD.to_asset, OLD.to_units, OLD.payout_address, OLD.refund_address, OLD.quote_id)
       IS DISTINCT FROM (NEW.from_asset, NEW.from_units, NEW.to_asset, NEW.to_units, NEW.payout_address, NEW.refund_address, NEW.quote_id)
       OR (OLD.state <> 'planned' AND NOT (OLD.state = 'abandoned' AND NEW.provider_id IS NULL AND NEW.payin_address IS NULL)
           AND (OLD.provider_id, OLD.payin_address, OLD.deadline) IS DISTINCT FROM (NEW.provider_id, NEW.payin_address, NEW.deadline)) THEN
        RAISE EXCEPTION 'the terms of swap % are fixed', OLD.id USING ERRCODE = '23514', CONSTRAINT = 'swap_terms_stay';
    END IF;
    RETURN NEW;
END $$;

-- How far a comparison has looked (the newest history and ledger transaction), for the next one to begin there.
ALTER TABLE reconciliation ADD COLUMN seen jsonb NOT NULL DEFAULT '{}';

-- What comparisons ask for every five minutes.
DROP INDEX state_history_subject;
CREATE INDEX state_history_subject ON state_history (machine, subject, id);
CREATE INDEX transfer_mined ON transfer (wallet_id, mined_block) WHERE mined_block IS NOT NULL;
CREATE INDEX transfer_came_back ON transfer (wallet_id) WHERE state IN ('failed_onchain', 'superseded');
CREATE INDEX arrival_block ON arrival (wallet_id, block);
CREATE INDEX processed_payments_review ON processed_payments (id) WHERE state = 'review';
CREATE INDEX processed_payments_suspense ON processed_payments (id) WHERE suspense_units > 0;
CREATE INDEX payout_accumulation_owed ON payout_accumulation (owner_id) WHERE state NOT IN ('paid', 'reversed');
CREATE INDEX failed_transactions_subject ON failed_transactions (source, subject);
CREATE INDEX failed_transactions_work ON failed_transactions (work_id) WHERE work_id IS NOT NULL;
CREATE INDEX work_dead ON work (id) WHERE state = 'dead';
CREATE INDEX swap_payout ON swap (payout_id) WHERE payout_id IS NOT NULL;
CREATE INDEX swap_conversion ON swap (conversion_id) WHERE conversion_id IS NOT NULL;
CREATE INDEX swap_live ON swap (id) WHERE state IN ('created', 'funding', 'funded', 'hold');
CREATE INDEX swap_abandoned ON swap (ended_at) WHERE state = 'abandoned' AND provider_id IS NOT NULL;
CREATE INDEX swap_orphan_seen ON swap_orphan (seen_at);

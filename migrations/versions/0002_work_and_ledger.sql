-- The engine's work rows, the one history of states, the append-only double-entry ledger.

CREATE TABLE work (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    step text NOT NULL,
    subject text NOT NULL CHECK (length(subject) BETWEEN 1 AND 200),
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'done', 'dead')),
    point text NOT NULL DEFAULT 'start',
    not_before timestamptz NOT NULL DEFAULT pgp_now(),
    wake_at timestamptz NOT NULL,
    lease_owner text,
    lease_until timestamptz,
    fence bigint NOT NULL DEFAULT 0,
    attempts int NOT NULL DEFAULT 0,
    generation int NOT NULL DEFAULT 1,
    signature text NOT NULL,
    correlation text NOT NULL,
    sender text NOT NULL,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT pgp_now(),
    done_at timestamptz,
    UNIQUE (step, subject)
);
-- What the sweep looks for.
CREATE INDEX work_due ON work (wake_at) WHERE state = 'open';
CREATE INDEX work_correlation ON work (correlation);

CREATE TABLE vendor_pause (
    vendor text PRIMARY KEY,
    until timestamptz NOT NULL,
    failures int NOT NULL DEFAULT 1,
    reason text NOT NULL
);

-- The kill switches: a row stops every step that names the switch.
CREATE TABLE machine_pause (
    switch text PRIMARY KEY CHECK (switch IN ('intake', 'convert', 'payout_plan', 'sign', 'invite')),
    since timestamptz NOT NULL DEFAULT pgp_now(),
    reason text NOT NULL
);

-- Dead letters (failed_transactions is the map's name).
CREATE TABLE failed_transactions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL,
    subject text NOT NULL,
    reason text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}',
    work_id bigint REFERENCES work,
    created_at timestamptz NOT NULL DEFAULT pgp_now(),
    resolved_at timestamptz,
    resolution text,
    resolved_by text
);
-- One open dead letter a subject of a source.
CREATE UNIQUE INDEX failed_transactions_open ON failed_transactions (source, subject) WHERE resolved_at IS NULL;

CREATE TABLE legal_move (
    machine text NOT NULL,
    source text NOT NULL,
    target text NOT NULL,
    PRIMARY KEY (machine, source, target)
);

CREATE TABLE state_history (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    machine text NOT NULL,
    subject bigint NOT NULL,
    source text,
    target text NOT NULL,
    actor text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX state_history_subject ON state_history (machine, subject);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = '23001', CONSTRAINT = 'append_only';
END $$;

-- Every machine's table has this trigger, with the machine's name and its first state.
CREATE FUNCTION guard_move() RETURNS trigger LANGUAGE plpgsql AS $$
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
END $$;

CREATE TABLE ledger_account (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code text NOT NULL,
    asset text NOT NULL REFERENCES currency_to_network,
    side char(1) NOT NULL CHECK (side IN ('D', 'C')),
    owner_id bigint REFERENCES client_table,
    -- Debits minus credits; kept by ledger_post, compared with the postings by invariant I02.
    balance numeric(38, 0) NOT NULL DEFAULT 0,
    floor_at_zero boolean NOT NULL DEFAULT false,
    UNIQUE (code, asset),
    CONSTRAINT ledger_floor CHECK (NOT floor_at_zero OR (side = 'C' AND balance <= 0) OR (side = 'D' AND balance >= 0))
);
CREATE INDEX ledger_account_owner ON ledger_account (owner_id) WHERE owner_id IS NOT NULL;

CREATE TABLE ledger_tx (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    reference text NOT NULL,
    reverses bigint REFERENCES ledger_tx,
    actor text NOT NULL DEFAULT current_setting('application_name'),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (kind, reference)
);

CREATE TABLE ledger_posting (
    tx_id bigint NOT NULL REFERENCES ledger_tx,
    line int NOT NULL,
    account_id bigint NOT NULL REFERENCES ledger_account,
    asset text NOT NULL,
    -- A debit is positive, a credit negative.
    units numeric(38, 0) NOT NULL CHECK (units <> 0 AND units > -1e38 AND units < 1e38),
    PRIMARY KEY (tx_id, line)
);
CREATE INDEX ledger_posting_account ON ledger_posting (account_id);

CREATE TRIGGER ledger_tx_append_only BEFORE UPDATE OR DELETE ON ledger_tx FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_posting_append_only BEFORE UPDATE OR DELETE ON ledger_posting FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_tx_no_truncate BEFORE TRUNCATE ON ledger_tx EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_posting_no_truncate BEFORE TRUNCATE ON ledger_posting EXECUTE FUNCTION refuse_change();
CREATE TRIGGER state_history_append_only BEFORE UPDATE OR DELETE ON state_history FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Checked at commit, once a ledger transaction: it has lines and they balance in every asset.
CREATE FUNCTION ledger_tx_balances() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM ledger_posting WHERE tx_id = NEW.id) THEN
        RAISE EXCEPTION 'ledger transaction % is empty', NEW.id USING ERRCODE = '23514', CONSTRAINT = 'ledger_balanced';
    END IF;
    IF EXISTS (SELECT 1 FROM ledger_posting WHERE tx_id = NEW.id GROUP BY asset HAVING sum(units) <> 0) THEN
        RAISE EXCEPTION 'ledger transaction % does not balance', NEW.id USING ERRCODE = '23514', CONSTRAINT = 'ledger_balanced';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledger_tx_balanced AFTER INSERT ON ledger_tx DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION ledger_tx_balances();

-- A line added later to an older transaction would slip past the check above.
CREATE FUNCTION ledger_posting_is_fresh() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM ledger_tx WHERE id = NEW.tx_id AND xmin = pg_current_xact_id()::xid) THEN
        RAISE EXCEPTION 'ledger transaction % is closed', NEW.tx_id USING ERRCODE = '23001', CONSTRAINT = 'append_only';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_posting_fresh BEFORE INSERT ON ledger_posting FOR EACH ROW EXECUTE FUNCTION ledger_posting_is_fresh();

-- Posts one ledger transaction: lines are [{"code","asset","side","owner","floor","units"}], debits positive.
-- Gives back the transaction's id, or NULL when (kind, reference) was posted before.
-- Accounts are locked in the order of their ids, which is the last place in the one lock order.
CREATE FUNCTION ledger_post(p_kind text, p_reference text, p_lines jsonb, p_reverses bigint DEFAULT NULL) RETURNS bigint LANGUAGE plpgsql AS $$
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
END $$;

-- What operators need: a refund once, a correction once, a way back for a transfer that was given up too early, and every place where money has been.

-- One of its old attempts may still be mined after its nonce was to be filled: then it was sent after all.
INSERT INTO legal_move (machine, source, target) VALUES ('transfer', 'superseded', 'broadcast');

-- A payment goes back once: another transfer for it only after the first was cancelled, failed, or lost its nonce.
CREATE UNIQUE INDEX transfer_live_payment ON transfer (payment_id)
 WHERE payment_id IS NOT NULL AND state NOT IN ('cancelled', 'failed_onchain', 'superseded');

-- What was reversed once is not reversed again.
CREATE UNIQUE INDEX ledger_tx_reverses ON ledger_tx (reverses) WHERE reverses IS NOT NULL;

-- What people did to money is as little to be forgotten as what was posted.
CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The buyer's own transaction, as the vendor names it: where a question about a payment begins.
ALTER TABLE processed_payments ADD COLUMN payin_hash text CHECK (length(payin_hash) BETWEEN 1 AND 200);
CREATE INDEX processed_payments_payin_hash ON processed_payments (payin_hash) WHERE payin_hash IS NOT NULL;

-- Every conversion and payout that an accumulation has ever been part of: what comes to nothing lets go of its accumulations,
-- and yet its transactions must lead back to the buyers.
CREATE TABLE accumulation_place (
    accumulation_id bigint NOT NULL REFERENCES payout_accumulation,
    conversion_id bigint REFERENCES batch_conversions,
    payout_id bigint REFERENCES split_payout_que,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((conversion_id IS NULL) <> (payout_id IS NULL))
);
CREATE UNIQUE INDEX accumulation_place_conversion ON accumulation_place (conversion_id, accumulation_id) WHERE conversion_id IS NOT NULL;
CREATE UNIQUE INDEX accumulation_place_payout ON accumulation_place (payout_id, accumulation_id) WHERE payout_id IS NOT NULL;
CREATE INDEX accumulation_place_accumulation ON accumulation_place (accumulation_id);
INSERT INTO accumulation_place (accumulation_id, conversion_id) SELECT id, conversion_id FROM payout_accumulation WHERE conversion_id IS NOT NULL;
INSERT INTO accumulation_place (accumulation_id, payout_id) SELECT id, payout_id FROM payout_accumulation WHERE payout_id IS NOT NULL;
CREATE TRIGGER accumulation_place_append_only BEFORE UPDATE OR DELETE ON accumulation_place FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE FUNCTION keep_place() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.conversion_id IS NOT NULL AND NEW.conversion_id IS DISTINCT FROM OLD.conversion_id THEN
        INSERT INTO accumulation_place (accumulation_id, conversion_id) VALUES (NEW.id, NEW.conversion_id) ON CONFLICT DO NOTHING;
    END IF;
    IF NEW.payout_id IS NOT NULL AND NEW.payout_id IS DISTINCT FROM OLD.payout_id THEN
        INSERT INTO accumulation_place (accumulation_id, payout_id) VALUES (NEW.id, NEW.payout_id) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_place AFTER UPDATE OF conversion_id, payout_id ON payout_accumulation FOR EACH ROW EXECUTE FUNCTION keep_place();

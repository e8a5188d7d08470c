DROP INDEX state_history_subject;
CREATE INDEX state_history_subject ON state_history (machine, subject);
DROP INDEX swap_orphan_seen, swap_abandoned, swap_live;
DROP INDEX arrival_block, transfer_came_back, transfer_mined;
DROP INDEX swap_conversion, swap_payout, work_dead, failed_transactions_work, failed_transactions_subject, payout_accumulation_owed, processed_payments_suspense, processed_payments_review;
ALTER TABLE reconciliation DROP COLUMN seen;
CREATE OR REPLACE FUNCTION swap_terms_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.from_asset, OLD.from_units, OLD.to_asset, OLD.to_units, OLD.payout_address, OLD.refund_address, OLD.quote_id)
       IS DISTINCT FROM (NEW.from_asset, NEW.from_units, NEW.to_asset, NEW.to_units, NEW.payout_address, NEW.refund_address, NEW.quote_id)
       OR (OLD.state <> 'planned' AND (OLD.provider_id, OLD.payin_address, OLD.deadline) IS DISTINCT FROM (NEW.provider_id, NEW.payin_address, NEW.deadline)) THEN
        RAISE EXCEPTION 'the terms of swap % are fixed', OLD.id USING ERRCODE = '23514', CONSTRAINT = 'swap_terms_stay';
    END IF;
    RETURN NEW;
END $$;
DROP INDEX transfer_nonce;
ALTER TABLE transfer ADD CONSTRAINT transfer_wallet_id_nonce_key UNIQUE (wallet_id, nonce);
DROP INDEX transfer_fills;
ALTER TABLE transfer DROP CONSTRAINT transfer_purpose_check;
ALTER TABLE transfer ADD CONSTRAINT transfer_purpose_check CHECK (purpose IN ('swap', 'direct', 'treasury', 'refund'));
DROP FUNCTION is_switched_off(text);
DROP TABLE chain_tx;
DROP FUNCTION frozen_because(wallet);
DROP FUNCTION is_home(bigint);
DROP TABLE wallet_home;
DROP FUNCTION pgp_home();

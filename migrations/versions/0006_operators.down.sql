DROP TRIGGER keep_place ON payout_accumulation;
DROP FUNCTION keep_place();
DROP TABLE accumulation_place;
DROP INDEX processed_payments_payin_hash;
ALTER TABLE processed_payments DROP COLUMN payin_hash;
DROP TRIGGER audit_log_no_truncate ON audit_log;
DROP INDEX ledger_tx_reverses;
DROP INDEX transfer_live_payment;
DELETE FROM legal_move WHERE machine = 'transfer' AND source = 'superseded' AND target = 'broadcast';

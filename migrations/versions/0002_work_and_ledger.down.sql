DROP TRIGGER audit_log_append_only ON audit_log;
DROP FUNCTION ledger_post(text, text, jsonb, bigint);
DROP TABLE ledger_posting, ledger_tx, ledger_account, state_history, legal_move, failed_transactions, machine_pause, vendor_pause, work;
DROP FUNCTION ledger_posting_is_fresh(), ledger_tx_balances(), guard_move(), refuse_change();

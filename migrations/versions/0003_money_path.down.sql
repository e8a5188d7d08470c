DROP TABLE reconciliation, broadcast_post, broadcast_manager, notification, expected_deposit, arrival, nonce_fill, transfer_attempt, transfer,
    swap_orphan, swap, quote, payout_accumulation, split_payout_que, batch_conversions, wallet, invite, entitlement, membership,
    processed_payments, inbox, invoice, orders;
DROP FUNCTION transfer_terms_stay(), swap_terms_stay();

DROP TABLE audit_log, transaction_limits, bot_message, telegram_update, conversation_state, subscription_tier_map, channel, payout_details,
    client_table, mail, one_time_token, refresh_token, account, currency_to_network;
DROP DOMAIN telegram_channel, telegram_user, usd, units, pos_units;
DROP FUNCTION pgp_now();
DROP EXTENSION btree_gist;

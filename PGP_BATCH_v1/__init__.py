"""Gathers what is due: owners' ETH into conversions (microbatchprocessor), their USDT into payouts (batchprocessor)."""

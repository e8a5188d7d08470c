"""Simulates the price sources: CoinGecko, CryptoCompare and 1inch behind one port, each under a base path of its own."""

"""The Ethereum side of the local fleet: the node, the test token, and wallets that pay exactly once."""

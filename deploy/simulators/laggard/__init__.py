"""Another RPC address of the same chain: a node that lags some blocks behind, holds transactions back, and fails when told to."""

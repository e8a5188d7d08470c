"""The benchmark: what the fleet on this machine takes in, carries through and costs."""

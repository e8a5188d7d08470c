"""The fleet in one process, reproducible by a seed: the product's own code, a real database, and everything else behind the process's edge."""

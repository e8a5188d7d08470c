"""The demonstration: four owners, their buyers and a donation, played on a running fleet through the same doors as in life."""

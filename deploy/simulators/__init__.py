"""One program for each outside party, speaking its wire format; none of this is in the product image."""

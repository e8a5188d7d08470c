"""NOWPayments as a program: its HTTP API and invoice page, its callbacks signed as Node.js signs them, its payouts on the local chain."""

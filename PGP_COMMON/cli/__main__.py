"""Lets `python -m PGP_COMMON.cli` stand for `pgp`."""

from __future__ import annotations

from PGP_COMMON.cli import main

main()

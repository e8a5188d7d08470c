"""A shop whose wallet is open, so that its payments' money can come to it and go back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from PGP_COMMON.money_machines import wallet
from tests.support.sales import ETHER, Shop

OURS, SENDER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
OPENING = 5 * ETHER


class Till(Shop):
    """A shop with a wallet."""

    def __init__(self, url: str, settings: dict[str, str]) -> None:
        """Open the wallet with five ETH of the platform's own."""
        super().__init__(url, settings)
        with self.db.transaction() as tx:
            self.wallet_id = wallet.open(tx, address=OURS, chain_id=31337, nonce=0, block=1, balances={"eth": OPENING})


T = TypeVar("T", bound=Till)


@contextmanager
def a_till(kind: type[T], url: str, settings: dict[str, str]) -> Iterator[T]:
    """One of these over a fresh database, whose books are right in the end."""
    made = kind(url, {**settings, "HOST_WALLET_ETH_ADDRESS": OURS, "HOST_WALLET_USDT_ADDRESS": OURS})
    yield made
    made.check_books()
    made.close()

"""What a transaction takes out of the wallet, read from its words."""

from __future__ import annotations

import pytest

from PGP_COMMON.clients.ethereum_answers import ChainTransaction, transfer_call
from PGP_COMMON.money_machines.strays import Moved, moved

TOKEN, OTHER = "0xdAC17F958D2ee523a2206206994597C13D831ec7", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
OURS = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
TRANSFER = transfer_call(recipient=OTHER, units=7)


@pytest.mark.parametrize(
    ("to", "value", "data", "what"),
    [
        (OTHER, 5, b"", Moved("eth", 5, OTHER)),
        (TOKEN, 0, TRANSFER, Moved("usdterc20", 7, OTHER)),
        (TOKEN.lower(), 0, TRANSFER, Moved("usdterc20", 7, OTHER)),
        # A transfer of another token, or one that carries ETH as well, is a call of a contract.
        (OTHER, 0, TRANSFER, Moved(None, 0, OTHER)),
        (TOKEN, 3, TRANSFER, Moved("eth", 3, TOKEN)),
        (TOKEN, 0, TRANSFER[:-1], Moved(None, 0, TOKEN)),
        (TOKEN, 0, TRANSFER[:36] + bytes(32), Moved(None, 0, OTHER)),
        (OURS, 0, b"", Moved(None, 0, OURS)),
        (None, 0, b"a contract", Moved(None, 0, None)),
    ],
)
def test_only_what_we_keep_books_of_has_an_asset(to: str | None, value: int, data: bytes, what: Moved) -> None:
    assert moved(ChainTransaction("0x1", 1, 0, OURS, to, value, data), token=TOKEN) == what

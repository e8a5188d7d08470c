"""The wallet's fence: it is at home, every nonce that its chain has used was given here, and what took each is known (money.md 8.5).

HOSTPAY2 looks every few minutes; HOSTPAY3 looks before its first signature after a start, and whenever nobody has looked for an hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from PGP_COMMON.clients.ethereum import Ethereum
from PGP_COMMON.clients.ethereum_answers import Nonces
from PGP_COMMON.database import BaseDatabaseManager, Transaction
from PGP_COMMON.engine import bury
from PGP_COMMON.money_machines import reconciliations, strays, wallet
from PGP_COMMON.money_machines.strays import Used
from PGP_COMMON.money_machines.wallet import WalletRow

JOB: Final = "fence"
# money.md 8.5: at least once an hour.
HOLDS_S: Final = 3600


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen: the chain's nonces, how many transfers should have had a final one, and those whose nonce something unknown has taken."""

    nonces: Nonces
    compared: int
    taken: tuple[Used, ...]


class Guard:
    """Whether this process may sign without looking first. What counts are the looks that are written down, so a crash forgets nothing."""

    def __init__(self) -> None:
        """Nothing has been looked at."""
        self._before: int | None = None

    def wants_a_look(self, tx: Transaction) -> bool:
        """Whether nobody has looked since this process began, or for an hour, or the last look found something."""
        last = reconciliations.last(tx, JOB)
        if self._before is None:
            self._before = 0 if last is None else last.id
        return last is None or last.id <= self._before or last.age_s > HOLDS_S or bool(last.breaks)


def look(db: BaseDatabaseManager, chain: Ethereum, held: WalletRow) -> Look:
    """Ask the chain, with no transaction open."""
    nonces = chain.nonces(held.address)
    with db.reading() as tx:
        used = strays.used_below(tx, held.id, nonce=nonces.final)
    receipts = chain.receipts([tx_hash for transfer in used for tx_hash in transfer.hashes])
    # While a node does not answer, what is missing may be there.
    taken = tuple(transfer for transfer in used if receipts.complete and not receipts.by_hash.keys() & set(transfer.hashes))
    return Look(nonces, len(used), taken)


def seems_whole(held: WalletRow, seen: Look) -> bool:
    """Whether a look found nothing, as far as one can say without the wallet's lock."""
    return held.at_home and not seen.taken and seen.nonces.known <= held.next_nonce


def record(tx: Transaction, held: WalletRow, seen: Look) -> str | None:
    """Write the look down; what does not hold freezes the wallet. Gives back why nothing may be signed, or None when everything holds.

    The nonces were asked for before the row is read here, and the row's own count only grows: what is ahead of it is ahead of it for ever.
    A nonce that something unknown has taken counts when two looks in a row say so, because a node may know the count before the receipt.
    """
    now = wallet.lock(tx, held.id)
    assert now is not None
    if not now.at_home:
        freeze(tx, now, reason=str(now.frozen_reason), detail={"next": "`pgp wallet adopt`, once it is the one database that the fleet uses"})
    if seen.nonces.known > now.next_nonce:
        # Somebody else uses the key, or the database is older than the chain: another nonce from us could pay twice.
        freeze(tx, now, reason="the chain has nonces that we did not give", detail={"chain": seen.nonces.known, "ours": now.next_nonce})
    breaks = [{"transfer": used.transfer_id, "nonce": used.nonce, "found": "a nonce that was taken by a transaction that nobody knows"} for used in seen.taken]
    before = {found.get("transfer") for found in reconciliations.last_breaks(tx, JOB)}
    for found in breaks:
        if found["transfer"] in before:
            freeze(tx, now, reason="a transfer's nonce was taken by a transaction that nobody knows", detail=found)
    ahead = [{"found": "nonces that we did not give", "chain": seen.nonces.known, "ours": now.next_nonce}] if seen.nonces.known > now.next_nonce else []
    away = [] if now.at_home else [{"found": "the database is not the one that the wallet was opened in"}]
    reconciliations.keep(tx, JOB, compared=seen.compared, breaks=[*away, *ahead, *breaks])
    if away or ahead:
        return "the wallet is frozen: its fence does not hold"
    return "a nonce was taken by a transaction that nobody knows: looked at again" if breaks else None


def freeze(tx: Transaction, held: WalletRow, *, reason: str, detail: Mapping[str, Any]) -> None:
    """Sign nothing any more until an operator has looked, and tell him."""
    wallet.freeze(tx, held.id, reason=reason)
    bury(tx, source="wallet", subject=held.address, reason="wallet_frozen", detail={"why": reason, "next": "`pgp wallet show`", **detail})

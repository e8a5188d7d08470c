"""Comparisons of our books with the outside: each run with what it compared and what did not agree. SQL of reconciliation."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PGP_COMMON.clients.ethereum_answers import Receipt
from PGP_COMMON.database import Transaction
from PGP_COMMON.money_machines.rows import Row
from PGP_COMMON.money_machines.wallet import GAS


def keep(tx: Transaction, job: str, *, compared: int, breaks: Sequence[dict[str, Any]]) -> None:
    """Keep one run of a comparison; `breaks` is empty when everything agreed."""
    tx.run(
        "INSERT INTO reconciliation (job, compared, breaks) VALUES (:job, :compared, CAST(:breaks AS jsonb))",
        job=job,
        compared=compared,
        breaks=json.dumps(list(breaks), default=str),
    )


def last_breaks(tx: Transaction, job: str) -> list[dict[str, Any]]:
    """What did not agree when a comparison was last made."""
    found = tx.value("SELECT breaks FROM reconciliation WHERE job = :job ORDER BY at DESC, id DESC LIMIT 1", job=job)
    breaks = json.loads(found) if isinstance(found, str) else found
    return list(breaks or [])


def lasting_breaks(tx: Transaction, job: str, *, for_s: int) -> list[list[dict[str, Any]]]:
    """What did not agree in each run of the last so many seconds, and in the last one before them; empty when no run is that old."""
    found = tx.value(
        """
        SELECT CAST(array_agg(breaks ORDER BY at) AS text[]) FROM reconciliation
         WHERE job = :job AND at >= (SELECT max(at) FROM reconciliation WHERE job = :job AND at <= pgp_now() - make_interval(secs => :for_s))
        """,
        job=job,
        for_s=for_s,
    )
    return [json.loads(breaks) for breaks in found or []]


@dataclass(frozen=True)
class Holding(Row):
    """Base units of an asset that the wallet should hold at a block by the books.

    With `hashes`, only while none of these transactions has moved them by then; without, whatever the chain says.
    """

    asset: str
    units: int
    hashes: list[str] | None


def holdings(tx: Transaction, wallet_id: int, *, block: int) -> list[Holding]:
    """What the wallet should hold at a final block, in one snapshot of the books.

    That is the ledger's wallet; less what arrived later; plus what was signed away and moved later, was never moved, or may not have moved yet;
    plus gas that was burned later.
    """
    return tx.all(
        Holding,
        """
        SELECT asset, balance AS units, CAST(NULL AS text[]) AS hashes FROM ledger_account WHERE code = 'wallet'
        UNION ALL
        SELECT asset, -sum(units), NULL FROM arrival WHERE wallet_id = :wallet_id AND block > :block GROUP BY asset
        UNION ALL
        SELECT asset, sum(units), NULL FROM transfer WHERE wallet_id = :wallet_id AND state = 'final' AND mined_block > :block GROUP BY asset
        UNION ALL
        SELECT 'eth', sum(gas_wei), NULL FROM transfer
         WHERE wallet_id = :wallet_id AND state IN ('final', 'failed_onchain') AND mined_block > :block HAVING sum(gas_wei) > 0
        UNION ALL
        SELECT asset, units, NULL FROM transfer t WHERE wallet_id = :wallet_id AND state IN ('failed_onchain', 'superseded')
           AND NOT EXISTS (SELECT 1 FROM ledger_tx l WHERE l.kind = 'transfer.return' AND l.reference = CAST(t.id AS text))
        UNION ALL
        SELECT t.asset, t.units, array_agg(a.tx_hash) FROM transfer t JOIN transfer_attempt a ON a.transfer_id = t.id
         WHERE t.wallet_id = :wallet_id AND t.state IN ('signed', 'broadcast', 'mined', 'stuck') GROUP BY t.id
        """,
        wallet_id=wallet_id,
        block=block,
    )


def expected_units(books: Sequence[Holding], receipts: Mapping[str, Receipt], *, block: int) -> dict[str, int]:
    """What the wallet should hold at a block, in base units by asset. Pure."""
    units: dict[str, int] = defaultdict(int)
    for holding in books:
        mined = [receipts[tx_hash] for tx_hash in holding.hashes or () if tx_hash in receipts and receipts[tx_hash].block_number <= block]
        # Its gas is booked when it is final, which is the step after this.
        units[GAS] -= sum(receipt.gas_used * receipt.gas_price_wei for receipt in mined)
        if not any(receipt.succeeded for receipt in mined):
            units[holding.asset] += holding.units
    return units

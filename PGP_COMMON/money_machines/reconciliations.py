"""Comparisons of our books with the outside: each run with what it compared and what did not agree. SQL of reconciliation."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from PGP_COMMON.clients.ethereum_answers import Receipt
from PGP_COMMON.database import Transaction
from PGP_COMMON.money_machines.rows import Row
from PGP_COMMON.money_machines.wallet import GAS

# What changes from one look to the next although it is the same difference.
PASSING: Final = frozenset({"since", "runs", "block", "chain", "books"})
# A comparison that has not been made for so many of its intervals has stopped.
MISSED: Final = 3


@dataclass(frozen=True)
class Comparison:
    """A job that compares: how often, what with what, and what helps when they differ.

    `at_once`: a difference is one at the first run. Of the others, which see what is under way as well, two runs in a row have to agree.
    """

    every_s: int
    compares: str
    helps: str
    at_once: bool = False


JOBS: Final[dict[str, Comparison]] = {
    "payments": Comparison(600, "unsettled payments and NOWPayments", "`pgp dead list` has what could not be settled"),
    "payments-list": Comparison(86_400, "NOWPayments' list of the last eight days and our payments", "`pgp dead list` has what could not be settled"),
    "invariants": Comparison(300, "what has moved in our books and what must hold", "trace the subject, then `pgp resume`", at_once=True),
    "invariants-full": Comparison(86_400, "the whole of our books and what must hold", "trace the subject, then `pgp resume`", at_once=True),
    "chain": Comparison(300, "the wallet's transactions in final blocks and our rows", "`pgp wallet adopt`, then `pgp wallet explain`", at_once=True),
    "fence": Comparison(300, "the nonces that the chain has used and those that we gave", "`pgp wallet show`; after a restore `pgp wallet adopt`"),
    "wallet": Comparison(300, "what the wallet holds and our books, at one final block", "find the transaction; a deposit is announced"),
    "exchanges": Comparison(300, "orders at the exchange and our swaps", "ask the exchange with the order's id"),
    "members": Comparison(600, "who is in the channels and who may be", "look at the bot's rights; an owner may keep whom he likes", at_once=True),
}


def keep(tx: Transaction, job: str, *, compared: int, breaks: Sequence[Mapping[str, Any]], seen: Mapping[str, int] | None = None) -> None:
    """Keep one run of a comparison; `breaks` is empty when everything agreed.

    A difference keeps the time at which it was first seen (`since`) and in how many runs in a row (`runs`). `seen` is what the run has looked at besides:
    how far it came, for the next one to begin there, or what it counted.
    """
    if breaks:
        known = {_same(found): found for found in last_breaks(tx, job)}
        now = str(tx.value("SELECT to_char(pgp_now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')"))
        breaks = [{**found, **_history(known.get(_same(found)), now=now)} for found in breaks]
    tx.run(
        "INSERT INTO reconciliation (job, compared, breaks, seen) VALUES (:job, :compared, CAST(:breaks AS jsonb), CAST(:seen AS jsonb))",
        job=job,
        compared=compared,
        breaks=json.dumps(list(breaks), default=str),
        seen=json.dumps(dict(seen or {})),
    )


def _same(found: Mapping[str, Any]) -> str:
    """What makes a difference the same one as before."""
    return json.dumps({name: value for name, value in found.items() if name not in PASSING}, sort_keys=True, default=str)


def _history(before: Mapping[str, Any] | None, *, now: str) -> dict[str, Any]:
    return {"since": now, "runs": 1} if before is None else {"since": before.get("since", now), "runs": int(before.get("runs", 1)) + 1}


@dataclass(frozen=True)
class Run(Row):
    """One run of a comparison. `age_s`: how long ago it was."""

    id: int
    job: str
    age_s: int
    compared: int
    breaks: list[dict[str, Any]]
    seen: dict[str, int]

    @property
    def lasting(self) -> list[dict[str, Any]]:
        """The differences that count, as the job's comparison says."""
        comparison = JOBS.get(self.job)
        return [found for found in self.breaks if found.get("runs", 1) > 1 or (comparison is not None and comparison.at_once)]


def last(tx: Transaction, job: str) -> Run | None:
    """The newest run of a comparison; None when it was never made."""
    return _nth(tx, job, 0)


def last_but_one(tx: Transaction, job: str) -> Run | None:
    """The run before the newest; None when there is none."""
    return _nth(tx, job, 1)


def _nth(tx: Transaction, job: str, back: int) -> Run | None:
    return tx.one(
        Run,
        """
        SELECT id, job, CAST(extract(epoch FROM pgp_now() - at) AS bigint) AS age_s, compared, breaks, seen
          FROM reconciliation WHERE job = :job ORDER BY at DESC, id DESC LIMIT 1 OFFSET :back
        """,
        job=job,
        back=back,
    )


def last_breaks(tx: Transaction, job: str) -> list[dict[str, Any]]:
    """What did not agree when a comparison was last made."""
    run = last(tx, job)
    return [] if run is None else run.breaks


def running_for_s(tx: Transaction) -> int:
    """How long ago the first work that is still kept was asked for, in seconds: a fleet that has just begun has compared nothing yet."""
    return int(tx.value("SELECT coalesce(extract(epoch FROM pgp_now() - (SELECT created_at FROM work ORDER BY id LIMIT 1)), 0)"))


def forget(tx: Transaction, *, older_than_s: int, limit: int = 5000) -> int:
    """Remove old runs that found nothing, but for the newest of each job; those that found something are kept."""
    return tx.run(
        """
        DELETE FROM reconciliation WHERE id IN (
            SELECT id FROM reconciliation r WHERE at < pgp_now() - make_interval(secs => :older) AND breaks = '[]'
               AND EXISTS (SELECT 1 FROM reconciliation n WHERE n.job = r.job AND n.at > r.at) ORDER BY id LIMIT :limit)
        """,
        older=older_than_s,
        limit=limit,
    )


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
    plus gas that was burned later; less what left without a row of ours and is not booked. A fill moves nothing: it goes to the wallet itself.
    """
    return tx.all(
        Holding,
        """
        SELECT asset, balance AS units, CAST(NULL AS text[]) AS hashes FROM ledger_account WHERE code = 'wallet'
        UNION ALL
        SELECT asset, -sum(units), NULL FROM arrival WHERE wallet_id = :wallet_id AND block > :block GROUP BY asset
        UNION ALL
        SELECT asset, sum(units), NULL FROM transfer WHERE wallet_id = :wallet_id AND state = 'final' AND mined_block > :block AND purpose <> 'fill'
         GROUP BY asset
        UNION ALL
        SELECT 'eth', sum(gas_wei), NULL FROM transfer
         WHERE wallet_id = :wallet_id AND state IN ('final', 'failed_onchain') AND mined_block > :block HAVING sum(gas_wei) > 0
        UNION ALL
        SELECT asset, units, NULL FROM transfer t WHERE wallet_id = :wallet_id AND state IN ('failed_onchain', 'superseded')
           AND NOT EXISTS (SELECT 1 FROM ledger_tx l WHERE l.kind = 'transfer.return' AND l.reference = CAST(t.id AS text))
        UNION ALL
        SELECT t.asset, CASE WHEN t.purpose = 'fill' THEN 0 ELSE t.units END, array_agg(a.tx_hash)
          FROM transfer t JOIN transfer_attempt a ON a.transfer_id = t.id
         WHERE t.wallet_id = :wallet_id AND t.state IN ('signed', 'broadcast', 'mined', 'stuck') GROUP BY t.id
        UNION ALL
        SELECT asset, sum(units), NULL FROM transfer t WHERE wallet_id = :wallet_id AND purpose = 'fill' AND nonce IS NOT NULL
           AND state NOT IN ('failed_onchain', 'superseded')
           AND NOT EXISTS (SELECT 1 FROM ledger_tx l WHERE l.kind = 'transfer.return' AND l.reference = CAST(t.id AS text)) GROUP BY asset
        UNION ALL
        SELECT asset, sum(CASE WHEN booked_at IS NULL THEN -units ELSE units END), NULL FROM chain_tx
         WHERE wallet_id = :wallet_id AND succeeded AND asset IS NOT NULL AND explained_as IS DISTINCT FROM 'transfer' AND (booked_at IS NULL) = (block <= :block)
         GROUP BY asset
        UNION ALL
        SELECT 'eth', sum(CASE WHEN booked_at IS NULL THEN -gas_wei ELSE gas_wei END), NULL FROM chain_tx
         WHERE wallet_id = :wallet_id AND explained_as IS DISTINCT FROM 'transfer' AND (booked_at IS NULL) = (block <= :block) HAVING count(*) > 0
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

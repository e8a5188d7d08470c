"""What it means that everything is over: every row of every machine at an end, or at a place where it may rest, and no work left.

ENDS and RESTS name every state of every machine that is not somebody's turn; whatever is in another state is under way.
A state that rests has a rule here that says when it may.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from PGP_COMMON.database import Transaction
from PGP_COMMON.fleet import FLEET

ENDS: Final[dict[str, frozenset[str]]] = {
    "order": frozenset({"paid", "expired", "cancelled"}),
    "payment": frozenset({"credited", "rejected", "reversed"}),
    # The buyer acts: whether he really has a way in is compared with Telegram's own books (books.py).
    "invite": frozenset({"sent", "joined", "expired", "blocked"}),
    "accumulation": frozenset({"paid", "reversed"}),
    "conversion": frozenset({"done", "refunded", "cancelled"}),
    "payout": frozenset({"settled", "released"}),
    "swap": frozenset({"finished", "refunded", "abandoned"}),
    "transfer": frozenset({"final", "cancelled"}),
}
RESTS: Final[dict[str, frozenset[str]]] = {
    # Money that waits for a person; its letter says why, and the plan must explain it (letters.py).
    "payment": frozenset({"review"}),
    # Too little to convert; too little for its owner's threshold; taken back by the vendor.
    "accumulation": frozenset({"pending", "converted", "frozen"}),
}
# Work that schedules send again and again is never over.
SCHEDULED: Final = sorted({route.schedule.step for service in FLEET for route in service.routes if route.schedule})
# What MICROBATCH converts at least (the setting's default), at the simulated price of ETH.
LEAST_CONVERSION_USD: Final = Decimal(5)
ETH_USD: Final = Decimal(3500)
ETH_UNITS: Final = Decimal(10) ** 18
USDT_UNITS: Final = Decimal(10) ** 6


@dataclass(frozen=True)
class Row:
    """One row of a machine that is not at an end; `units` and `owner_id` are an accumulation's."""

    machine: str
    subject: str
    state: str
    note: str
    owner_id: int | None = None
    units: Decimal | None = None


@dataclass(frozen=True)
class Threshold:
    """From which balance on an owner is paid, in USD."""

    owner_id: int
    usd: Decimal


def look(tx: Transaction) -> list[str]:
    """Everything that is not over, a line each. It is empty when nothing is left to be done by anybody but a person."""
    rows = tx.all(Row, _ROWS, **{f"{machine}_ends": sorted(ends) for machine, ends in ENDS.items()})
    thresholds = tx.all(Threshold, "SELECT id AS owner_id, payout_threshold_usd AS usd FROM client_table")
    others = tx.all(Row, _OTHERS, scheduled=SCHEDULED)
    return [*unfinished(rows, thresholds), *(f"{row.machine} {row.subject} is {row.state}: {row.note}" for row in others)]


def unfinished(rows: Sequence[Row], thresholds: Sequence[Threshold]) -> list[str]:
    """Which rows are under way, or rest where they may not. Pure."""
    resting = [row for row in rows if row.state in RESTS.get(row.machine, frozenset())]
    under_way = [row for row in rows if row not in resting]
    lines = [f"{row.machine} {row.subject} is {row.state}" + (f": {row.note}" if row.note else "") for row in under_way]
    return lines + list(_restless(resting, thresholds))


def _restless(rows: Sequence[Row], thresholds: Sequence[Threshold]) -> Iterator[str]:
    """Money that should go on: too much of it to wait."""
    pending = [row for row in rows if row.state == "pending"]
    yield from (f"accumulation {row.subject} has not arrived" for row in pending if row.note == "not arrived")
    usd = sum((row.units or Decimal(0) for row in pending), Decimal(0)) / ETH_UNITS * ETH_USD
    if usd >= LEAST_CONVERSION_USD:
        yield f"{len(pending)} accumulations worth ${usd:.2f} are pending"
    for threshold in thresholds:
        units = sum((row.units or Decimal(0) for row in rows if row.state == "converted" and row.owner_id == threshold.owner_id), Decimal(0))
        if units and units / USDT_UNITS >= threshold.usd:
            yield f"owner {threshold.owner_id} has ${units / USDT_UNITS:.2f}, and is paid from ${threshold.usd:.2f} on"


def counts(tx: Transaction) -> dict[str, int]:
    """How far the whole is, for somebody who looks on."""
    found = tx.one(_Counts, _COUNTS)
    return {} if found is None else {name: int(value or 0) for name, value in found.__dict__.items()}


@dataclass(frozen=True)
class _Counts:
    credited: Any
    let_in: Any
    conversions: Any
    payouts: Any
    transfers: Any
    open_work: Any
    letters: Any


_COUNTS: Final = """
SELECT (SELECT count(*) FROM processed_payments WHERE state = 'credited') AS credited, (SELECT count(*) FROM membership WHERE present) AS let_in,
       (SELECT count(*) FROM batch_conversions WHERE state = 'done') AS conversions, (SELECT count(*) FROM split_payout_que WHERE state = 'settled') AS payouts,
       (SELECT count(*) FROM transfer WHERE state = 'final') AS transfers, (SELECT count(*) FROM work WHERE state = 'open') AS open_work,
       (SELECT count(*) FROM failed_transactions WHERE resolved_at IS NULL) AS letters
"""
_ROWS: Final = """
SELECT 'order' AS machine, unique_id AS subject, state, '' AS note, CAST(NULL AS bigint) AS owner_id, CAST(NULL AS numeric) AS units FROM orders WHERE state <> ALL(:order_ends)
UNION ALL SELECT 'payment', provider_id, state, status, NULL, NULL FROM processed_payments WHERE state <> ALL(:payment_ends)
UNION ALL SELECT 'invite', CAST(id AS text), state, '', NULL, NULL FROM invite WHERE state <> ALL(:invite_ends)
UNION ALL
SELECT 'accumulation', CAST(a.id AS text), a.state,
       CASE WHEN a.state = 'pending' AND NOT EXISTS (SELECT 1 FROM arrival r WHERE r.payment_id = a.payment_id) THEN 'not arrived' ELSE '' END,
       a.owner_id, CASE WHEN a.state = 'converted' THEN a.converted_units ELSE a.units END
  FROM payout_accumulation a WHERE a.state <> ALL(:accumulation_ends)
UNION ALL SELECT 'conversion', CAST(id AS text), state, coalesce(reason, ''), NULL, NULL FROM batch_conversions WHERE state <> ALL(:conversion_ends)
UNION ALL SELECT 'payout', CAST(id AS text), state, coalesce(reason, ''), NULL, NULL FROM split_payout_que WHERE state <> ALL(:payout_ends)
UNION ALL SELECT 'swap', CAST(id AS text), state, coalesce(reason, vendor_status, ''), NULL, NULL FROM swap WHERE state <> ALL(:swap_ends)
UNION ALL SELECT 'transfer', CAST(id AS text), state, coalesce(reason, ''), NULL, NULL FROM transfer WHERE state <> ALL(:transfer_ends)
"""
# What is no machine and has an end all the same. A dead one has a letter, and is judged by that.
_OTHERS: Final = """
SELECT 'work' AS machine, step || '/' || subject AS subject, state,
       CAST(attempts AS text) || ' attempts, ' || coalesce(last_error, 'no error') || ', not before ' || CAST(not_before AS text) AS note, CAST(NULL AS bigint) AS owner_id, CAST(NULL AS numeric) AS units
  FROM work WHERE state = 'open' AND step <> ALL(:scheduled)
UNION ALL SELECT 'arrival', tx_hash, 'unexplained', asset, NULL, NULL FROM arrival WHERE matched_at IS NULL
UNION ALL SELECT 'notification', CAST(id AS text), state, kind, NULL, NULL FROM notification WHERE state = 'planned'
UNION ALL SELECT 'mail', CAST(id AS text), 'not sent', kind, NULL, NULL FROM mail WHERE sent_at IS NULL
UNION ALL SELECT 'bot message', CAST(id AS text), 'not said', left(text, 40), NULL, NULL FROM bot_message WHERE sent_message_id IS NULL
UNION ALL SELECT 'wallet', address, 'frozen', frozen_reason, NULL, NULL FROM wallet WHERE frozen_reason IS NOT NULL
UNION ALL SELECT 'switch', switch, 'off', reason, NULL, NULL FROM machine_pause
UNION ALL SELECT 'vendor', vendor, 'left alone', reason, NULL, NULL FROM vendor_pause WHERE until > pgp_now()
"""

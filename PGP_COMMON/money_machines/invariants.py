"""The invariants: queries that must return no row, run every five minutes over what has moved and daily over everything, and after every journey of the tests.

Each is one statement, so it sees one state of the database, and everything that it compares is written in one transaction: a row that it finds is
never only on its way, and counts at the first look (decision 0023). Those that `stops` switch off whatever leads to a signature.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString

from PGP_COMMON.database import Transaction
from PGP_COMMON.money_machines import transit

# A statement over everything may take longer than the usual ten seconds: the history of a hundred thousand payments has millions of rows.
FULL_TIMEOUT: LiteralString = "60s"
MACHINES: tuple[LiteralString, ...] = ("order", "payment", "invite", "accumulation", "conversion", "payout", "swap", "transfer")


def _moved(machine: LiteralString, column: LiteralString) -> LiteralString:
    """What narrows a claim to the rows of a machine that have moved since: by their keys, never by reading the table and its history side by side."""
    return column + " = ANY(ARRAY(SELECT subject FROM state_history WHERE machine = '" + machine + "' AND id > :history))"


@dataclass(frozen=True)
class Invariant:
    """One claim about the books, and the query that finds where it does not hold (`subject`, `detail`).

    `moved` stands for `{moved}` when only what has moved is looked at, each of `all` in turn when everything is. Without `{moved}` the query is
    bounded by its indexes.
    """

    code: str
    claim: str
    sql: LiteralString
    moved: LiteralString = "true"
    all: tuple[LiteralString, ...] = ("true",)
    stops: bool = True
    # Whether its own letter is written; otherwise whoever wrote the row has written one.
    letter: bool = True

    @property
    def full(self) -> tuple[LiteralString, ...]:
        """The queries over everything."""
        return tuple(self.sql.replace("{moved}", part) for part in self.all)

    @property
    def recent(self) -> LiteralString:
        """The query over what has moved."""
        return self.sql.replace("{moved}", self.moved)


@dataclass(frozen=True)
class Breach:
    """One row that breaks a claim."""

    subject: str
    detail: str


@dataclass(frozen=True)
class Since:
    """From where on something has moved: the newest rows of the history and of the ledger that were there before."""

    history: int
    ledger: int


_PAYMENT, _PAYOUT, _SWAP = _moved("payment", "p.id"), _moved("payout", "q.id"), _moved("swap", "s.id")

LEDGER: tuple[Invariant, ...] = (
    Invariant(
        "I01",
        "the trial balance is zero in every asset",
        "SELECT asset AS subject, CAST(sum(balance) AS text) AS detail FROM ledger_account GROUP BY asset HAVING sum(balance) <> 0",
    ),
    Invariant(
        "I02",
        "every account's balance is the sum of its postings",
        """
        SELECT a.code || ' ' || a.asset AS subject, CAST(a.balance AS text) || ' but ' || CAST(coalesce(sum(p.units), 0) AS text) AS detail
          FROM ledger_account a LEFT JOIN ledger_posting p ON p.account_id = a.id WHERE {moved} GROUP BY a.id HAVING a.balance <> coalesce(sum(p.units), 0)
        """,
        # The platform's few accounts have a posting for each payment ever made, and are summed up once a day. Meanwhile an owner's account is held
        # against his accumulations (I23), all of them against one another (I01), and the wallet's against the chain.
        "false",
    ),
    Invariant(
        "I03",
        "every ledger transaction has lines and balances",
        """
        SELECT CAST(t.id AS text) AS subject, t.kind AS detail FROM ledger_tx t LEFT JOIN ledger_posting p ON p.tx_id = t.id
         WHERE {moved} GROUP BY t.id, p.asset HAVING coalesce(sum(p.units), 1) <> 0
        """,
        "t.id > :ledger",
    ),
    Invariant(
        "I23",
        "what owners are owed in the ledger is what their accumulations say",
        """
        SELECT 'owner ' || CAST(a.owner_id AS text) || ' ' || a.asset AS subject, CAST(a.booked AS text) || ' booked, ' || CAST(coalesce(b.rows, 0) AS text) || ' in rows' AS detail
          FROM (SELECT a.owner_id, a.asset, -sum(a.balance) AS booked FROM ledger_account a WHERE a.owner_id IS NOT NULL AND {moved} GROUP BY a.owner_id, a.asset) a
          LEFT JOIN LATERAL (SELECT sum(CASE WHEN x.state IN ('pending', 'converting', 'frozen') THEN x.units ELSE x.converted_units END) AS rows
                       FROM payout_accumulation x
                      WHERE x.owner_id = a.owner_id AND x.state NOT IN ('paid', 'reversed')
                        AND a.asset = CASE WHEN x.state IN ('pending', 'converting', 'frozen') THEN x.asset ELSE x.converted_asset END) b ON true
         WHERE a.booked <> coalesce(b.rows, 0)
        UNION ALL
        SELECT 'owner ' || CAST(owner_id AS text) || ' ' || asset, 'nothing booked, ' || CAST(sum(units) AS text) || ' in rows'
          FROM (SELECT a.owner_id, CASE WHEN a.state IN ('pending', 'converting', 'frozen') THEN a.asset ELSE a.converted_asset END AS asset,
                       CASE WHEN a.state IN ('pending', 'converting', 'frozen') THEN a.units ELSE a.converted_units END AS units
                  FROM payout_accumulation a WHERE a.state NOT IN ('paid', 'reversed') AND {moved}) owed
         WHERE NOT EXISTS (SELECT 1 FROM ledger_account l WHERE l.owner_id = owed.owner_id AND l.asset = owed.asset)
         GROUP BY owner_id, asset HAVING sum(units) <> 0
        """,
        """
        a.owner_id = ANY(ARRAY(SELECT o.owner_id FROM ledger_posting n JOIN ledger_account o ON o.id = n.account_id
                                WHERE n.tx_id > :ledger AND o.owner_id IS NOT NULL
                               UNION SELECT x.owner_id FROM payout_accumulation x WHERE """
        + _moved("accumulation", "x.id")
        + "))",
    ),
    Invariant(
        "I24",
        "what stands in suspense is what payments wait with",
        """
        SELECT coalesce(a.asset, b.asset) AS subject, CAST(coalesce(a.booked, 0) AS text) || ' booked, ' || CAST(coalesce(b.rows, 0) AS text) || ' in rows' AS detail
          FROM (SELECT asset, -sum(balance) AS booked FROM ledger_account WHERE code = 'suspense' GROUP BY asset) a
          FULL JOIN (SELECT outcome_asset AS asset, sum(suspense_units) AS rows FROM processed_payments WHERE suspense_units > 0 GROUP BY 1) b ON b.asset = a.asset
         WHERE coalesce(a.booked, 0) <> coalesce(b.rows, 0)
        """,
    ),
)

PAYMENTS: tuple[Invariant, ...] = (
    Invariant(
        "I04",
        "every payment that the vendor finished is credited, rejected, reversed, or in review with its letter",
        """
        SELECT p.provider_id AS subject, 'finished and ' || p.state AS detail FROM processed_payments p
         WHERE p.state = 'observed' AND p.status_rank >= 7
           AND NOT EXISTS (SELECT 1 FROM work w JOIN inbox i ON i.body_sha256 = decode(w.subject, 'hex')
                            WHERE w.step = 'payment.settle' AND w.state = 'open' AND position(convert_to(p.provider_id, 'UTF8') IN i.body) > 0)
        UNION ALL
        SELECT p.provider_id, 'in review without a letter' FROM processed_payments p
         WHERE p.state = 'review' AND NOT EXISTS (SELECT 1 FROM failed_transactions f WHERE f.source = 'payment.review' AND f.subject = CAST(p.id AS text))
        """,
        # A repeated deposit waits as an open notice until its first payment is known. Nothing stops: somebody may be owed more than he sees, nobody is
        # paid too much.
        stops=False,
    ),
    Invariant(
        "I05",
        "every payment that was credited has its ledger transaction and every reversed one the other, and no other payment has one",
        """
        SELECT p.provider_id AS subject, p.state AS detail FROM processed_payments p
         WHERE {moved}
           AND ((p.state IN ('credited', 'reversed') OR p.owner_units + p.fee_units > 0)
                <> EXISTS (SELECT 1 FROM ledger_tx t WHERE t.kind IN ('payment.credit', 'suspense.resolve') AND t.reference = CAST(p.id AS text))
                OR (p.state = 'reversed') <> EXISTS (SELECT 1 FROM ledger_tx t WHERE t.kind = 'payment.reverse' AND t.reference = CAST(p.id AS text)))
        """,
        _PAYMENT,
    ),
    Invariant(
        "I06",
        "the owner's part and the fee are what came",
        """
        SELECT provider_id AS subject, 'parts differ' AS detail FROM processed_payments p
         WHERE (state IN ('credited', 'reversed') OR owner_units + fee_units > 0) AND owner_units + fee_units <> outcome_units AND {moved}
        """,
        _PAYMENT,
    ),
    Invariant(
        "I06a",
        "what an owner earned by a payment, reversed or not, stands in his accumulations",
        """
        SELECT p.provider_id AS subject, CAST(p.owner_units AS text) || ' but ' || CAST(coalesce(sum(a.units), 0) AS text) AS detail
          FROM processed_payments p LEFT JOIN payout_accumulation a ON a.payment_id = p.id
         WHERE {moved} GROUP BY p.id HAVING p.owner_units <> coalesce(sum(a.units), 0)
        """,
        _PAYMENT,
    ),
    Invariant(
        "I06b",
        "what was given back stays with nobody: only a reversed payment has reversed parts, and it has no pending or frozen ones",
        """
        SELECT p.provider_id AS subject, a.state AS detail FROM payout_accumulation a JOIN processed_payments p ON p.id = a.payment_id
         WHERE {moved}
           AND ((a.state = 'reversed' AND p.state <> 'reversed') OR (a.state = 'frozen' AND p.state <> 'review')
                OR (a.state = 'pending' AND p.state = 'reversed' AND NOT EXISTS (SELECT 1 FROM accumulation_place l WHERE l.accumulation_id = a.id)))
        """,
        # Either may have moved; the accumulations are found by their payment all the same.
        "a.payment_id = ANY(ARRAY(SELECT subject FROM state_history WHERE machine = 'payment' AND id > :history UNION"
        " SELECT payment_id FROM payout_accumulation x WHERE " + _moved("accumulation", "x.id") + "))",
    ),
    Invariant(
        "I15",
        "every paid subscription has exactly one entitlement, and nothing else has one",
        """
        SELECT o.unique_id AS subject, o.state AS detail FROM orders o LEFT JOIN entitlement e ON e.order_id = o.id
         WHERE {moved} AND ((o.state = 'paid' AND o.kind = 'subscription') <> (e.id IS NOT NULL))
        """,
        _moved("order", "o.id"),
        stops=False,
    ),
    # Over everything it is a look at every payment ever made, as I02: once a day.
    Invariant("I25", "what stands in transit is what payments wait for, less what came beyond a credit", transit.BALANCE_SQL, "false"),
    # Nobody is paid too much by it: what came beyond is nobody's until it is credited.
    Invariant("I26", "a payment of which more came than it is credited with has its open letter", transit.SURPLUS_SQL, transit.SURPLUS_MOVED, stops=False),
)

PAYOUTS: tuple[Invariant, ...] = (
    Invariant(
        "I07",
        "what a conversion brought is shared out to the last unit",
        """
        SELECT CAST(c.id AS text) AS subject, CAST(c.received_units AS text) || ' but ' || CAST(coalesce(sum(a.converted_units), 0) AS text) AS detail
          FROM batch_conversions c LEFT JOIN payout_accumulation a ON a.conversion_id = c.id
         WHERE c.state = 'done' AND {moved} GROUP BY c.id HAVING c.received_units <> coalesce(sum(a.converted_units), 0)
        """,
        _moved("conversion", "c.id"),
    ),
    Invariant(
        "I08",
        "a payout is the sum of its accumulations, and they are paid when it is settled and not before",
        """
        SELECT CAST(q.id AS text) AS subject, q.state || ': ' || CAST(q.units AS text) || ' but ' || CAST(coalesce(sum(a.converted_units), 0) AS text) AS detail
          FROM split_payout_que q LEFT JOIN payout_accumulation a ON a.payout_id = q.id
         WHERE q.state <> 'released' AND {moved}
         GROUP BY q.id HAVING q.units <> coalesce(sum(a.converted_units), 0) OR bool_or((q.state = 'settled') <> (a.state = 'paid'))
        """,
        _PAYOUT,
    ),
    Invariant(
        "I09",
        "a released payout holds nothing",
        """
        SELECT CAST(q.id AS text) AS subject, 'still holds' AS detail FROM split_payout_que q JOIN payout_accumulation a ON a.payout_id = q.id
         WHERE q.state = 'released' AND {moved}
        """,
        _PAYOUT,
    ),
    Invariant(
        "I10",
        "a settled payout has exactly one finished swap or one final direct transfer, a released one has neither, and none has two swaps that may pay",
        """
        SELECT CAST(q.id AS text) AS subject, q.state AS detail FROM split_payout_que q
         WHERE q.state IN ('settled', 'released') AND {moved}
           AND (SELECT count(*) FROM swap s WHERE s.payout_id = q.id AND s.state = 'finished')
             + (SELECT count(*) FROM transfer t WHERE t.payout_id = q.id AND t.state = 'final') <> CASE q.state WHEN 'settled' THEN 1 ELSE 0 END
        UNION ALL
        SELECT CAST(q.id AS text), 'two swaps that may pay' FROM split_payout_que q
         WHERE {moved} AND (SELECT count(*) FROM swap s WHERE s.payout_id = q.id AND s.state NOT IN ('abandoned', 'refunded', 'lost')) > 1
        """,
        _PAYOUT,
    ),
    Invariant(
        "I11",
        "a funded swap has exactly one final transfer of exactly its amount to exactly its address",
        """
        SELECT CAST(s.id AS text) AS subject, s.state AS detail FROM swap s WHERE s.state IN ('funded', 'finished', 'refunded', 'hold', 'lost') AND {moved}
           AND (SELECT count(*) FROM transfer t WHERE t.swap_id = s.id AND t.state = 'final' AND t.units = s.from_units AND t.asset = s.from_asset
                   AND lower(t.recipient) = lower(s.payin_address)) <> 1
        """,
        _SWAP,
    ),
)

WALLET: tuple[Invariant, ...] = (
    Invariant(
        "I12",
        "the wallet's nonces have no gap, and none is beyond the next",
        """
        SELECT w.address AS subject, 'nobody has nonce ' || CAST(n AS text) AS detail
          FROM wallet w, generate_series(w.first_nonce, w.next_nonce - 1) n
         WHERE {moved}
           AND NOT EXISTS (SELECT 1 FROM transfer t WHERE t.wallet_id = w.id AND t.nonce = n AND t.state <> 'superseded')
           AND NOT EXISTS (SELECT 1 FROM nonce_fill f WHERE f.wallet_id = w.id AND f.nonce = n)
           AND NOT EXISTS (SELECT 1 FROM chain_tx c WHERE c.wallet_id = w.id AND c.nonce = n)
        UNION ALL
        SELECT w.address, 'transfer ' || CAST(t.id AS text) || ' has nonce ' || CAST(t.nonce AS text) FROM wallet w JOIN transfer t ON t.wallet_id = w.id
         WHERE t.nonce >= w.next_nonce AND t.state <> 'superseded'
        """,
        # Nonces are given one after the other: a new gap is a young one.
        "n >= w.next_nonce - 1000",
    ),
    Invariant(
        "I13",
        "a final transfer was mined as one of its own attempts, and moved what it was for to whom it was for",
        """
        SELECT CAST(t.id AS text) AS subject, coalesce(t.mined_hash, 'no hash') AS detail FROM transfer t
         WHERE t.state = 'final' AND {moved}
           AND ((SELECT count(*) FROM transfer_attempt a WHERE a.tx_hash = t.mined_hash AND a.transfer_id = t.id
                    AND (a.nonce, a.asset, a.recipient, a.units) = (t.nonce, t.asset, t.recipient, t.units)) <> 1
                OR (t.purpose = 'swap' AND (SELECT count(*) FROM swap s WHERE s.id = t.swap_id
                    AND (lower(s.payin_address), s.from_asset, s.from_units) = (lower(t.recipient), t.asset, t.units)) <> 1)
                OR (t.purpose = 'direct' AND (SELECT count(*) FROM split_payout_que q WHERE q.id = t.payout_id
                    AND (lower(q.address), q.asset, q.units) = (lower(t.recipient), t.asset, t.units)) <> 1))
        """,
        _moved("transfer", "t.id"),
    ),
    Invariant(
        "I14",
        "nothing left the wallet that no row explains",
        "SELECT tx_hash AS subject, CAST(units AS text) || ' ' || coalesce(asset, 'of nothing') AS detail FROM chain_tx WHERE explained_at IS NULL",
        # Such a row keeps the switches off by itself, until it is explained (`is_switched_off`).
        stops=False,
        letter=False,
    ),
)

WORK: tuple[Invariant, ...] = (
    Invariant(
        "I16",
        "dead work has a letter about this death, open or resolved since",
        """
        SELECT w.step || '/' || w.subject AS subject, w.state AS detail FROM work w
         WHERE w.state = 'dead' AND NOT EXISTS (SELECT 1 FROM failed_transactions f WHERE f.work_id = w.id
                   AND (f.resolved_at IS NULL OR greatest(f.created_at, f.resolved_at) >= w.done_at))
        """,
        stops=False,
    ),
    Invariant(
        "I17",
        "no open work waits long for its wake-up",
        """
        SELECT step || '/' || subject AS subject, 'due since ' || to_char(wake_at, 'YYYY-MM-DD HH24:MI') AS detail FROM work
         WHERE state = 'open' AND wake_at < pgp_now() - interval '15 minutes'
        """,
        # After a stop of the fleet all of it is late for a minute.
        stops=False,
    ),
    Invariant(
        "I18",
        "the history of states is legal, has no gap and ends in the row's state",
        """
        SELECT machine || ' ' || CAST(subject AS text) AS subject, found AS detail FROM (
            SELECT h.machine, h.subject,
                   CASE WHEN h.source IS DISTINCT FROM h.before THEN coalesce(h.before, 'nothing') || ', then ' || coalesce(h.source, 'nothing')
                        WHEN h.source IS NOT NULL AND NOT EXISTS (SELECT 1 FROM legal_move m WHERE m.machine = h.machine AND m.source = h.source AND m.target = h.target)
                        THEN h.source || ' to ' || h.target
                        WHEN h.is_last AND h.target IS DISTINCT FROM CASE h.machine
                             WHEN 'order' THEN (SELECT state FROM orders WHERE id = h.subject)
                             WHEN 'payment' THEN (SELECT state FROM processed_payments WHERE id = h.subject)
                             WHEN 'invite' THEN (SELECT state FROM invite WHERE id = h.subject)
                             WHEN 'accumulation' THEN (SELECT state FROM payout_accumulation WHERE id = h.subject)
                             WHEN 'conversion' THEN (SELECT state FROM batch_conversions WHERE id = h.subject)
                             WHEN 'payout' THEN (SELECT state FROM split_payout_que WHERE id = h.subject)
                             WHEN 'swap' THEN (SELECT state FROM swap WHERE id = h.subject)
                             WHEN 'transfer' THEN (SELECT state FROM transfer WHERE id = h.subject) END
                        THEN 'the history ends in ' || h.target END AS found
              FROM (SELECT machine, subject, source, target, lag(target) OVER life AS before, lead(id) OVER life IS NULL AS is_last
                      FROM ({moved}) told WINDOW life AS (PARTITION BY machine, subject ORDER BY id)) h) judged
         WHERE found IS NOT NULL
        """,
        # OFFSET keeps the planner from reading the whole history for the few lives that have moved.
        """
        SELECT x.id, x.machine, x.subject, x.source, x.target FROM (SELECT DISTINCT machine, subject FROM state_history WHERE id > :history) m
         CROSS JOIN LATERAL (SELECT id, machine, subject, source, target FROM state_history WHERE machine = m.machine AND subject = m.subject OFFSET 0) x
        """,
        tuple("SELECT id, machine, subject, source, target FROM state_history WHERE machine = '" + machine + "'" for machine in MACHINES),
    ),
)

INVARIANTS: tuple[Invariant, ...] = tuple(sorted((*LEDGER, *PAYMENTS, *PAYOUTS, *WALLET, *WORK), key=lambda invariant: invariant.code))


# Everything, a statement at a time, for a run that goes on where it stopped.
PIECES: tuple[tuple[Invariant, LiteralString], ...] = tuple((invariant, sql) for invariant in INVARIANTS for sql in invariant.full)


def breaches(tx: Transaction, *, since: Since | None = None) -> list[tuple[Invariant, Breach]]:
    """Every row that breaks an invariant; with `since`, among what has moved from there on."""
    if since is None:
        return [found for piece in range(len(PIECES)) for found in breaches_of(tx, piece)]
    # A plan that was made for no particular beginning would read the whole history each time.
    tx.run("SET LOCAL plan_cache_mode = force_custom_plan")
    values = {"history": since.history, "ledger": since.ledger}
    return [(invariant, breach) for invariant in INVARIANTS for breach in tx.all(Breach, invariant.recent, **values)]


def breaches_of(tx: Transaction, piece: int) -> list[tuple[Invariant, Breach]]:
    """Every row that breaks one of the `PIECES`."""
    tx.run("SET LOCAL statement_timeout = '" + FULL_TIMEOUT + "'")
    invariant, sql = PIECES[piece]
    return [(invariant, breach) for breach in tx.all(Breach, sql)]


def here(tx: Transaction) -> Since:
    """How far history and ledger have come."""
    found = tx.one(
        Since,
        "SELECT (SELECT coalesce(max(id), 0) FROM state_history) AS history, (SELECT coalesce(max(id), 0) FROM ledger_tx) AS ledger",
    )
    assert found is not None
    return found

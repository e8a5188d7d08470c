"""Owners who have earned something, the services that turn it into payouts, and a stand-in for what HOSTPAY does."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PGP_BATCH_v1.batchprocessor import steps as batch_steps
from PGP_BATCH_v1.microbatchprocessor import steps as microbatch_steps
from PGP_COMMON.clients.changenow import ChangeNow
from PGP_COMMON.database import BaseDatabaseManager, Transaction, make_engine
from PGP_COMMON.directory import service_named, service_of
from PGP_COMMON.money_machines import arrivals, invariants, ledger, payouts, swaps, wallet
from PGP_COMMON.money_machines.payouts import Payout
from PGP_COMMON.runtime import Runtime
from PGP_SPLIT_v1.split2_estimator import steps as split2_steps
from PGP_SPLIT_v1.split3_exchanger import steps as split3_steps
from tests.support.fake_exchange import FakeExchange, a_chain, an_address
from tests.support.settings import environ

OURS = "0x00000000000000000000000000000000000A11cE"
BITCOIN = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
ETHER = 10**18
DOLLAR = 10**6


class Town:
    """A database with owners, and the five services of conversions and payouts over it, without their doors and queues."""

    def __init__(self, url: str, *, pool: int = 16) -> None:
        """Start the services over an open wallet that holds ten ETH of the platform's own; so many threads can work at once."""
        self._environment = environ(url, HOST_WALLET_ETH_ADDRESS=OURS, HOST_WALLET_USDT_ADDRESS=OURS)
        self.db = BaseDatabaseManager(make_engine(url, application="tests", pool=pool))
        self.exchange = FakeExchange()
        self.chain = a_chain()
        self._client: ChangeNow | None = None
        self.known_breaches: tuple[str, ...] = ("I12", "I13")
        self._numbers = itertools.count(1)
        self.services: dict[str, Runtime] = {}
        with self.db.transaction() as tx:
            self.wallet_id = wallet.open(tx, address=OURS, chain_id=1, nonce=0, block=1, balances={"eth": 10 * ETHER})
        for name in ("microbatchprocessor", "batchprocessor", "split1", "split2", "split3"):
            self.services[f"pgp-{name}-v1"] = self.start(f"pgp-{name}-v1")

    def start(self, name: str) -> Runtime:
        """One more process of a service, on this town's connections; its vendors are the ones in memory, and nobody is woken."""
        runtime = Runtime(service_named(name), self._environment)
        runtime.db.engine.dispose()
        runtime.db.engine = self.db.engine
        runtime.db._publish = None
        runtime.engine.publish = lambda _wakes: None
        runtime.engine.clients = self._clients(name)
        return runtime

    def meet(self, exchange: ChangeNow) -> None:
        """Let every service ask another exchange."""
        self._client = exchange
        for name, runtime in self.services.items():
            runtime.engine.clients = self._clients(name)

    def _clients(self, name: str) -> Any:
        exchange, prices = self._client or self.exchange.client, self.exchange.prices
        return {
            "pgp-microbatchprocessor-v1": microbatch_steps.Clients(exchange, prices, self.chain),
            "pgp-batchprocessor-v1": batch_steps.Clients(prices),
            "pgp-split2-v1": split2_steps.Clients(exchange, prices),
            "pgp-split3-v1": split3_steps.Clients(exchange),
        }.get(name)

    def close(self) -> None:
        """End every connection."""
        self.db.engine.dispose()

    # --- what is there

    def value(self, sql: str, **values: Any) -> Any:
        """One value of the database."""
        with self.db.reading() as tx:
            return tx.value(sql, **values)  # type: ignore[arg-type]

    def rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """Rows of the database."""
        with self.db.reading() as tx:
            return [tuple(row) for row in tx._execute(sql, values).rows or ()]

    def count(self, table: str, condition: str = "true") -> int:
        """How many rows of a table meet a condition."""
        return int(self.value(f"SELECT count(*) FROM {table} WHERE {condition}"))

    def balance(self, owner_id: int, purse: Any, asset: str) -> int:
        """What stands on one of an owner's accounts."""
        with self.db.reading() as tx:
            return ledger.balance(tx, ledger.owed(owner_id, purse, asset))

    def check_books(self) -> None:
        """The invariants that hold after every step: the ledger balances, and says what the rows say."""
        assert self.rows("SELECT asset, sum(balance) FROM ledger_account GROUP BY asset HAVING sum(balance) <> 0") == []
        assert not self.rows(
            """
            SELECT a.id FROM ledger_account a LEFT JOIN ledger_posting p ON p.account_id = a.id GROUP BY a.id, a.balance
            HAVING a.balance <> coalesce(sum(p.units), 0)
            """
        )
        by_rows = self.rows(
            """
            SELECT owner_id, CASE state WHEN 'converted' THEN 'available' WHEN 'attached' THEN 'reserved' ELSE state END AS purse,
                   CASE WHEN state IN ('pending', 'converting') THEN asset ELSE converted_asset END AS asset,
                   sum(CASE WHEN state IN ('pending', 'converting') THEN units ELSE converted_units END) AS units
              FROM payout_accumulation WHERE state IN ('pending', 'converting', 'converted', 'attached')
             GROUP BY 1, 2, 3 HAVING sum(CASE WHEN state IN ('pending', 'converting') THEN units ELSE converted_units END) > 0 ORDER BY 1, 2, 3
            """
        )
        assert by_rows == self.rows(
            """
            SELECT owner_id, split_part(code, ':', 3), asset, -balance FROM ledger_account WHERE owner_id IS NOT NULL AND balance <> 0 ORDER BY 1, 2, 3
            """
        )

    def check_invariants(self) -> None:
        """The product's own invariants, but for those about nonces and attempts: HOSTPAY's stand-in has none."""
        with self.db.reading() as tx:
            found = [f"{invariant.code} {breach.subject}: {breach.detail}" for invariant, breach in invariants.breaches(tx)]
        wrong = [line for line in found if not line.startswith(self.known_breaches)]
        assert wrong == [], wrong

    # --- owners and what they earn

    def owner(self, *, asset: str = "btc", address: str | None = BITCOIN, strategy: str = "threshold", threshold: int = 50, cap: str | None = None) -> int:
        """An owner with a channel; `address` None leaves him without payout details."""
        with self.db.transaction() as tx:
            number = next(self._numbers)
            account = tx.value("INSERT INTO account (email, password_hash) VALUES (:email, 'x') RETURNING id", email=f"{secrets.token_hex(6)}@example.com")
            owner = tx.value(
                """
                INSERT INTO client_table (account_id, payout_strategy, payout_threshold_usd, fee_cap_percent, notify_chat_id)
                VALUES (:account, :strategy, :threshold, CAST(:cap AS numeric), 4711) RETURNING id
                """,
                account=account,
                strategy=strategy,
                threshold=threshold,
                cap=cap,
            )
            tx.run(
                """
                INSERT INTO channel (owner_id, open_channel_id, closed_channel_id, open_title, closed_title)
                VALUES (:owner, :open, :closed, 'open', 'closed')
                """,
                owner=owner,
                open=-1_000_000 - 2 * number,
                closed=-1_000_001 - 2 * number,
            )
            if address is not None:
                self.details(tx, int(owner), asset=asset, address=address)
        return int(owner)

    def details(self, tx: Transaction, owner_id: int, *, asset: str, address: str) -> None:
        """Where an owner is paid from now on."""
        tx.run("INSERT INTO payout_details (owner_id, asset, address) VALUES (:owner, :asset, :address)", owner=owner_id, asset=asset, address=address)

    def earn(self, owner_id: int, units: int, *, asset: str = "eth", arrived: bool = True, fee: int = 0) -> int:
        """A credited payment with its accumulation, booked as the payment's own services book it; gives back the accumulation."""
        with self.db.transaction() as tx:
            payment = self._payment(tx, owner_id, units, asset, fee)
            made = tx.value(
                """
                INSERT INTO payout_accumulation (payment_id, owner_id, channel_id, asset, units)
                SELECT :payment, owner_id, id, :asset, :units FROM channel WHERE owner_id = :owner RETURNING id
                """,
                payment=payment,
                owner=owner_id,
                asset=asset,
                units=units,
            )
            lines = [
                ledger.debit(ledger.np_transit(asset), units + fee),
                ledger.credit(ledger.owed(owner_id, "pending", asset), units),
                ledger.credit(ledger.fee_income(asset), fee),
            ]
            ledger.post(tx, "payment.credit", payment, lines)
        if arrived:
            self.arrive(int(payment))
        return int(made)

    def _payment(self, tx: Transaction, owner_id: int, units: int, asset: str, fee: int) -> int:
        order = tx.value(
            """
            INSERT INTO orders (unique_id, view_token, kind, owner_id, channel_id, buyer_id, price_usd, fee_percent, tolerance_bps, correlation, expires_at)
            SELECT :unique, :token, 'donation', owner_id, id, 12345, 10, 3, 100, 'c', pgp_now() + interval '1 day' FROM channel WHERE owner_id = :owner
            RETURNING id
            """,
            unique=secrets.token_hex(13).upper(),
            token=secrets.token_hex(16),
            owner=owner_id,
        )
        payment = tx.value(
            """
            INSERT INTO processed_payments (provider_id, order_id, status, status_rank, outcome_asset, outcome_units, owner_units, fee_units, correlation)
            VALUES (:provider, :order, 'finished', 7, :asset, :total, :units, :fee, 'c') RETURNING id
            """,
            provider=str(secrets.randbelow(10**15) + 1),
            order=order,
            asset=asset,
            total=units + fee,
            units=units,
            fee=fee,
        )
        tx.run("UPDATE processed_payments SET state = 'credited', credited_at = pgp_now() WHERE id = :id", id=payment)
        return int(payment)

    def arrive(self, payment_id: int) -> None:
        """The money of a payment is seen on chain."""
        tx_hash = "0x" + secrets.token_hex(32)
        with self.db.transaction() as tx:
            tx.run("UPDATE processed_payments SET payout_hash = :hash WHERE id = :id", hash=tx_hash, id=payment_id)
            found = tx._execute("SELECT outcome_asset, outcome_units FROM processed_payments WHERE id = :id", {"id": payment_id}).rows[0]
            self._arrival(tx, tx_hash, str(found[0]), int(found[1]))

    def _arrival(self, tx: Transaction, tx_hash: str, asset: str, units: int) -> None:
        arrivals.book(tx, wallet_id=self.wallet_id, asset=asset, units=units, tx_hash=tx_hash, log="native", block=2, sender=an_address())
        for arrival in arrivals.of_transaction(tx, tx_hash):
            assert arrivals.match(tx, arrival)

    def available(self, owner_id: int, *amounts: int) -> None:
        """Converted money of an owner: what came in USDT is his at once."""
        for units in amounts:
            self.earn(owner_id, units, asset="usdterc20")
        self.fire("conversion.plan")
        self.drain()

    # --- running

    def fire(self, step: str, subject: str | None = None) -> str:
        """Ask for a step as a schedule or another service would; gives back its subject."""
        subject = subject or f"2026-01-01T00:00:{next(self._numbers):06d}Z"
        with self.db.reading() as tx:
            tx.run(
                """
                INSERT INTO work (step, subject, wake_at, signature, correlation, sender) VALUES (:step, :subject, pgp_now(), 's', 'c', 'tests')
                ON CONFLICT (step, subject) DO NOTHING
                """,
                step=step,
                subject=subject,
            )
        return subject

    def run(self, step: str, subject: object) -> str:
        """Run one unit of work."""
        return self.services[service_of(step)[0].name].engine.run(step, str(subject))

    def drain(self, *, but: tuple[str, ...] = ()) -> list[str]:
        """Run all work that is due and that these services do, until none is left; gives back what was run."""
        done: list[str] = []
        for _ in range(300):
            due = self.rows(
                """
                SELECT step, subject FROM work
                 WHERE state = 'open' AND not_before <= pgp_now() AND (lease_until IS NULL OR lease_until <= pgp_now()) ORDER BY id
                """
            )
            due = [(step, subject) for step, subject in due if service_of(step)[0].name in self.services and step not in but]
            if not due:
                return done
            for step, subject in due:
                done.append(f"{step} {self.run(step, subject)}")
                self.check_books()
        raise AssertionError(f"it never ends: {done[-20:]}")

    def settle_down(self, seconds: int = 3600, *, but: tuple[str, ...] = ()) -> list[str]:
        """Run what is due now and within so many seconds, without moving the clock of anything else."""
        done = self.drain(but=but)
        for _ in range(60):
            with self.db.reading() as tx:
                tx.run("UPDATE work SET not_before = pgp_now() WHERE state = 'open' AND not_before <= pgp_now() + make_interval(secs => :s)", s=seconds)
            more = self.drain(but=but)
            if not more:
                break
            done += more
        return done

    def do_everything_again(self) -> None:
        """Deliver every finished unit of work once more from its beginning, as if its last commit had been forgotten by the queue."""
        for step, subject in self.rows("SELECT step, subject FROM work WHERE state <> 'open' ORDER BY id"):
            if service_of(step)[0].name not in self.services:
                continue
            with self.db.reading() as tx:
                tx.run(
                    "UPDATE work SET state = 'open', point = 'start', attempts = 0, not_before = pgp_now() WHERE step = :step AND subject = :subject",
                    step=step,
                    subject=subject,
                )
            self.run(step, subject)
            self.check_books()

    def picture(self) -> list[list[tuple[Any, ...]]]:
        """Everything that money depends on, to compare before and after."""
        return [
            self.rows("SELECT id, state, conversion_id, converted_units, payout_id FROM payout_accumulation ORDER BY id"),
            self.rows("SELECT id, state, from_units, received_units FROM batch_conversions ORDER BY id"),
            self.rows("SELECT id, state, units, quotes_failed FROM split_payout_que ORDER BY id"),
            self.rows("SELECT id, state, provider_id, payin_address FROM swap ORDER BY id"),
            self.rows("SELECT id, to_units, refused_reason FROM quote ORDER BY id"),
            self.rows("SELECT kind, reference FROM ledger_tx ORDER BY id"),
            self.rows("SELECT step, subject FROM work ORDER BY id"),
            self.rows("SELECT provider_id FROM swap_orphan ORDER BY provider_id"),
            self.rows("SELECT kind, subject FROM notification ORDER BY id"),
        ]

    # --- what HOSTPAY does

    def send_coins(self, swap_id: int) -> None:
        """The swap's transfer is signed, mined and final."""
        with self.db.transaction() as tx:
            swap = swaps.lock(tx, swap_id)
            if swap.payout_id is not None:
                assert payouts.fund(tx, swap.payout_id, source=Payout.SWAP_READY)
            assert swaps.fund(tx, swap_id)
            transfer = tx.value(
                """
                INSERT INTO transfer (wallet_id, purpose, swap_id, asset, recipient, units) SELECT :wallet, 'swap', id, from_asset, payin_address, from_units
                  FROM swap WHERE id = :id RETURNING id
                """,
                wallet=self.wallet_id,
                id=swap_id,
            )
            tx.run(
                "UPDATE transfer SET state = 'signed', nonce = :nonce, calldata_hash = 'x', max_total_fee_wei = 1 WHERE id = :id",
                nonce=next(self._numbers),
                id=transfer,
            )
            for state in ("broadcast", "mined", "final"):
                tx.run("UPDATE transfer SET state = :state WHERE id = :id", state=state, id=transfer)
            lines = [ledger.debit(ledger.in_flight(swap.from_asset), swap.from_units), ledger.credit(ledger.wallet(swap.from_asset), swap.from_units)]
            ledger.post(tx, "transfer.sign", transfer, lines)
            assert swaps.mark_funded(tx, swap_id)
            if swap.payout_id is not None:
                assert payouts.mark_funded(tx, swap.payout_id)

    def finish_swap(self, swap_id: int, received: int) -> str:
        """The exchange has paid out; gives back its transaction, which is not seen yet."""
        tx_hash = "0x" + secrets.token_hex(32)
        with self.db.transaction() as tx:
            assert swaps.finish(tx, swap_id, received_units=received, payout_hash=tx_hash)
        return tx_hash

    def refund_swap(self, swap_id: int, units: int) -> str:
        """The exchange has sent our coins back; gives back its transaction, which is not seen yet."""
        tx_hash = "0x" + secrets.token_hex(32)
        with self.db.transaction() as tx:
            assert swaps.refund(tx, swap_id, refund_units=units, refund_hash=tx_hash)
        return tx_hash

    def see(self, tx_hash: str, asset: str, units: int) -> None:
        """Our wallet sees money come."""
        with self.db.transaction() as tx:
            self._arrival(tx, tx_hash, asset, units)


@contextmanager
def a_town(url: str, **more: Any) -> Iterator[Town]:
    """A town over a fresh database."""
    town = Town(url, **more)
    try:
        yield town
        town.check_invariants()
    finally:
        town.close()

"""The one lock order: every step of money and access is run, and PostgreSQL says which rows each transaction held when it took the next."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from PGP_COMMON.directory import service_of, steps
from PGP_COMMON.engine import Job
from PGP_COMMON.money_machines import access, arrivals, crediting, dead_letters, orders, payments, swaps, wallet
from PGP_SERVER_v1.steps import reconcile_members
from tests.support.country import Country, a_country
from tests.support.crowd import at_once
from tests.support.earnings import DOLLAR
from tests.support.fake_exchange import an_address
from tests.support.hostpay import TestChain, a_chain
from tests.support.row_locks import Lock, Taken, cycle, watching

MONEY = Path(__file__).parents[2] / "docs" / "money.md"
TABLES = {
    "owner": "client_table",
    "order": "orders",
    "membership": "membership",
    "payment": "processed_payments",
    "arrival": "arrival",
    "accumulation": "payout_accumulation",
    "conversion": "batch_conversions",
    "payout": "split_payout_que",
    "swap": "swap",
    "transfer": "transfer",
    "wallet": "wallet",
    "ledger accounts by id": "ledger_account",
    "work": "work",
}
# Who notes many members goes from one membership's invites to the next membership: whoever waits for those invites holds no membership of others.
NEVER_MEET = {("invite", "membership")}
DAY_S = 86400


@pytest.fixture
def chain() -> Iterator[TestChain]:
    with a_chain() as made:
        yield made


@pytest.fixture
def country(database_url: str, chain: TestChain) -> Iterator[Country]:
    with a_country(database_url, chain) as made:
        yield made


def documented() -> list[str]:
    """The order of the tables as docs/money.md says it."""
    (line,) = re.findall(r"one order everywhere: (.+?)\.$", MONEY.read_text(encoding="utf-8"), re.MULTILINE)
    return [TABLES[word] for word in line.split(" → ")]


def out_of_order(transactions: list[Taken], order: list[str]) -> set[tuple[str, str]]:
    """Where a transaction took a row to change it after one that comes later in the order; what only a foreign key holds is not meant."""
    return {
        (held.table, wanted.table)
        for taken in transactions
        for held, wanted in taken.edges()
        if "key share" not in {held.strength, wanted.strength}
        and {held.table, wanted.table} <= set(order)
        and order.index(wanted.table) < order.index(held.table)
    }


# --- everything that can happen to money, once


def sell_in_all_ways(country: Country, owners: list[int]) -> None:
    """Bought, bought again, paid in two parts, failed, refunded, and found in order by a person."""
    for owner in owners:
        country.buy(owner, 77)
    country.buy(owners[0], 77)
    half = country.payment(country.order(owners[0], 78), part=Decimal("0.5"))
    country.tell(half, "waiting", "confirming", "partially_paid")
    failed = country.payment(country.order(owners[0], 79)) | {"payment_status": "failed", "outcome_amount": 0}
    country.tell(failed, "waiting", "failed")
    odd = country.payment(country.order(owners[0], 80)) | {"outcome_currency": "doge"}
    country.tell(odd)
    unclear = country.payment(country.order(owners[0], 82)) | {"price_amount": Decimal(59)}
    country.tell(unclear)
    taken_back = country.payment(country.order(owners[0], 81))
    country.tell(taken_back)
    country.work()
    country.tell(taken_back | {"payment_status": "refunded"})
    country.pay_out(half)
    country.work()
    with country.services["pgp-orchestrator-v1"].db.transaction() as tx:
        crediting.resolve(tx, str(unclear["payment_id"]), paid_usd=Decimal(60))


def let_people_in_and_out(country: Country) -> None:
    """Requests to join, a used link, reminders, the end, and the looks at members."""
    chat = country.value("SELECT closed_channel_id FROM channel ORDER BY id LIMIT 1")
    country.fire("join.decide", f"{chat}:77:1")
    country.fire("link.used", f"{country.value('SELECT min(id) FROM invite WHERE link IS NOT NULL')}:77:2")
    country.work()
    country.pass_time(29 * DAY_S)
    country.ring("members.remind", "members.reconcile")
    country.work()
    country.pass_time(90 * DAY_S)
    country.ring("members.expire")
    country.work()
    country.ring("members.reconcile")
    country.work()


def let_swaps_end_in_all_ways(country: Country) -> None:
    """An exchange that keeps our coins, one whose rate lapses before they leave, and a deposit that nobody announced."""
    held = country.swap_for(country.reserved(units=60 * DOLLAR))
    country.until(lambda: country.swap(held).state == "funded", but=("swap.follow",))
    country.market.exchanges[str(country.swap(held).provider_id)]["told"] = {"status": "failed"}
    lapsing = country.swap_for(country.reserved(units=60 * DOLLAR))
    country.until(lambda: country.swap(lapsing).state == "funding", blocks=0, but=("transfer.sign",))
    country.pass_time(1300)
    country.until(lambda: country.swap(lapsing).state == "abandoned")
    sent = country.test_chain.send(country.address, 5)
    with country.db.transaction() as tx:
        arrivals.expect(tx, sent, reason="a deposit")
    country.fire("arrival.look", sent)
    country.until(lambda: country.swap(held).state == "hold")
    country.work()
    with country.db.transaction() as tx:
        payout = country.swap(held).payout_id
        assert payout is not None
        swaps.lock(tx, held)
        assert swaps.lose(tx, held, reason="gone")


def let_an_operator_act(country: Country) -> None:
    """A transfer of the platform's own, one that fails on chain, a dead step that is retried, a freeze and its end, and every reconciliation."""
    country.ask(units=DOLLAR)
    victim = country.ask(units=5, asset="eth")
    country.until(lambda: country.transfer(victim).state == "signed", blocks=0)
    country.test_chain.node.call("anvil_setCode", country.transfer(victim).recipient, "0xfe")
    country.until(lambda: country.transfer(victim).state == "failed_onchain")
    country.fire("swap.ended", "1:review")
    with country.db.transaction() as tx:
        tx.run("UPDATE work SET state = 'dead' WHERE step = 'work.sweep' AND state = 'open'")
    country.ring("payments.reconcile", "payments.list", "wallet.reconcile", "books.check", "books.audit", "work.sweep")
    country.work()
    with country.services["pgp-hostpay1-v1"].db.transaction() as tx:
        for found in dead_letters.letters(tx):
            locked = dead_letters.letter(tx, found.id)
            assert locked is not None
            dead_letters.reopen(tx, locked, signature="s", grace_s=60)
            dead_letters.resolve(tx, locked, kind="retried", note="test", actor="a person")
            break
    with country.db.transaction() as tx:
        dead_letters.switch_off(tx, "sign", reason="test", actor="a person")
    with country.db.transaction() as tx:
        dead_letters.switch_on(tx, "sign", reason="test", actor="a person")
    with country.db.transaction() as tx:
        held = wallet.lock(tx, country.wallet_id)
        assert held is not None
        wallet.freeze(tx, held.id, reason="test")
        wallet.unfreeze(tx, held.id)
    country.work()


def live(country: Country) -> None:
    """A year in the country, without haste and alone."""
    ann = country.shop(strategy="instant")
    ben = country.shop(asset="usdterc20", address=an_address(), strategy="instant")
    cat = country.shop(asset="eth", address=an_address(), strategy="instant")
    dan = country.shop(strategy="instant", cap="0")
    country.market.sends_back.add(country.value("SELECT address FROM payout_details WHERE owner_id = :cat", cat=cat))
    sell_in_all_ways(country, [ann, ben, cat, dan])
    country.come_to_rest(lambda: country.count("split_payout_que", "state IN ('settled', 'released')") >= 4)
    let_swaps_end_in_all_ways(country)
    let_people_in_and_out(country)
    let_an_operator_act(country)


def test_no_transaction_takes_locks_against_the_order_and_no_two_can_wait_for_each_other(country: Country, monkeypatch: pytest.MonkeyPatch) -> None:
    with watching(country.db, monkeypatch) as watch:
        live(country)
    mine = {name for name in steps() if service_of(name)[0].name in country.services} - {"mail.send"}
    assert mine - country.ran == set()
    assert {"membership", "arrival", "batch_conversions", "swap", "wallet"} <= {
        lock.table for taken in watch.transactions for _, locks in taken.steps for lock in locks
    }
    assert out_of_order(watch.transactions, documented()) == set()
    assert "; ".join(cycle(watch.transactions, but=NEVER_MEET)) == ""
    country.known_breaches = ()
    country.check_invariants()


def test_the_watch_sees_a_lock_that_is_taken_against_the_order(country: Country, monkeypatch: pytest.MonkeyPatch) -> None:
    payout, other = country.reserved(), country.reserved()
    swap_id = country.swap_for(payout)
    with watching(country.db, monkeypatch) as watch:
        with country.db.transaction() as tx:
            tx.value("SELECT 1 FROM split_payout_que WHERE id = :id FOR NO KEY UPDATE", id=payout)
            swaps.lock(tx, swap_id)
        assert (out_of_order(watch.transactions, documented()), cycle(watch.transactions)) == (set(), [])
        with country.db.transaction() as tx:
            swaps.lock(tx, swap_id)
            tx.value("SELECT 1 FROM split_payout_que WHERE id = :id FOR NO KEY UPDATE", id=other)
    assert out_of_order(watch.transactions, documented()) == {("swap", "split_payout_que")}
    assert len(cycle(watch.transactions)) == 3


def test_locks_conflict_as_postgresql_says() -> None:
    share, plain, strong = (Lock("t", strength) for strength in ("key share", "no key update", "update"))
    assert not share.waits_for(plain)
    assert not share.waits_for(share)
    assert share.waits_for(strong)
    assert plain.waits_for(plain)
    assert not plain.waits_for(Lock("u", "update"))


# --- what the watch has found


def test_an_invoice_whose_answer_comes_while_a_payment_for_it_is_settled_locks_nobody_out(country: Country) -> None:
    """The payment's row names the invoice, and the answer changes what it is named by: both take the order first."""
    owner = country.shop()
    for _ in range(5):
        invoice_id = country.wish(owner, 77)
        order_id, unique = country.rows("SELECT o.id, o.unique_id FROM orders o JOIN invoice i ON i.order_id = o.id WHERE i.id = :id", id=invoice_id)[0]
        sight = payments.Sight(str(10**9 + invoice_id), None, "waiting", 1, "eth", Decimal(1), Decimal(1))

        def attach(invoice_id: int = invoice_id) -> None:
            with country.db.transaction() as tx:
                assert orders.attach_invoice(tx, invoice_id, provider_id=str(invoice_id), url="https://pay.test")

        def settle(unique: str = unique, invoice_id: int = invoice_id, order_id: int = order_id, sight: payments.Sight = sight) -> None:
            with country.db.transaction() as tx:
                assert orders.lock(tx, unique, provider_invoice_id=None, price_usd=Decimal(60))
                tx.value("SELECT pg_sleep(0.05)")
                payments.observe(tx, order_id, sight, invoice_id=invoice_id)

        at_once(attach, settle)


def test_two_looks_at_the_same_members_lock_nobody_out(country: Country) -> None:
    """Each turn looks at members in another order; what was found is written down in one."""
    owner = country.shop()
    for buyer in range(1, 31):
        with country.services["pgp-orchestrator-v1"].db.transaction() as tx:
            order_id = country.order(owner, buyer)
            channel = tx.value("SELECT channel_id FROM orders WHERE id = :id", id=order_id)
            access.plan_entitlement(tx, channel_id=channel, buyer_id=buyer, order_id=order_id, days=30, mode="join_request")
    engine = country.services["pgp-server-v1"].engine
    jobs = [Job("members.reconcile", f"turn {n}", "start", 1, 1, engine.db, engine.config, engine.clients) for n in range(4)]
    found = [reconcile_members(job) for job in jobs]

    def write(number: int) -> None:
        with engine.db.transaction() as tx:
            found[number](tx)

    at_once(*(partial(write, number) for number in range(4)))
    assert country.count("membership", "present") == 30

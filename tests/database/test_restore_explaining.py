"""A person says what a stray was for: the row that the lost history had is made again, to the unit, and nobody is paid for the same twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from PGP_BATCH_v1.batchprocessor.steps import Terms, reserve
from PGP_COMMON.errors import BadInput, Conflict, NotFound
from PGP_COMMON.money_machines import accumulations, coins, conversions, dead_letters, explaining, ledger, payouts, swaps
from PGP_COMMON.money_machines.audit import Act
from tests.support import restoring
from tests.support.earnings import BITCOIN, DOLLAR, ETHER
from tests.support.fake_exchange import an_address
from tests.support.hostpay import FINAL_BLOCKS, Harbour, TestChain, a_chain, a_harbour
from tests.support.restoring import agree, read_chain, verb

Lost = Callable[..., Harbour]


@pytest.fixture(scope="module")
def chain() -> Iterator[TestChain]:
    with a_chain() as made:
        yield made


@pytest.fixture
def harbour(database_url: str, chain: TestChain) -> Iterator[Harbour]:
    with a_harbour(database_url, chain) as made, restoring.listening(made.exchange) as address:
        made._environment["CHANGENOW_URL"] = address
        yield made


@pytest.fixture
def dumped(harbour: Harbour, tmp_path: Path) -> Iterator[Callable[[], Lost]]:
    """Dump now; what is given back restores that dump, has the chain read and the wallet adopted, and gives the harbour over it."""
    opened: list[Any] = []

    def dump() -> Lost:
        file = restoring.dump(harbour._environment["DATABASE_URL"], tmp_path / "dump.sql")

        def restore(before: Callable[[Harbour], None] = lambda _later: None) -> Harbour:
            opened.append(restoring.restored(harbour, file))
            later: Harbour = opened[-1].__enter__()
            before(later)
            read_chain(later)
            verb(later, "adopt", "--reason", "a drill", "--patience-s", "0", "--fills", "0")
            return later

        return restore

    yield dump
    for one in opened:
        one.__exit__(None, None, None)


def converted(harbour: Harbour, owner: int, units: int) -> None:
    """Money of an owner that a payout may take."""
    earned = harbour.earn(owner, units, asset="usdterc20", arrived=False)
    with harbour.db.transaction() as tx:
        for state in ("converting", "converted"):
            tx.run("UPDATE payout_accumulation SET state = :state, converted_asset = asset, converted_units = units WHERE id = :id", state=state, id=earned)
        lines = [ledger.debit(ledger.owed(owner, "pending", "usdterc20"), units), ledger.credit(ledger.owed(owner, "available", "usdterc20"), units)]
        ledger.post(tx, "accumulation.keep", earned, lines)


def payout_of(harbour: Harbour, owner: int) -> int:
    """A payout of all that an owner has, as BATCH plans it."""
    terms_of = coins.coin
    batch = harbour.start("pgp-batchprocessor-v1")
    with harbour.db.reading() as tx:
        terms = Terms(terms_of(tx, "usdterc20"), Decimal(1), Decimal(20), Decimal(2), 10**12)
    assert batch.db.rerun(lambda tx: reserve(tx, owner, terms)) == "planned"
    return int(harbour.value("SELECT max(id) FROM split_payout_que"))


def conversion_of(harbour: Harbour, wei: int) -> int:
    """A conversion of all that is pending, as MICROBATCH plans it."""
    with harbour.db.transaction() as tx:
        rows = accumulations.collect_pending(tx, "eth", limit=10)
        made = conversions.plan(tx, from_asset="eth", from_units=wei, to_asset="usdterc20", correlation="c")
        accumulations.begin_conversion(tx, rows, conversion_id=made)
        lines = []
        for owner, units in accumulations.per_owner(rows).items():
            lines += [ledger.debit(ledger.owed(owner, "pending", "eth"), units), ledger.credit(ledger.owed(owner, "converting", "eth"), units)]
        ledger.post(tx, "conv.start", made, lines)
    return made


def pending(harbour: Harbour, wei: int) -> int:
    """ETH of a new owner that has arrived and waits to be converted; gives back the owner."""
    owner = harbour.owner()
    harbour.earn(owner, wei, arrived=False)
    tx_hash = harbour.test_chain.send(harbour.address, wei)
    with harbour.db.transaction() as tx:
        tx.run("UPDATE processed_payments SET payout_hash = :hash WHERE id = (SELECT max(id) FROM processed_payments)", hash=tx_hash)
    harbour.test_chain.mine(FINAL_BLOCKS)
    read_chain(harbour)
    return owner


def send(harbour: Harbour, transfers: int = 1) -> None:
    """The lost history sends everything that waits."""
    harbour.until(lambda: harbour.count("transfer", "state = 'final'") == transfers, but=("wallet.reconcile", "swap.follow", "payout.start"))


def stray(harbour: Harbour) -> str:
    """The one transaction that nobody has explained."""
    return str(harbour.value("SELECT tx_hash FROM chain_tx WHERE explained_at IS NULL"))


def explain(harbour: Harbour, *words: str, tx_hash: str = "") -> str:
    return verb(harbour, "explain", tx_hash or stray(harbour), "--reason", "I know", *words)


def finish(harbour: Harbour, *, settled: int = 0) -> None:
    """Sign again and come to the end; so many payouts are settled."""
    verb(harbour, "unfreeze", "--reason", "explained")
    harbour.exchange_says(status="finished", amountTo="0.0009", payoutHash="ab" * 32)
    harbour.until(lambda: harbour.count("transfer", "state NOT IN ('final', 'cancelled')") == 0, but=("payout.requote", "payout.start"))
    harbour.until(lambda: harbour.count("split_payout_que", "state = 'settled'") == settled, but=("payout.requote", "payout.start"))
    agree(harbour)
    assert [letter for letter in harbour.letters() if letter[0].startswith("wallet")] == []


# --- a payout


@pytest.mark.parametrize("state", ["reserved", "quoted", "swap_ready", "funding"])
def test_what_was_prepared_meanwhile_is_given_up_for_the_order_that_was_paid(harbour, chain, dumped, state):
    payout = harbour.reserved(units=50 * DOLLAR)
    restore = dumped()
    swap = harbour.swap(harbour.swap_for(payout))
    send(harbour)
    later = restore()
    if state != "reserved":
        other = later.swap_for(payout)
        with later.db.transaction() as tx:
            if state == "quoted":
                tx.run("SET LOCAL session_replication_role = replica")
                tx.run("UPDATE split_payout_que SET state = 'quoted'")
                tx.run("UPDATE swap SET state = 'planned'")
                tx.run("DELETE FROM state_history WHERE (machine, target) IN (('payout', 'swap_ready'), ('swap', 'created'))")
            if state == "funding":
                assert payouts.fund(tx, payout, source=payouts.Payout.SWAP_READY)
                assert swaps.fund(tx, other)
                from PGP_COMMON.money_machines import transfers

                row = swaps.get(tx, other)
                transfers.request(
                    tx, wallet_id=later.wallet_id, purpose="swap", swap_id=other, asset=row.from_asset, recipient=str(row.payin_address), units=row.from_units
                )
    explain(later, "--payout", str(payout), "--order", str(swap.provider_id))
    assert later.payout(payout).state == "funding"
    states = dict(later.rows("SELECT provider_id, state FROM swap"))
    assert states.pop(str(swap.provider_id)) == "funding"
    assert set(states.values()) <= {"abandoned"}
    finish(later, settled=1)
    assert chain.received(str(swap.payin_address), token=True) == 50 * DOLLAR
    assert later.count("transfer", "state = 'final'") == 1


def test_a_payout_whose_row_is_gone_is_made_again_from_the_owners_oldest_money(harbour, chain, dumped):
    owner = harbour.owner()
    converted(harbour, owner, 30 * DOLLAR)
    converted(harbour, owner, 25 * DOLLAR)
    restore = dumped()
    payout = payout_of(harbour, owner)
    swap = harbour.swap(harbour.swap_for(payout))
    send(harbour)
    later = restore()
    # He has earned more since.
    converted(later, owner, 70 * DOLLAR)
    explain(later, "--owner", str(owner), "--order", str(swap.provider_id))
    assert later.rows("SELECT owner_id, units, address, state FROM split_payout_que") == [(owner, 55 * DOLLAR, BITCOIN, "funding")]
    assert later.balance(owner, "available", "usdterc20") == 70 * DOLLAR
    finish(later, settled=1)
    assert later.balance(owner, "reserved", "usdterc20") == 0
    assert chain.received(str(swap.payin_address), token=True) == 55 * DOLLAR


def test_a_direct_payout_whose_row_is_gone_is_known_by_its_address(harbour, chain, dumped):
    address = an_address()
    owner = harbour.owner(asset="usdterc20", address=address)
    converted(harbour, owner, 60 * DOLLAR)
    restore = dumped()
    harbour.direct(payout_of(harbour, owner))
    send(harbour)
    later = restore()
    explain(later, "--owner", str(owner))
    finish(later, settled=1)
    assert chain.received(address, token=True) == 60 * DOLLAR


def test_an_owner_whose_money_does_not_come_to_so_much_is_not_the_answer_yet(harbour, dumped):
    owner, other = harbour.owner(), harbour.owner()
    converted(harbour, owner, 30 * DOLLAR)
    restore = dumped()
    converted(harbour, owner, 25 * DOLLAR)
    swap = harbour.swap(harbour.swap_for(payout_of(harbour, owner)))
    send(harbour)
    later = restore()
    order = ("--order", str(swap.provider_id))
    with pytest.raises(Conflict, match="do not come to exactly 55000000"):
        explain(later, "--owner", str(owner), *order)
    with pytest.raises(Conflict, match="never paid at"):
        explain(later, "--owner", str(other), "--order", order_elsewhere(later, swap))
    assert (later.count("split_payout_que"), later.count("transfer")) == (0, 0)
    # What was missing is found: a payment that the vendor's list brings.
    converted(later, owner, 25 * DOLLAR)
    explain(later, "--owner", str(owner), *order)
    finish(later, settled=1)


def order_elsewhere(harbour: Harbour, swap: swaps.SwapRow) -> str:
    """An order like another, that pays a place where nobody of ours was ever paid."""
    like = harbour.exchange.exchanges[str(swap.provider_id)]
    harbour.exchange.exchanges["elsewhere"] = {**like, "id": "elsewhere", "payoutAddress": "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"}
    return "elsewhere"


class Crash(BaseException):
    """The process dies here."""


def die(*_words: object) -> None:
    raise Crash


def test_a_crash_after_the_row_was_made_again_is_gone_on_with(harbour, dumped, monkeypatch):
    owner = harbour.owner()
    converted(harbour, owner, 55 * DOLLAR)
    restore = dumped()
    swap = harbour.swap(harbour.swap_for(payout_of(harbour, owner)))
    send(harbour)
    later = restore()
    order = ("--order", str(swap.provider_id))
    real = explaining.payout_by_order
    monkeypatch.setattr(explaining, "payout_by_order", die)
    with pytest.raises(Crash):
        explain(later, "--owner", str(owner), *order)
    monkeypatch.setattr(explaining, "payout_by_order", real)
    assert later.count("split_payout_que", "state = 'reserved'") == 1
    explain(later, "--owner", str(owner), *order)
    assert later.count("split_payout_que") == 1
    finish(later, settled=1)


def test_an_order_that_was_given_up_meanwhile_is_handed_on_to_the_row_that_tells_the_truth(harbour, chain, dumped):
    """As after a snapshot that nobody noticed: the order was given up because it had coins, and another one made."""
    payout = harbour.reserved(units=50 * DOLLAR)
    swap_id = harbour.swap_for(payout)
    restore = dumped()
    send(harbour)
    later = restore_given_up(restore, swap_id, payout)
    (detail,) = [detail for (detail,) in later.rows("SELECT detail FROM failed_transactions WHERE reason = 'unexplained_transaction'")]
    order = str(harbour.swap(swap_id).provider_id)
    assert f"pay-in address of swap {swap_id} (abandoned), order {order}, of payout {payout}" in str(detail)
    explain(later, "--payout", str(payout), "--order", order)
    assert later.rows("SELECT state, provider_id IS NULL FROM swap ORDER BY id") == [("abandoned", True), ("funding", False)]
    finish(later, settled=1)
    assert chain.received(str(harbour.swap(swap_id).payin_address), token=True) == 50 * DOLLAR


def restore_given_up(restore: Callable[..., Harbour], swap_id: int, payout: int) -> Harbour:
    def give_up(later: Harbour) -> None:
        with later.db.transaction() as tx:
            assert swaps.abandon(tx, swap_id, source=swaps.Swap.CREATED, reason="the exchange says exchanging")
            assert payouts.reserve_again(tx, payout, source=payouts.Payout.SWAP_READY, reason="a test")

    return restore(give_up)


# --- a conversion


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_conversion_is_made_again_and_what_it_bought_is_its_owners(harbour, chain, dumped, is_gone):
    owner = pending(harbour, ETHER)
    conversion = 0 if is_gone else conversion_of(harbour, ETHER)
    restore = dumped()
    swap = harbour.swap(harbour.swap_of_conversion(conversion or conversion_of(harbour, ETHER), wei=ETHER))
    send(harbour)
    later = restore()
    with pytest.raises(BadInput, match="--order"):
        explain(later, "--conversion", str(conversion))
    explain(later, "--conversion", str(conversion), "--order", str(swap.provider_id))
    assert later.rows("SELECT from_units, state FROM batch_conversions") == [(ETHER, "swapping")]
    assert later.balance(owner, "converting", "eth") == ETHER
    verb(later, "unfreeze", "--reason", "explained")
    bought = chain.send(harbour.address, swap.to_units, token=True)
    later.exchange_says(status="finished", amountTo=str(swap.to_units // DOLLAR), payoutHash=bought)
    later.until(lambda: later.count("arrival", "cause = 'swap'") == 1)
    assert later.value("SELECT state FROM swap") == "finished"
    agree(later)


def test_a_conversion_of_more_than_is_pending_is_not_the_answer_yet(harbour, dumped):
    pending(harbour, ETHER)
    restore = dumped()
    pending(harbour, ETHER // 2)
    swap = harbour.swap(harbour.swap_of_conversion(conversion_of(harbour, ETHER * 3 // 2), wei=ETHER * 3 // 2))
    send(harbour)
    later = restore()
    with pytest.raises(Conflict, match="do not come to exactly"):
        explain(later, "--conversion", "0", "--order", str(swap.provider_id))
    assert later.count("batch_conversions") == 0


# --- the rest


def test_a_withdrawal_and_a_refund_are_booked_as_what_they_were(harbour, chain, dumped):
    harbour.earn(harbour.owner(), ETHER, arrived=False)
    payment = int(harbour.value("SELECT max(id) FROM processed_payments"))
    with harbour.db.transaction() as tx:
        tx.run("SET LOCAL session_replication_role = replica")
        tx.run("UPDATE processed_payments SET state = 'review', suspense_units = outcome_units WHERE id = :id", id=payment)
    restore = dumped()
    there, back = an_address(), an_address()
    harbour.ask(units=ETHER // 5, asset="eth", recipient=there)
    harbour.ask(units=ETHER // 10, asset="eth", recipient=back)
    send(harbour, 2)
    later = restore()
    hashes = dict(later.rows("SELECT recipient, tx_hash FROM chain_tx"))
    equity = later.account_of(ledger.equity("eth"))
    explain(later, "--treasury", "equity", tx_hash=hashes[there])
    with pytest.raises(Conflict, match="in suspense"):
        explain(later, "--payment", "99", tx_hash=hashes[back])
    explain(later, "--payment", str(payment), tx_hash=hashes[back])
    verb(later, "unfreeze", "--reason", "explained")
    later.until(lambda: later.count("work", "step = 'transfer.ended' AND state = 'done'") == 2)
    assert later.account_of(ledger.equity("eth")) == equity - ETHER // 5
    assert later.account_of(ledger.suspense("eth")) == -ETHER // 10
    assert later.account_of(ledger.in_flight("eth")) == 0


def test_an_owner_who_was_paid_by_what_nothing_explains_gets_no_payout_until_that_is_settled(harbour, dumped):
    owner = harbour.owner()
    converted(harbour, owner, 60 * DOLLAR)
    restore = dumped()
    converted(harbour, owner, 40 * DOLLAR)
    harbour.swap_for(payout_of(harbour, owner))
    send(harbour)
    later = restore()
    loss = later.account_of(ledger.loss_expense("usdterc20"))
    explain(later, "--loss", "--owner", str(owner))
    assert later.account_of(ledger.loss_expense("usdterc20")) == loss + 100 * DOLLAR
    assert {action for (action,) in later.rows("SELECT action FROM audit_log")} >= {"wallet.import", "wallet.home", "wallet.explain"}
    assert later.count("audit_log", "action IN ('wallet.import', 'wallet.explain') AND starts_with(subject, 'transaction 0x')") == 2
    assert ("wallet.loss", f"owner {owner}", "paid_before_the_restore") in later.letters()
    with pytest.raises(AssertionError, match="stopped"):
        payout_of(later, owner)
    with later.db.transaction() as tx:
        assert dead_letters.answer(tx, Act("a person", "he sent it back"), ("wallet.loss", f"owner {owner}"))
    payout_of(later, owner)


def test_what_makes_no_sense_is_refused_and_changes_nothing(harbour, chain, dumped):
    payout, larger = harbour.reserved(units=50 * DOLLAR), harbour.reserved(units=51 * DOLLAR)
    restore = dumped()
    swap = harbour.swap(harbour.swap_for(payout))
    send(harbour)
    later = restore()
    order = str(swap.provider_id)
    like = later.exchange.exchanges[order]
    for name, change in {
        "other address": {"payinAddress": an_address()},
        "other amount": {"fromAmount": "49"},
        "somebody else's": {"refundAddress": an_address()},
        "other coin": {"fromCurrency": "eth"},
    }.items():
        later.exchange.exchanges[name] = {**like, **change, "id": name}
        with pytest.raises(Conflict):
            explain(later, "--payout", str(payout), "--order", name)
    for words, error in (
        (("--payout", str(larger), "--order", order), Conflict),
        (("--payout", str(payout)), Conflict),
        (("--payout", "99", "--order", order), NotFound),
        (("--treasury", "petty cash"), BadInput),
        (("--payout", str(payout), "--loss"), BadInput),
        ((), BadInput),
    ):
        with pytest.raises(error):
            explain(later, *words)
    with pytest.raises(NotFound, match="waits for no explanation"):
        explain(later, "--loss", tx_hash="0x" + "12" * 32)
    assert (later.count("transfer"), later.count("swap")) == (0, 0)
    tx_hash = stray(later)
    explain(later, "--payout", str(payout), "--order", order)
    with pytest.raises(NotFound, match="waits for no explanation"):
        explain(later, "--loss", tx_hash=tx_hash)


def test_nothing_is_explained_before_it_was_looked_for(harbour, dumped, tmp_path):
    file = restoring.dump(harbour._environment["DATABASE_URL"], tmp_path / "early.sql")
    harbour.ask(units=DOLLAR)
    send(harbour)
    with restoring.restored(harbour, file) as later:
        read_chain(later)
        with pytest.raises(Conflict, match="adopt"):
            explain(later, "--treasury", "equity")

"""What a lost history sent finds its row by exact facts, whatever state it was in; what could still be mined later is made impossible first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.simulators.chain.node import NodeError
from PGP_COMMON.cli import adopting as adopt_verb
from PGP_COMMON.database import BaseDatabaseManager
from PGP_COMMON.directory import service_of
from PGP_COMMON.errors import Conflict
from PGP_COMMON.money_machines import adopting, wallet
from tests.support import restoring
from tests.support.earnings import DOLLAR, ETHER
from tests.support.fake_exchange import an_address
from tests.support.hostpay import CHAIN_ID, FINAL_BLOCKS, GWEI, Harbour, TestChain, a_chain, a_harbour
from tests.support.restoring import agree, direct, hurry_all, ordered, read_chain, reconcile, transfer_of, verb

Lost = Callable[[], Harbour]


@pytest.fixture(scope="module")
def chain() -> Iterator[TestChain]:
    with a_chain() as made:
        yield made


@pytest.fixture
def harbour(database_url: str, chain: TestChain) -> Iterator[Harbour]:
    with a_harbour(database_url, chain) as made:
        yield made


@pytest.fixture
def dumped(harbour: Harbour, tmp_path: Path) -> Iterator[Callable[[], Lost]]:
    """Dump now; what is given back restores that dump, and gives the harbour over it."""
    opened: list[Any] = []

    def dump() -> Lost:
        file = restoring.dump(harbour._environment["DATABASE_URL"], tmp_path / "dump.sql")

        def restore() -> Harbour:
            opened.append(restoring.restored(harbour, file))
            return opened[-1].__enter__()

        return restore

    yield dump
    for one in opened:
        one.__exit__(None, None, None)


def final(harbour: Harbour, count: int, *, but: tuple[str, ...] = ("wallet.reconcile",)) -> None:
    """So many transfers are final."""
    harbour.until(lambda: harbour.count("transfer", "state = 'final'") == count, but=but)


def adopt(harbour: Harbour, *words: str) -> str:
    return verb(harbour, "adopt", "--reason", "a drill", "--patience-s", "0", *words)


def go_on(harbour: Harbour) -> None:
    """Sign again, and bring everything to its end."""
    verb(harbour, "unfreeze", "--reason", "adopted")
    harbour.until(lambda: harbour.count("transfer", "state NOT IN ('final', 'cancelled', 'superseded')") == 0)
    agree(harbour)


def raw_of(harbour: Harbour, address: str) -> str:
    """The signed bytes of the one attempt that pays an address."""
    (attempt,) = harbour.attempts(transfer_of(harbour, address).id)
    return "0x" + bytes(attempt.raw).hex()


# --- exact facts


def test_a_conversion_whose_coins_left_after_the_dump_is_found_and_shared_out_once(harbour, chain, dumped):
    owner = harbour.owner()
    harbour.earn(owner, ETHER, arrived=False)
    payment = int(harbour.value("SELECT max(id) FROM processed_payments"))
    tx_hash = chain.send(harbour.address, ETHER)
    with harbour.db.transaction() as tx:
        tx.run("UPDATE processed_payments SET payout_hash = :hash WHERE id = :id", hash=tx_hash, id=payment)
    chain.mine(FINAL_BLOCKS)
    read_chain(harbour)
    conversion = conversion_of(harbour, ETHER)
    swap = harbour.swap_of_conversion(conversion, wei=ETHER)
    restore = dumped()
    final(harbour, 1)
    later = restore()
    read_chain(later)
    assert later.swap(swap).state == "created"
    adopt(later)
    assert later.swap(swap).state == "funding"
    verb(later, "unfreeze", "--reason", "adopted")
    later.until(lambda: later.swap(swap).state == "funded")
    assert chain.received(str(later.swap(swap).payin_address), token=False) == ETHER
    agree(later)


def conversion_of(harbour: Harbour, wei: int) -> int:
    """A conversion of the one accumulation there is, as MICROBATCH plans it."""
    from PGP_COMMON.money_machines import accumulations, conversions, ledger

    with harbour.db.transaction() as tx:
        rows = accumulations.collect_pending(tx, "eth", limit=10)
        made = conversions.plan(tx, from_asset="eth", from_units=wei, to_asset="usdterc20", correlation="c")
        accumulations.begin_conversion(tx, rows, conversion_id=made)
        lines = [
            line
            for owner, units in accumulations.per_owner(rows).items()
            for line in (ledger.debit(ledger.owed(owner, "pending", "eth"), units), ledger.credit(ledger.owed(owner, "converting", "eth"), units))
        ]
        ledger.post(tx, "conv.start", made, lines)
    return made


def test_two_that_say_the_same_are_each_found_once(harbour, dumped):
    address = an_address()
    asked = [harbour.ask(units=5 * DOLLAR, recipient=address) for _ in range(3)]
    restore = dumped()
    for one in asked[:2]:
        harbour.run("transfer.sign", one)
    final(harbour, 2, but=("transfer.sign",))
    later = restore()
    read_chain(later)
    adopt(later)
    assert [later.transfer(one).state for one in asked] == ["signed", "signed", "requested"]
    go_on(later)
    kept = later.rows("SELECT action, reason FROM audit_log WHERE action LIKE 'wallet.%' AND actor <> '' ORDER BY id")
    assert kept[-4:] == [*[("wallet.adopt", "a drill")] * 2, ("wallet.home", "a drill"), ("wallet.unfreeze", "adopted")]
    assert harbour.test_chain.received(address, token=True) == 15 * DOLLAR


def test_an_amount_or_an_address_that_is_nearly_right_is_not_right(harbour, dumped):
    address = an_address()
    near = harbour.ask(units=5 * DOLLAR, recipient=address)
    restore = dumped()
    other = harbour.ask(units=5 * DOLLAR + 1, recipient=address)
    harbour.run("transfer.sign", other)
    final(harbour, 1, but=("transfer.sign",))
    later = restore()
    read_chain(later)
    assert "1 transactions are left to explain" in adopt(later)
    assert later.transfer(near).state == "requested"
    assert later.value("SELECT explained_as FROM chain_tx") is None


def test_a_transfer_that_failed_on_the_chain_is_found_as_one_that_failed(harbour, chain, dumped):
    recipient = an_address()
    asked = harbour.ask(units=ETHER, asset="eth", recipient=recipient)
    restore = dumped()
    harbour.run("transfer.sign", asked)
    chain.node.call("anvil_setCode", recipient, "0xfe")
    harbour.until(lambda: harbour.transfer(asked).state == "failed_onchain")
    later = restore()
    read_chain(later)
    adopt(later, "--fills", "0")
    verb(later, "unfreeze", "--reason", "adopted")
    later.until(lambda: later.transfer(asked).state == "failed_onchain")
    hurry_all(later)
    agree(later)


def test_a_transfer_that_got_stuck_meanwhile_is_resumed_with_the_attempt_that_was_lost(harbour, chain, dumped):
    address = an_address()
    asked = harbour.ask(units=5 * DOLLAR, recipient=address)
    harbour.run("transfer.sign", asked)
    restore = dumped()
    chain.base_fee(100 * GWEI)
    harbour.pass_time(600)
    harbour.work()
    assert len(harbour.attempts(asked)) == 2
    final(harbour, 1)
    chain.base_fee(GWEI)
    later = restore()
    for _ in range(42):
        hurry_all(later)
    assert later.transfer(asked).state == "stuck"
    read_chain(later)
    adopt(later, "--fills", "0")
    assert (later.transfer(asked).state, len(later.attempts(asked))) == ("broadcast", 2)
    go_on(later)
    assert chain.received(address, token=True) == 5 * DOLLAR


# --- when it is too early


def test_nothing_is_adopted_before_the_chain_has_been_read(harbour, dumped):
    asked = harbour.ask(units=5 * DOLLAR)
    restore = dumped()
    harbour.run("transfer.sign", asked)
    final(harbour, 1)
    later = restore()
    with pytest.raises(Conflict, match="is it running"):
        adopt(later)
    assert later.transfer(asked).state == "requested"
    read_chain(later)
    adopt(later)
    assert later.transfer(asked).state == "signed"


def test_what_is_young_and_fits_nothing_keeps_the_wallet_from_its_home(harbour, chain, dumped):
    restore = dumped()
    lost = harbour.ask(units=5 * DOLLAR)
    harbour.run("transfer.sign", lost)
    harbour.work()
    later = restore()
    read_chain(later)
    for blocks in (0, 1):
        chain.mine(blocks)
        read_chain(later)
        with pytest.raises(Conflict, match="not final yet"):
            adopt(later)
        assert "not the database" in verb(later, "show")
    chain.mine(FINAL_BLOCKS)
    read_chain(later)
    adopt(later)
    assert later.count("chain_tx", "explained_at IS NULL AND booked_at IS NOT NULL") == 1


def test_a_nonce_that_a_node_counts_and_nobody_shows_keeps_the_wallet_from_its_home(harbour, chain, dumped):
    later = dumped()()
    read_chain(later)
    chain.node.call("anvil_setNonce", harbour.address, "0x2")
    with pytest.raises(Conflict, match="nonces 0 to 1"):
        adopt(later)


def test_a_crash_between_two_of_them_is_gone_on_with_and_a_second_run_finds_nothing(harbour, dumped, monkeypatch):
    asked = [harbour.ask(units=(5 + n) * DOLLAR) for n in range(3)]
    restore = dumped()
    for one in asked:
        harbour.run("transfer.sign", one)
    final(harbour, 3)
    later = restore()
    read_chain(later)
    taken: list[int] = []

    def dies(tx: Any, held: wallet.WalletRow, sent: adopting.Sent) -> int | None:
        if len(taken) == 2:
            raise KeyboardInterrupt
        taken.append(sent.nonce)
        return real(tx, held, sent)

    real = adopting.adopt
    monkeypatch.setattr(adopt_verb.adopting, "adopt", dies)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        adopt(later)
        raise SystemExit
    monkeypatch.undo()
    assert [later.transfer(one).state for one in asked] == ["signed", "signed", "requested"]
    adopt(later)
    assert "nothing to adopt" in adopt(later)
    go_on(later)
    assert later.count("transfer", "purpose = 'treasury' AND state = 'final'") == 3


# --- whatever the moment


def play(harbour: Harbour, moment: int) -> Iterator[None]:
    """Run everything that waits, a unit of work at a time, with a block after each round; stops once, before the unit of this number."""
    done = 0
    for _ in range(30):
        for step, subject in harbour.rows("SELECT step, subject FROM work WHERE state = 'open' ORDER BY id"):
            if step == "swap.follow" or service_of(step)[0].name not in harbour.services:
                continue
            if done == moment:
                yield
            harbour.hurry(step, subject)
            harbour.run(step, subject)
            done += 1
        harbour.test_chain.mine()
        if harbour.count("transfer", "state = 'final'") == 3:
            return
    raise AssertionError("it never ends")


MOMENTS = range(24)


@pytest.mark.parametrize("moment", [pytest.param(n, marks=() if n % 8 == 5 else pytest.mark.long) for n in MOMENTS])
def test_whatever_the_moment_of_the_dump_nobody_is_paid_twice_and_nobody_never(harbour, chain, dumped, moment):
    """From before anything is wanted to after everything is final: a direct payout, one through the exchange, and a withdrawal."""
    owner_gets, withdrawn = an_address(), an_address()
    harbour.direct(harbour.reserved(asset="usdterc20", address=owner_gets, units=11 * DOLLAR))
    swap, payin = ordered(harbour, 12 * DOLLAR)
    harbour.ask(units=13 * DOLLAR, recipient=withdrawn)
    lost = play(harbour, moment)
    next(lost, None)
    restore = dumped()
    for _ in lost:
        raise AssertionError("it stops once")
    later = restore()
    read_chain(later)
    adopt(later, "--fills", "0")
    verb(later, "unfreeze", "--reason", "adopted")
    later.until(lambda: later.count("transfer", "state = 'final'") == 3, but=("swap.follow",))
    later.until(lambda: later.swap(swap).state == "funded", but=("swap.follow",))
    agree(later)
    assert [chain.received(address, token=True) for address in (owner_gets, payin, withdrawn)] == [11 * DOLLAR, 12 * DOLLAR, 13 * DOLLAR]


# --- a signature that nobody sees


def hide(harbour: Harbour, chain: TestChain, address: str) -> str:
    """Sign and send a transfer whose transaction then vanishes from every pool that we can ask; gives its bytes, which somebody may still have."""
    transfer = transfer_of(harbour, address)
    harbour.run("transfer.sign", transfer.id)
    harbour.hurry("transfer.watch", transfer.id)
    harbour.run("transfer.watch", transfer.id)
    raw = raw_of(harbour, address)
    chain.node.call("anvil_dropTransaction", harbour.attempts(transfer.id)[0].tx_hash)
    return raw


def send(chain: TestChain, raw: str) -> str:
    """Somebody gives bytes that he has kept to a node; gives the node's word."""
    try:
        return str(chain.node.call("eth_sendRawTransaction", raw))
    except NodeError as error:
        return str(error)


def test_bytes_that_vanished_cannot_be_mined_after_their_nonce_was_taken(harbour, chain, dumped):
    address = an_address()
    harbour.ask(units=5 * DOLLAR, recipient=address)
    restore = dumped()
    raw = hide(harbour, chain, address)
    later = restore()
    read_chain(later)
    assert "16 nonces from before are taken first" in adopt(later)
    verb(later, "unfreeze", "--reason", "adopted")
    # Nothing but fills is signed until all of them are final.
    later.work()
    assert {purpose for (purpose,) in later.rows("SELECT DISTINCT purpose FROM transfer WHERE nonce IS NOT NULL")} == {"fill"}
    later.until(lambda: later.count("transfer", "state <> 'final'") == 0)
    assert "nonce too low" in send(chain, raw)
    agree(later)
    assert chain.received(address, token=True) == 5 * DOLLAR


def test_bytes_that_waited_behind_a_gap_win_against_a_fill_and_are_paid_once(harbour, chain, dumped):
    """A node does not count what waits behind a missing nonce, and does not show it: the fill before it sets it free."""
    first, address = an_address(), an_address()
    for recipient in (first, address):
        harbour.ask(units=5 * DOLLAR, recipient=recipient)
    restore = dumped()
    hide(harbour, chain, first)
    transfer = transfer_of(harbour, address)
    harbour.run("transfer.sign", transfer.id)
    assert send(chain, raw_of(harbour, address)).startswith("0x")
    later = restore()
    read_chain(later)
    adopt(later)
    verb(later, "unfreeze", "--reason", "adopted")
    for _ in range(6):
        later.work()
        chain.mine()
    assert chain.received(address, token=True) == 5 * DOLLAR
    reconcile(later)
    assert "a transaction that is not ours" in str(later.value("SELECT frozen_reason FROM wallet"))
    adopt(later)
    assert transfer_of(later, address).nonce == 1
    go_on(later)
    assert (chain.received(first, token=True), chain.received(address, token=True)) == (5 * DOLLAR, 5 * DOLLAR)


def test_bytes_that_win_against_the_fill_of_their_nonce_are_found_and_paid_once(harbour, chain, dumped):
    address = an_address()
    harbour.ask(units=5 * DOLLAR, recipient=address)
    restore = dumped()
    raw = hide(harbour, chain, address)
    later = restore()
    read_chain(later)
    adopt(later)
    verb(later, "unfreeze", "--reason", "adopted")
    fill = int(later.value("SELECT min(id) FROM transfer WHERE purpose = 'fill'"))
    later.hurry("transfer.sign", fill)
    assert later.run("transfer.sign", fill) == "done"
    assert later.transfer(fill).nonce == 0
    # Signed and not sent yet: the old bytes are first.
    assert send(chain, raw).startswith("0x")
    chain.mine(FINAL_BLOCKS)
    reconcile(later)
    assert "a transaction that is not ours" in str(later.value("SELECT frozen_reason FROM wallet"))
    adopt(later)
    assert later.transfer(fill).state == "superseded"
    assert transfer_of(later, address).nonce == 0
    go_on(later)
    assert chain.received(address, token=True) == 5 * DOLLAR


# --- a snapshot, which has the same home


def same_home(harbour: Harbour) -> None:
    """As if the disk itself had been brought back: the database is older, and nothing in it says so."""
    with harbour.db.transaction() as tx:
        wallet.make_home(tx, harbour.wallet_id, reason="test")


@pytest.mark.parametrize("mined", [True, False])
def test_a_database_that_is_older_than_its_chain_is_frozen_before_the_first_signature_all_the_same(harbour, chain, dumped, mined):
    address, waiting = an_address(), an_address()
    harbour.ask(units=5 * DOLLAR, recipient=address)
    asked = harbour.ask(units=6 * DOLLAR, recipient=waiting)
    restore = dumped()
    harbour.run("transfer.sign", transfer_of(harbour, address).id)
    harbour.work(but=("transfer.sign",))
    later = restore()
    same_home(later)
    if mined:
        chain.mine(FINAL_BLOCKS)
    later.hurry("transfer.sign", asked)
    assert later.run("transfer.sign", asked) == "later"
    assert later.value("SELECT frozen_reason FROM wallet") == "the chain has nonces that we did not give"
    assert later.count("transfer_attempt") == 0
    read_chain(later)
    adopt(later)
    go_on(later)
    assert (chain.received(address, token=True), chain.received(waiting, token=True)) == (5 * DOLLAR, 6 * DOLLAR)


# --- the key in other hands


def test_a_thief_is_no_restore_and_what_he_took_is_booked_and_explained_as_a_loss(harbour, chain):
    fields = {"type": 2, "chainId": CHAIN_ID, "nonce": 0, "gas": 21_000, "maxFeePerGas": 50 * GWEI, "maxPriorityFeePerGas": GWEI, "to": an_address()}
    signed = harbour.account.sign_transaction({**fields, "value": ETHER})
    tx_hash = str(chain.node.call("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex()))
    chain.mine(FINAL_BLOCKS)
    read_chain(harbour)
    assert harbour.run("transfer.sign", harbour.ask(units=DOLLAR)) == "paused"
    assert "1 transactions are left to explain" in adopt(harbour, "--fills", "0")
    assert ("wallet.stray", tx_hash, "unexplained_transaction") in harbour.letters()
    agree(harbour, unexplained=1)
    verb(harbour, "explain", tx_hash, "--reason", "the key was copied", "--loss")
    verb(harbour, "unfreeze", "--reason", "the rest goes to a new wallet")
    agree(harbour)
    harbour.until(lambda: harbour.count("transfer", "state = 'final'") == 1)
    agree(harbour)


def test_a_self_transfer_that_took_a_stuck_nonce_needs_no_other_explanation(harbour, chain):
    from PGP_COMMON.money_machines import transfers

    asked = harbour.ask(units=DOLLAR)
    harbour.run("transfer.sign", asked)
    fields = {"type": 2, "chainId": CHAIN_ID, "nonce": 0, "gas": 21_000, "maxFeePerGas": 50 * GWEI, "maxPriorityFeePerGas": GWEI, "to": harbour.address}
    signed = harbour.account.sign_transaction({**fields, "value": 0})
    tx_hash = str(chain.node.call("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex()))
    chain.mine(FINAL_BLOCKS)
    reconcile(harbour)
    with harbour.db.transaction() as tx:
        transfers.stick(tx, asked, reason="test")
    verb(harbour, "fill", str(asked), "--reason", "by hand", "--taken-by", tx_hash)
    verb(harbour, "unfreeze", "--reason", "it was me")
    harbour.until(lambda: harbour.count("work", "step = 'transfer.ended' AND state = 'done'") == 1)
    agree(harbour)


def test_one_process_of_the_executor_looks_before_its_first_signature_and_again_after_an_hour(harbour):
    def looks() -> int:
        return harbour.count("reconciliation", "job = 'fence'")

    for _ in range(2):
        assert harbour.run("transfer.sign", harbour.ask(units=DOLLAR)) == "done"
    assert looks() == 1
    harbour.services["pgp-hostpay3-v1"] = harbour.start("pgp-hostpay3-v1")
    assert harbour.run("transfer.sign", harbour.ask(units=DOLLAR)) == "done"
    assert looks() == 2
    harbour.pass_time(3700)
    for _ in range(2):
        assert harbour.run("transfer.sign", harbour.ask(units=DOLLAR)) == "done"
    assert looks() == 3


def test_a_nonce_that_something_unknown_has_taken_freezes_when_two_looks_agree(harbour, chain):
    asked = harbour.ask(units=DOLLAR)
    harbour.run("transfer.sign", asked)
    fields = {"type": 2, "chainId": CHAIN_ID, "nonce": 0, "gas": 21_000, "maxFeePerGas": 50 * GWEI, "maxPriorityFeePerGas": GWEI, "to": an_address()}
    signed = harbour.account.sign_transaction({**fields, "value": 1})
    chain.node.call("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())
    chain.mine(FINAL_BLOCKS)
    waiting = harbour.ask(units=DOLLAR)
    for reason in (None, "a transfer's nonce was taken by a transaction that nobody knows"):
        harbour.services["pgp-hostpay3-v1"] = harbour.start("pgp-hostpay3-v1")
        harbour.hurry("transfer.sign", waiting)
        assert harbour.run("transfer.sign", waiting) == "later"
        assert harbour.value("SELECT frozen_reason FROM wallet") == reason
    assert harbour.count("transfer_attempt") == 1


def test_everything_is_one_database_for_the_engine(harbour, dumped):
    """The switches of money rest away from home, whoever asks; the others do not."""
    later = dumped()()
    assert isinstance(later.db, BaseDatabaseManager)
    asked = later.rows("SELECT s, is_switched_off(s) FROM unnest(ARRAY['sign', 'payout_plan', 'convert', 'intake', 'invite']) s ORDER BY 1")
    assert asked == [("convert", True), ("intake", False), ("invite", False), ("payout_plan", True), ("sign", True)]
    _, payin = ordered(later, 10 * DOLLAR)
    hurry_all(later)
    assert later.count("transfer") == 0
    assert later.count("swap", "state = 'created'") == 1
    assert payin
    assert direct(later, DOLLAR)

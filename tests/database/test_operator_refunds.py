"""What is in suspense goes back over a real chain: once, whatever crashes, fails or is cancelled on the way."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import pytest

from PGP_COMMON import failpoints
from PGP_COMMON.errors import Conflict
from PGP_COMMON.money_machines import arrivals, ledger
from tests.support.earnings import DOLLAR, ETHER
from tests.support.fake_exchange import an_address
from tests.support.hostpay import Harbour, TestChain, a_chain, a_harbour
from tests.support.verbs import Operator, deaf_queue

WEI = ETHER // 50


class Crash(BaseException):
    """The process is gone."""


@pytest.fixture(scope="module")
def chain() -> Iterator[TestChain]:
    with a_chain() as made:
        yield made


@pytest.fixture
def harbour(database_url: str, chain: TestChain) -> Iterator[Harbour]:
    with a_harbour(database_url, chain) as made:
        # `in_suspense` puts the payment where it is by hand: its history does not say how it came there.
        made.known_breaches = ("I18 payment",)
        yield made
        made.check_invariants()
        made.check_books()


@pytest.fixture
def pgp(harbour: Harbour, monkeypatch: pytest.MonkeyPatch) -> Operator:
    deaf_queue(monkeypatch)
    return Operator(harbour._environment)


def in_suspense(harbour: Harbour, *, asset: str = "eth", units: int = WEI) -> str:
    """A payment in review whose money has come; gives back the vendor's id."""
    owner = harbour.owner()
    with harbour.db.transaction() as tx:
        payment = harbour._payment(tx, owner, units, asset, 0)
    tx_hash = "0x" + secrets.token_hex(32)
    with harbour.db.transaction() as tx:
        # As ORCHESTRATOR leaves it: never credited, all of it in suspense.
        tx.run("ALTER TABLE processed_payments DISABLE TRIGGER guard_move")
        tx.run(
            """
            UPDATE processed_payments SET state = 'review', review_reason = 'price_differs', owner_units = 0, fee_units = 0, suspense_units = outcome_units,
                   payout_hash = :hash WHERE id = :id
            """,
            hash=tx_hash,
            id=payment,
        )
        tx.run("ALTER TABLE processed_payments ENABLE TRIGGER guard_move")
        tx.run("DELETE FROM notification")
        ledger.post(tx, "payment.review", payment, [ledger.debit(ledger.np_transit(asset), units), ledger.credit(ledger.suspense(asset), units)])
    with harbour.db.transaction() as tx:
        arrivals.book(tx, wallet_id=harbour.wallet_id, asset=asset, units=units, tx_hash=tx_hash, log="native", block=2, sender=an_address())
        for arrival in arrivals.of_transaction(tx, tx_hash):
            assert arrivals.match(tx, arrival)
    return str(harbour.value("SELECT provider_id FROM processed_payments WHERE id = :id", id=payment))


def state(harbour: Harbour, payment: str) -> tuple[str, int]:
    """A payment's state, and what of it is in suspense."""
    found, units = harbour.rows("SELECT state, suspense_units FROM processed_payments WHERE provider_id = :id", id=payment)[0]
    return str(found), int(units)


@pytest.mark.parametrize(("asset", "units"), [("eth", WEI), ("usdterc20", 7 * DOLLAR)])
def test_a_refund_arrives_and_the_payment_is_rejected(harbour: Harbour, pgp: Operator, chain: TestChain, asset: str, units: int) -> None:
    payment, to = in_suspense(harbour, asset=asset, units=units), an_address()
    pgp("suspense", "refund", payment, "--to", to)
    assert state(harbour, payment) == ("review", units)
    harbour.until(lambda: state(harbour, payment) == ("rejected", 0))
    assert chain.received(to, token=asset != "eth") == units
    assert (harbour.account_of(ledger.suspense(asset)), harbour.account_of(ledger.in_flight(asset))) == (0, 0)
    assert harbour.letters() == []
    before = harbour.picture()
    harbour.do_everything_again()
    assert harbour.picture() == before
    with pytest.raises(Conflict, match="nothing of it is in suspense"):
        pgp("suspense", "refund", payment, "--to", to)


def test_a_refund_that_fails_on_the_chain_is_a_persons_again_and_can_be_repeated(harbour: Harbour, pgp: Operator, chain: TestChain) -> None:
    payment, to = in_suspense(harbour, asset="usdterc20", units=7 * DOLLAR), an_address()
    pgp("suspense", "refund", payment, "--to", to)
    harbour.until(lambda: harbour.count("transfer", "state = 'signed'") == 1, blocks=0, but=("transfer.watch",))
    code = chain.node.code(chain.token)
    chain.node.call("anvil_setCode", chain.token, "0x60006000fd")
    try:
        harbour.until(lambda: harbour.count("transfer", "state = 'failed_onchain'") == 1)
        harbour.work()
    finally:
        chain.node.call("anvil_setCode", chain.token, code)
    assert state(harbour, payment) == ("review", 7 * DOLLAR)
    assert harbour.letters() == [("transfer.ended", "1", "transfer_failed_onchain")]
    pgp("suspense", "refund", payment, "--to", to)
    harbour.until(lambda: state(harbour, payment) == ("rejected", 0))
    assert chain.received(to, token=True) == 7 * DOLLAR


def test_a_refund_that_is_taken_back_leaves_the_payment_to_be_credited(harbour: Harbour, pgp: Operator) -> None:
    payment = in_suspense(harbour)
    pgp("suspense", "refund", payment, "--to", an_address())
    pgp("transfer", "cancel", 1)
    harbour.until(lambda: harbour.letters() == [("transfer.ended", "1", "transfer_cancelled")], blocks=0)
    assert state(harbour, payment) == ("review", WEI)
    pgp("suspense", "resolve", payment)
    assert state(harbour, payment) == ("credited", 0)


def test_a_refund_that_is_signed_cannot_be_overtaken_by_a_credit(harbour: Harbour, pgp: Operator) -> None:
    payment = in_suspense(harbour)
    pgp("suspense", "refund", payment, "--to", an_address())
    harbour.until(lambda: harbour.count("transfer", "state = 'final'") == 1, but=("transfer.ended",))
    for verb in (("resolve",), ("refund", "--to", an_address())):
        with pytest.raises(Conflict, match="sends payment"):
            pgp("suspense", verb[0], payment, *verb[1:])
    harbour.until(lambda: state(harbour, payment) == ("rejected", 0))


def test_a_reversed_payment_is_sent_on_and_stays_reversed(harbour: Harbour, pgp: Operator, chain: TestChain) -> None:
    owner, to = harbour.owner(), an_address()
    harbour.earn(owner, WEI, fee=WEI // 30)
    payment = str(harbour.value("SELECT provider_id FROM processed_payments"))
    pgp("payment", "reverse", payment)
    pgp("suspense", "refund", payment, "--to", to)
    harbour.until(lambda: state(harbour, payment) == ("reversed", 0))
    assert chain.received(to, token=False) == WEI + WEI // 30


def test_a_process_that_stops_anywhere_between_request_and_end_refunds_once(harbour: Harbour, pgp: Operator, chain: TestChain) -> None:
    payment, to = in_suspense(harbour), an_address()
    pgp("suspense", "refund", payment, "--to", to)
    fired: set[str] = set()
    steps = ("transfer.sign", "transfer.watch", "transfer.ended")
    names = [f"{step}.{place}" for step in steps for place in ("claim.before", "claim.after", "start.before_commit", "start.after_commit")]
    failpoints.arm({name: crash_once(name, fired) for name in names})
    for _ in range(80):
        try:
            harbour.work()
        except Crash:
            continue
        if state(harbour, payment) == ("rejected", 0) and not harbour.count("work", "state = 'open'"):
            break
        chain.mine()
    assert (state(harbour, payment), fired) == (("rejected", 0), set(names))
    assert chain.received(to, token=False) == WEI
    assert harbour.rows("SELECT kind, count(*) FROM ledger_tx WHERE kind IN ('suspense.refund', 'transfer.sign') GROUP BY 1 ORDER BY 1") == [
        ("suspense.refund", 1),
        ("transfer.sign", 1),
    ]


def crash_once(name: str, fired: set[str]) -> Callable[[], None]:
    def action() -> None:
        if name not in fired:
            fired.add(name)
            raise Crash

    return action

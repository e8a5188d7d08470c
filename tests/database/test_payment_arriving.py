"""More money may come of a payment than it is credited with: that is nobody's until its credit comes, and then it is counted once."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from PGP_COMMON.database import Transaction
from PGP_COMMON.money_machines import arrivals, ledger, wallet
from tests.support.sales import ETHER, Payment, fee, units
from tests.support.signing import ring
from tests.support.till import OPENING, SENDER, Till, a_till
from tests.support.verbs import Operator, at_once

LETTER = ("payment.surplus", "more_came_than_credited")


class Arriving(Till):
    """A till to which money comes in whatever pieces."""

    def in_part(self, *, outcome: str = "0.006") -> Payment:
        """A payment that is credited when it was paid in part; a larger outcome follows."""
        payment = self.order().payment(outcome_amount=Decimal(outcome), actually_paid=Decimal("0.0062"))
        self.pay(payment, "partially_paid")
        assert self.outcome(payment) == "credited"
        return payment

    def grows(self, payment: Payment, outcome: str) -> Payment:
        """The vendor calls it finished, and its notice is lost."""
        return self.vendor.payments[str(payment["payment_id"])] | {
            "payment_status": "finished",
            "outcome_amount": Decimal(outcome),
            "actually_paid": payment["pay_amount"],
        }

    def finds(self, payment: Payment, outcome: str, at: str = "2026-03-01T09:30:00Z") -> None:
        """The comparison with the vendor finds the larger outcome."""
        self.vendor.payments[str(payment["payment_id"])] = self.grows(payment, outcome)
        assert ring(self.orchestrator, "/reconcile", "payments-reconcile", at).status_code == 200
        self.settle()

    def comes(self, payment: Payment, *amounts: int) -> None:
        """So many wei come to our wallet in one transaction, which the vendor names for the payment."""
        tx_hash = f"0x{self.new_id():064x}"
        with self.db.transaction() as tx:
            tx.run("UPDATE processed_payments SET payout_hash = :hash WHERE provider_id = :id", hash=tx_hash, id=str(payment["payment_id"]))
            for number, amount in enumerate(amounts):
                arrivals.book(tx, wallet_id=self.wallet_id, asset="eth", units=amount, tx_hash=tx_hash, log=str(number), block=2, sender=SENDER)
        for number in range(len(amounts)):
            with self.db.transaction() as tx:
                assert arrivals.match(tx, arrivals.of_transaction(tx, tx_hash)[number])
            self.check_books()

    def own(self) -> int:
        """The platform's own ETH."""
        with self.db.reading() as tx:
            return wallet.gas_money_wei(tx)

    def stands(self) -> dict[str, int]:
        """What stands on the accounts that a payment's arrival moves."""
        return {code: self.balance(code) for code in ("np_transit", "expense:swap", "arrivals", "suspense")}


def nothing(**but: int) -> dict[str, int]:
    """Nothing on those accounts, but for these."""
    return {"np_transit": 0, "expense:swap": 0, "arrivals": 0, "suspense": 0} | {code.replace("_swap", ":swap"): units for code, units in but.items()}


@pytest.fixture
def shop(database_url: str, settings: dict[str, str]) -> Iterator[Arriving]:
    with a_till(Arriving, database_url, settings) as made:
        yield made


@pytest.fixture
def pgp(shop: Arriving, woken: list[tuple[str, str]]) -> Operator:
    return Operator(shop.settings)


def test_what_comes_beyond_a_credit_is_nobodys_and_a_person_is_told(shop: Arriving) -> None:
    payment = shop.in_part()
    shop.comes(payment, 9 * ETHER // 1000)
    assert shop.stands() == nothing(np_transit=-3 * ETHER // 1000)
    assert shop.own() == OPENING + fee(payment)
    assert shop.letters() == [LETTER]
    assert shop.balance(f"owner:{shop.owner_id}:pending") == units(payment) - fee(payment)


def test_the_credit_that_it_came_before_takes_it_up_to_the_unit_and_closes_the_letter(shop: Arriving) -> None:
    payment = shop.in_part()
    shop.comes(payment, 9 * ETHER // 1000)
    shop.finds(payment, "0.009")
    whole = payment | {"outcome_amount": Decimal("0.009")}
    assert shop.stands() == nothing()
    assert shop.own() == OPENING + fee(whole)
    assert shop.balance(f"owner:{shop.owner_id}:pending") == units(whole) - fee(whole)
    assert shop.balance("wallet") == OPENING + units(whole)
    assert shop.letters() == []
    shop.settle(twice=True)
    assert shop.stands() == nothing()


def test_of_a_later_credit_that_is_more_than_what_came_the_rest_is_the_vendors_fee(shop: Arriving) -> None:
    payment = shop.in_part()
    shop.comes(payment, 9 * ETHER // 1000 - 7)
    shop.finds(payment, "0.009")
    assert shop.stands() == nothing(expense_swap=7)
    assert shop.letters() == []


def test_a_fee_that_was_kept_before_a_later_credit_is_not_booked_twice(shop: Arriving) -> None:
    payment = shop.in_part()
    shop.comes(payment, 6 * ETHER // 1000 - 7)
    assert shop.stands() == nothing(expense_swap=7)
    shop.finds(payment, "0.006000000000000005")
    assert shop.stands() == nothing(expense_swap=12)


def test_a_later_credit_that_is_less_than_what_came_leaves_the_rest_and_the_letter(shop: Arriving) -> None:
    payment = shop.in_part()
    shop.comes(payment, 9 * ETHER // 1000)
    shop.finds(payment, "0.008")
    assert shop.stands() == nothing(np_transit=-ETHER // 1000)
    assert shop.letters() == [LETTER]


def test_money_that_comes_in_pieces_makes_the_cost_smaller_again_and_never_an_income(shop: Arriving) -> None:
    payment = shop.in_part()
    shop.comes(payment, 4 * ETHER // 1000, 2 * ETHER // 1000 + 5)
    assert shop.stands() == nothing(np_transit=-5)
    assert shop.letters() == [LETTER]


def test_a_credit_and_an_arrival_at_the_same_time_leave_nothing_in_transit(shop: Arriving) -> None:
    payment = shop.in_part()
    tx_hash = f"0x{shop.new_id():064x}"
    with shop.db.transaction() as tx:
        tx.run("UPDATE processed_payments SET payout_hash = :hash", hash=tx_hash)
        arrivals.book(tx, wallet_id=shop.wallet_id, asset="eth", units=9 * ETHER // 1000 - 7, tx_hash=tx_hash, log="native", block=2, sender=SENDER)
    grown = shop.grows(payment, "0.009")
    shop.vendor.payments[str(payment["payment_id"])] = grown
    shop.notify(grown)
    subject = shop.sent("payment.settle")[-1]

    def match(tx: Transaction) -> bool:
        return arrivals.match(tx, arrivals.of_transaction(tx, tx_hash)[0])

    at_once(lambda: shop.orchestrator.extensions["pgp"].engine.run("payment.settle", subject), lambda: shop.db.rerun(match))
    shop.settle(within_s=600)
    assert shop.stands() == nothing(expense_swap=7)
    assert shop.letters() == []


def test_what_comes_beyond_a_payment_in_review_waits_with_it_and_is_credited_with_it_once(shop: Arriving, pgp: Operator) -> None:
    payment = shop.order().payment(outcome_amount=Decimal("0.006"), price_amount=Decimal("19.99"))
    shop.pay(payment, "partially_paid")
    shop.comes(payment, 9 * ETHER // 1000)
    assert shop.stands() == nothing(suspense=9 * ETHER // 1000)
    shop.pay(payment | {"outcome_amount": Decimal("0.009000000000000007")}, "finished")
    assert shop.stands() == nothing(suspense=9 * ETHER // 1000 + 7, expense_swap=7)
    assert shop.letters() == [("payment.review", "price_differs")]
    pgp("suspense", "resolve", str(payment["payment_id"]), "--paid-usd", "20")
    assert shop.stands() == nothing(expense_swap=7)
    assert shop.balance(f"owner:{shop.owner_id}:pending") + shop.balance("income:fee") == 9 * ETHER // 1000 + 7


def test_a_payment_that_is_taken_back_leaves_all_that_came_to_be_sent_back(shop: Arriving, pgp: Operator) -> None:
    payment = shop.in_part()
    shop.comes(payment, 9 * ETHER // 1000)
    pgp("payment", "reverse", str(payment["payment_id"]))
    assert shop.stands() == nothing(suspense=9 * ETHER // 1000)
    assert (shop.letters(), shop.own()) == ([], OPENING)


def test_one_transaction_that_is_named_for_two_payments_is_counted_once(shop: Arriving) -> None:
    first, second = shop.in_part(), shop.order(buyer_id=7).payment(outcome_amount=Decimal("0.00792"))
    shop.pay(second, "finished")
    both = units(first) + units(second)
    shop.comes(first, both)
    tx_hash = shop.value("SELECT tx_hash FROM arrival")
    shop.vendor.payments[str(second["payment_id"])] |= {"payout_hash": tx_hash}
    shop.later(600)
    shop.settle(within_s=600)
    assert sorted(shop.letters()) == [("payment.payout_hash", "conflict"), LETTER]
    # What the first has too much the second waits for.
    assert shop.stands() == nothing()
    assert (shop.balance("wallet"), shop.own()) == (OPENING + both, OPENING + fee(first))
    with shop.db.reading() as tx:
        assert ledger.balance(tx, ledger.fee_income("eth")) == fee(first) + fee(second)
    shop.check_books()

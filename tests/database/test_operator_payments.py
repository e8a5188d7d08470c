"""A person decides on payments: what is in suspense goes to its owner or back, what was credited stays or is taken back, and the books stay right."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from PGP_COMMON.errors import BadInput, Conflict, NotFound
from PGP_COMMON.money_machines import arrivals, ledger, wallet
from PGP_COMMON.money_machines import payments as machine
from PGP_COMMON.operators import payments
from tests.support.sales import Payment, fee, units
from tests.support.till import OPENING, OURS, SENDER, Till, a_till
from tests.support.verbs import Operator, at_once


class Counter(Till):
    """A till whose payments a person has to decide on."""

    def comes(self, payment: Payment, *, keeps: int = 0) -> str:
        """The vendor sends a payment's money to our wallet, less what it keeps; gives back the transaction."""
        tx_hash = f"0x{self.new_id():064x}"
        with self.db.transaction() as tx:
            tx.run("UPDATE processed_payments SET payout_hash = :hash WHERE provider_id = :id", hash=tx_hash, id=str(payment["payment_id"]))
            asset = payment["outcome_currency"]
            arrivals.book(tx, wallet_id=self.wallet_id, asset=asset, units=units(payment) - keeps, tx_hash=tx_hash, log="native", block=2, sender=SENDER)
            for arrival in arrivals.of_transaction(tx, tx_hash):
                assert arrivals.match(tx, arrival)
        self.check_books()
        return tx_hash

    def in_review(self, **changes: Any) -> Payment:
        """A payment that does not make sense: its price differs."""
        payment = self.order().payment(**{"price_amount": Decimal("19.99"), **changes})
        self.pay(payment, "finished")
        return payment

    def taken_back(self) -> Payment:
        """A payment that was credited, and that the vendor gave back to the buyer afterwards."""
        payment = self.order().payment()
        self.pay(payment, "finished", "refunded")
        assert self.outcome(payment) == "review: refunded"
        return payment


@pytest.fixture
def shop(database_url: str, settings: dict[str, str]) -> Iterator[Counter]:
    with a_till(Counter, database_url, settings) as made:
        yield made


@pytest.fixture
def pgp(shop: Counter, woken: list[tuple[str, str]]) -> Operator:
    return Operator(shop.settings)


def number(payment: Payment) -> str:
    return str(payment["payment_id"])


def owed(shop: Counter, purse: str = "pending") -> int:
    return shop.balance(f"owner:{shop.owner_id}:{purse}")


# --- credited to its owner


def test_a_payment_in_suspense_is_credited_with_access_and_its_letter_is_closed(shop: Counter, pgp: Operator, woken: list[tuple[str, str]]) -> None:
    payment = shop.in_review(outcome_amount=Decimal("0.0039"))
    assert "it counts $20" in pgp("suspense", "resolve", number(payment), "--paid-usd", "20")
    assert shop.outcome(payment) == "credited"
    assert (shop.balance("suspense"), owed(shop) + shop.balance("income:fee")) == (0, units(payment))
    assert shop.letters() == []
    assert {step for step, _ in woken} >= {"invite.send", "notify.send"}
    assert shop.rows("SELECT action, subject, reason FROM audit_log ORDER BY id DESC LIMIT 2")[::-1] == [
        ("suspense.resolve", f"payment {number(payment)}", "a test asks for it"),
        ("dead letter handled", f"payment.review {shop.value('SELECT id FROM processed_payments')}", "a test asks for it"),
    ]
    with pytest.raises(Conflict, match="is credited"):
        pgp("suspense", "resolve", number(payment))


def test_unless_somebody_says_otherwise_it_counts_what_was_paid_of_what_was_wanted(shop: Counter, pgp: Operator) -> None:
    payment = shop.in_review(price_amount=Decimal(19))
    half = shop.in_review(outcome_amount=Decimal("0.0039"), actually_paid=Decimal("0.004"), price_amount=Decimal("19.5"))
    assert "it counts $20" in pgp("suspense", "resolve", number(payment))
    assert "it counts $10.00000000" in pgp("suspense", "resolve", number(half))


def test_a_payment_that_nobody_knows_or_that_makes_no_sum_is_refused(shop: Counter, pgp: Operator) -> None:
    for words in (("resolve",), ("reject",), ("refund", "--to", SENDER)):
        with pytest.raises(NotFound, match="pgp suspense list"):
            pgp("suspense", words[0], "123", *words[1:])
    for bad in ("-1", "NaN", "1e99", "ten"):
        with pytest.raises(BadInput):
            pgp("suspense", "resolve", number(shop.in_review()), "--paid-usd", bad)


@pytest.mark.parametrize("reason", ["", "   ", "x" * 1001, "two\nlines", "nul\0"])
def test_nothing_is_done_without_a_reason_that_can_be_kept(shop: Counter, pgp: Operator, reason: str) -> None:
    payment = shop.in_review()
    with pytest.raises(BadInput, match="say why"):
        pgp("suspense", "reject", number(payment), "--reason", reason, why=False)
    assert shop.outcome(payment) == "review: price_differs"


# --- sent back


def test_a_refund_sends_all_of_it_once_and_closes_the_payment_when_it_is_asked_for_again(shop: Counter, pgp: Operator, woken: list[tuple[str, str]]) -> None:
    payment = shop.in_review()
    shop.comes(payment)
    assert "transfer 1 sends 0.00792 ETH" in pgp("suspense", "refund", number(payment), "--to", SENDER)
    assert shop.rows("SELECT purpose, state, units, recipient FROM transfer") == [("refund", "requested", units(payment), SENDER)]
    assert ("transfer.sign", "1") in woken
    assert shop.letters() == []
    for again in (("refund", "--to", SENDER), ("resolve",)):
        with pytest.raises(Conflict, match="transfer 1 sends payment"):
            pgp("suspense", again[0], number(payment), *again[1:])
    assert shop.value("SELECT count(*) FROM transfer") == 1


def test_money_that_is_still_at_the_vendor_is_not_sent_from_our_wallet(shop: Counter, pgp: Operator) -> None:
    payment = shop.in_review()
    with pytest.raises(Conflict, match="still at the vendor"):
        pgp("suspense", "refund", number(payment), "--to", SENDER)
    assert shop.value("SELECT count(*) FROM transfer") == 0


def test_a_coin_that_our_wallet_does_not_send_is_not_refunded_by_it(shop: Counter, pgp: Operator) -> None:
    payment = shop.in_review(outcome_currency="bnbbsc", outcome_amount=Decimal("0.0284"), price_amount=Decimal(20))
    with pytest.raises(Conflict, match="sends no bnbbsc"):
        pgp("suspense", "refund", number(payment), "--to", SENDER)


@pytest.mark.parametrize(
    "address", ["", "0x0", "0x" + "00" * 20, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", OURS.lower(), "0xdAC17F958D2ee523a2206206994597C13D831ec7"]
)
def test_an_address_where_nobody_should_be_paid_is_refused(shop: Counter, pgp: Operator, address: str) -> None:
    payment = shop.in_review()
    shop.comes(payment)
    with pytest.raises(BadInput, match="nothing is sent to"):
        pgp("suspense", "refund", number(payment), "--to", address)


def test_two_operators_who_refund_at_once_send_it_once(shop: Counter, pgp: Operator) -> None:
    payment = shop.in_review()
    shop.comes(payment)
    outcomes = at_once(*(lambda: send_back(shop, pgp, payment) for _ in range(4)))
    assert sum(not isinstance(outcome, Conflict) for outcome in outcomes) == 1
    assert shop.value("SELECT count(*) FROM transfer") == 1


def test_the_database_itself_keeps_a_payment_from_being_sent_back_twice(shop: Counter) -> None:
    payment = shop.in_review()
    insert: Any = """
        INSERT INTO transfer (wallet_id, purpose, payment_id, asset, recipient, units)
        SELECT :wallet, 'refund', id, 'eth', :to, 1 FROM processed_payments WHERE provider_id = :id
    """
    with shop.db.transaction() as tx:
        tx.run(insert, wallet=shop.wallet_id, to=SENDER, id=number(payment))
    with pytest.raises(Conflict, match="transfer_live_payment"), shop.db.transaction() as tx:
        tx.run(insert, wallet=shop.wallet_id, to=SENDER, id=number(payment))


def test_of_a_refund_and_a_credit_at_once_only_one_happens(shop: Counter, pgp: Operator) -> None:
    payment = shop.in_review()
    shop.comes(payment)
    outcomes = at_once(
        lambda: send_back(shop, pgp, payment),
        lambda: pgp.does(lambda tx, why: payments.resolve(tx, number(payment), why)),
    )
    assert sum(not isinstance(outcome, Conflict) for outcome in outcomes) == 1
    assert (shop.value("SELECT count(*) FROM transfer") == 1) != (shop.outcome(payment) == "credited")


def test_more_that_comes_while_a_refund_is_on_its_way_waits_for_a_decision_of_its_own(shop: Counter, pgp: Operator) -> None:
    whole = shop.order().payment(price_amount=Decimal("19.99"))
    half = whole | {"outcome_amount": whole["outcome_amount"] / 2, "actually_paid": whole["actually_paid"] / 2}
    shop.pay(half, "partially_paid")
    shop.comes(half)
    pgp("suspense", "refund", number(half), "--to", SENDER)
    shop.pay(whole, "finished")
    assert shop.balance("suspense") == units(whole)
    with shop.db.transaction() as tx:
        # What HOSTPAY1 books when the transfer is final.
        payment = int(tx.value("SELECT id FROM processed_payments"))
        lines = [ledger.debit(ledger.suspense("eth"), units(half)), ledger.credit(ledger.in_flight("eth"), units(half))]
        assert ledger.post(tx, "suspense.refund", 1, lines)
        machine.empty_suspense(tx, payment, units=units(half))
    assert shop.outcome(whole) == "review: price_differs"
    assert shop.balance("suspense") == units(whole) - units(half)
    more = whole | {"outcome_amount": whole["outcome_amount"] * 2, "updated_at": 5}
    shop.pay(more, "finished")
    assert shop.balance("suspense") == units(more) - units(half)


# --- closed


def test_money_that_the_vendor_gave_back_leaves_suspense_for_where_it_came_from(shop: Counter, pgp: Operator) -> None:
    payment = shop.in_review()
    assert "is rejected" in pgp("suspense", "reject", number(payment))
    assert (shop.outcome(payment), shop.balance("suspense"), shop.balance("np_transit")) == ("rejected: price_differs", 0, 0)
    with pytest.raises(Conflict, match="only one in review"):
        pgp("suspense", "reject", number(payment))


def test_a_payment_without_money_is_closed_without_a_posting(shop: Counter, pgp: Operator) -> None:
    payment = shop.in_review(outcome_currency="shib", price_amount=Decimal(20))
    pgp("suspense", "reject", number(payment))
    assert shop.value("SELECT count(*) FROM ledger_tx WHERE kind <> 'wallet.open'") == 0


def test_money_that_has_come_is_not_closed_away(shop: Counter, pgp: Operator) -> None:
    payment = shop.in_review()
    shop.comes(payment)
    with pytest.raises(Conflict, match="in our wallet"):
        pgp("suspense", "reject", number(payment))


def test_money_that_comes_after_the_payment_was_closed_waits_in_suspense_and_can_be_sent_on(shop: Counter, pgp: Operator) -> None:
    payment = shop.in_review()
    pgp("suspense", "reject", number(payment))
    shop.comes(payment, keeps=5)
    assert (shop.balance("suspense"), shop.balance("np_transit"), shop.balance("arrivals")) == (units(payment) - 5, 0, 0)
    pgp("suspense", "refund", number(payment), "--to", SENDER)
    assert shop.value("SELECT units FROM transfer") == units(payment) - 5


# --- credited, and given back by the vendor afterwards


def test_what_had_not_come_is_taken_from_the_owner_and_from_the_fee(shop: Counter, pgp: Operator) -> None:
    payment = shop.taken_back()
    pgp("payment", "reverse", number(payment))
    assert shop.outcome(payment) == "reversed: refunded"
    assert (owed(shop), shop.balance("income:fee"), shop.balance("np_transit"), shop.balance("suspense")) == (0, 0, 0, 0)
    assert shop.rows("SELECT state FROM payout_accumulation") == [("reversed",)]
    assert shop.letters() == []
    with pytest.raises(Conflict, match="is reversed"):
        pgp("payment", "reverse", number(payment))


def test_what_had_come_and_waits_to_be_converted_goes_to_suspense(shop: Counter, pgp: Operator) -> None:
    payment = shop.taken_back()
    shop.comes(payment, keeps=7)
    assert "pgp suspense refund" in pgp("payment", "reverse", number(payment))
    assert (owed(shop), shop.balance("income:fee"), shop.balance("suspense"), shop.balance("expense:loss")) == (0, 0, units(payment), 0)
    pgp("suspense", "refund", number(payment), "--to", SENDER)
    assert shop.value("SELECT units FROM transfer") == units(payment)


def test_what_is_converting_already_is_the_platforms_loss_and_the_owner_keeps_it(shop: Counter, pgp: Operator) -> None:
    payment = shop.order().payment()
    shop.pay(payment, "finished")
    shop.comes(payment)
    convert(shop)
    shop.pay(payment, "refunded")
    pgp("payment", "reverse", number(payment))
    assert (shop.balance("expense:loss"), shop.balance("suspense")) == (units(payment), units(payment))
    assert (owed(shop, "converting"), shop.balance("income:fee")) == (units(payment) - fee(payment), fee(payment))
    assert shop.rows("SELECT state FROM payout_accumulation") == [("converting",)]


def test_of_a_payment_in_two_parts_the_owner_gives_back_what_is_not_converted(shop: Counter, pgp: Operator) -> None:
    whole = shop.order().payment()
    part = whole | {"outcome_amount": whole["outcome_amount"] / 4, "actually_paid": whole["actually_paid"] / 4}
    shop.pay(part, "partially_paid")
    shop.comes(part)
    convert(shop)
    shop.pay(whole, "finished", "refunded")
    first, second = (int(value) for (value,) in shop.rows("SELECT units FROM payout_accumulation ORDER BY part"))
    pgp("payment", "reverse", number(whole))
    assert (owed(shop), owed(shop, "converting")) == (0, first)
    assert shop.balance("expense:loss") == units(whole) - second
    assert shop.rows("SELECT state FROM payout_accumulation ORDER BY part") == [("converting",), ("reversed",)]


def test_what_came_back_from_a_conversion_meanwhile_is_taken_from_the_owner_after_all(shop: Counter, pgp: Operator) -> None:
    payment = shop.order().payment()
    shop.pay(payment, "finished")
    shop.comes(payment)
    convert(shop)
    shop.pay(payment, "refunded")
    unconvert(shop)
    pgp("payment", "reverse", number(payment))
    assert (owed(shop), shop.balance("expense:loss"), shop.balance("suspense")) == (0, 0, units(payment))


def test_a_payment_that_nobody_said_was_refunded_can_be_reversed_too(shop: Counter, pgp: Operator) -> None:
    payment = shop.order().payment()
    shop.pay(payment, "finished")
    pgp("payment", "reverse", number(payment))
    assert shop.rows("SELECT state FROM payout_accumulation") == [("reversed",)]
    with pytest.raises(Conflict, match="nothing of it"):
        pgp("payment", "reverse", number(shop.in_review()))


def test_money_that_comes_after_the_reversal_belongs_to_nobody_until_a_person_says(shop: Counter, pgp: Operator) -> None:
    payment = shop.taken_back()
    pgp("payment", "reverse", number(payment))
    shop.comes(payment)
    assert (shop.balance("suspense"), shop.balance("np_transit"), owed(shop)) == (units(payment), 0, 0)


def test_money_that_was_taken_back_is_not_asked_for_for_ever(shop: Counter, pgp: Operator) -> None:
    reversed_, rejected = shop.taken_back(), shop.in_review()
    pgp("payment", "reverse", number(reversed_))
    pgp("suspense", "reject", number(rejected))
    # Nobody here sends invites and messages: a day later they would be overdue.
    shop.value("UPDATE work SET state = 'done' WHERE step IN ('invite.send', 'notify.send') RETURNING 1")
    shop.later(25 * 3600)
    shop.settle(within_s=10**6)
    assert shop.rows("SELECT DISTINCT state FROM work WHERE step = 'payment.payout_hash'") == [("done",)]
    assert shop.letters() == []


def test_a_payment_that_is_kept_goes_on_and_the_vendors_repeated_word_changes_nothing(shop: Counter, pgp: Operator) -> None:
    payment = shop.taken_back()
    assert "1 parts of it go on" in pgp("payment", "keep", number(payment))
    assert shop.outcome(payment) == "credited"
    assert shop.rows("SELECT state FROM payout_accumulation") == [("pending",)]
    shop.pay(payment | {"updated_at": 7}, "refunded")
    assert (shop.outcome(payment), shop.letters()) == ("credited", [])
    with pytest.raises(Conflict, match="only a refunded one"):
        pgp("payment", "keep", number(payment))


def test_of_a_reversal_and_a_conversion_at_once_one_has_the_money(shop: Counter, pgp: Operator) -> None:
    payment = shop.order().payment()
    shop.pay(payment, "finished")
    shop.comes(payment)
    at_once(lambda: pgp.does(lambda tx, why: payments.reverse(tx, number(payment), why)), lambda: convert(shop))
    state, loss = shop.value("SELECT state FROM payout_accumulation"), shop.balance("expense:loss")
    assert (state, loss) in {("reversed", 0), ("converting", units(payment))}


def test_fees_on_money_that_has_not_come_are_no_gas_money_while_a_person_decides(shop: Counter) -> None:
    payment = shop.taken_back()
    with shop.db.reading() as tx:
        assert wallet.gas_money_wei(tx) == OPENING
    shop.comes(payment)
    with shop.db.reading() as tx:
        assert wallet.gas_money_wei(tx) == OPENING + fee(payment)


# --- lists


def test_the_lists_say_what_waits_and_where_its_money_is(shop: Counter, pgp: Operator) -> None:
    assert "nothing is in suspense" in pgp("suspense", "list", why=False)
    payment = shop.in_review()
    shop.comes(payment)
    told = pgp("suspense", "list", why=False)
    assert all(word in told for word in (number(payment), "price_differs", "0.00792 ETH", "in the wallet"))
    assert [(one["provider_id"], one["suspense_units"]) for one in pgp.reads("suspense", "list")] == [(number(payment), units(payment))]
    assert "price_differs" in pgp("payment", "show", number(payment), why=False)
    assert pgp.reads("payment", "show", number(payment))["has_come"] is True
    with pytest.raises(NotFound):
        pgp("payment", "show", "1", why=False)


# ---


def send_back(shop: Counter, pgp: Operator, payment: Payment) -> Any:
    """Ask for a refund."""
    with shop.db.reading() as tx:
        held = wallet.find(tx, OURS)
    assert held is not None
    return pgp.does(lambda tx, why: payments.refund(tx, number(payment), why, held=held, recipient=SENDER))


def convert(shop: Counter) -> None:
    """Begin a conversion of all that is pending, as MICROBATCH does."""
    from PGP_COMMON.money_machines import accumulations, conversions, ledger

    with shop.db.transaction() as tx:
        rows = accumulations.collect_pending(tx, "eth", limit=10)
        if not rows:
            return
        made = conversions.plan(tx, from_asset="eth", from_units=sum(row.units for row in rows), to_asset="usdterc20", correlation="c")
        accumulations.begin_conversion(tx, rows, conversion_id=made)
        lines = []
        for owner, wei in accumulations.per_owner(rows).items():
            lines += [ledger.debit(ledger.owed(owner, "pending", "eth"), wei), ledger.credit(ledger.owed(owner, "converting", "eth"), wei)]
        ledger.post(tx, "conv.start", made, lines)


def unconvert(shop: Counter) -> None:
    """Give up the conversion, as MICROBATCH does when the exchange refuses."""
    from PGP_COMMON.money_machines import accumulations, conversion_ends, conversions

    with shop.db.transaction() as tx:
        made = int(tx.value("SELECT max(id) FROM batch_conversions"))
        rows = accumulations.lock_of_conversion(tx, made)
        conversions.cancel(tx, made, reason="test")
        conversion_ends.put_back(tx, conversions.get(tx, made), rows)

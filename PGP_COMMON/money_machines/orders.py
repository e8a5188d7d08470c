"""Orders with their invoices, and the payments made for them: states and SQL."""

from __future__ import annotations

import enum

from PGP_COMMON.states import Machine


class Order(enum.StrEnum):
    """Who acts next stands beside each state."""

    CREATED = "created"  # written down, no invoice yet: we act
    INVOICED = "invoiced"  # the buyer has a link: the buyer acts
    PART_PAID = "part_paid"  # some of the price came: the buyer acts
    PAID = "paid"  # the price is met: the end
    EXPIRED = "expired"  # nobody paid in time: a late payment still counts
    CANCELLED = "cancelled"  # given up: a late payment still counts


ORDER_LIFE = Machine(
    "order",
    Order,
    Order.CREATED,
    {
        Order.CREATED: {Order.INVOICED, Order.CANCELLED, Order.EXPIRED},
        Order.INVOICED: {Order.PART_PAID, Order.PAID, Order.EXPIRED, Order.CANCELLED},
        Order.PART_PAID: {Order.PAID, Order.EXPIRED},
        Order.PAID: set(),
        Order.EXPIRED: {Order.PART_PAID, Order.PAID},
        Order.CANCELLED: {Order.PART_PAID, Order.PAID},
    },
)


class Payment(enum.StrEnum):
    """Who acts next stands beside each state."""

    OBSERVED = "observed"  # the vendor has seen it: the vendor acts
    CREDITED = "credited"  # booked to the owner: the end, unless it is refunded
    REVIEW = "review"  # it makes no sense yet: an operator acts
    REJECTED = "rejected"  # no money came: the end
    REVERSED = "reversed"  # taken back: the end


PAYMENT_LIFE = Machine(
    "payment",
    Payment,
    Payment.OBSERVED,
    {
        Payment.OBSERVED: {Payment.CREDITED, Payment.REVIEW, Payment.REJECTED},
        Payment.CREDITED: {Payment.REVIEW, Payment.REVERSED},
        Payment.REVIEW: {Payment.CREDITED, Payment.REJECTED, Payment.REVERSED},
        Payment.REJECTED: set(),
        Payment.REVERSED: set(),
    },
)

"""Pays the outcome of a payment to the merchant's wallet on the local chain, once."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from decimal import Decimal

from deploy.simulators.books import Row
from deploy.simulators.chain.node import NodeDownError, NodeError
from deploy.simulators.chain.purse import Purse, PurseEmptyError
from deploy.simulators.market import BY_CODE
from deploy.simulators.nowpayments.store import Vendor

POLL_S = 1.0


def payer(vendor: Vendor, purse: Purse) -> Callable[[threading.Event], None]:
    """Give the worker that pays what is due and sends again what the chain has lost."""

    def run(stop: threading.Event) -> None:
        look_at = 0.0
        while not stop.is_set():
            vendor.payout_bell.wait(POLL_S)
            vendor.payout_bell.clear()
            try:
                # The chain is not asked because of every payment: the bell rings for those that bring no payout as well.
                if pay_due(vendor, purse) or time.monotonic() >= look_at:
                    look_at = time.monotonic() + POLL_S
                    purse.push()
            except (NodeDownError, NodeError, PurseEmptyError) as error:
                # Whatever is due stays due; the next round tries again.
                print(f"payouts wait: {error}", file=sys.stderr, flush=True)
                stop.wait(POLL_S)

    return run


def pay_due(vendor: Vendor, purse: Purse) -> int:
    """Pay every outcome that is due, in the order of the payments' making; gives how many that were."""
    due = vendor.books.all("SELECT * FROM payments WHERE payout_state = 'due' ORDER BY created_at, id")
    for payment in due:
        token = vendor.account.token if payment["outcome_currency"] == "usdterc20" else None
        tx_hash = purse.send(f"payment:{payment['id']}", to=vendor.account.payout_address, units=outcome_units(payment), token=token)
        vendor.books.run("UPDATE payments SET payout_state = 'sent', payout_hash = ? WHERE id = ?", (tx_hash, payment["id"]))
    return len(due)


def outcome_units(payment: Row) -> int:
    """Give the outcome in wei, or in units of the token."""
    return int(Decimal(payment["outcome_amount"]).scaleb(BY_CODE[payment["outcome_currency"]].decimals))

"""Every SQL statement of the payment page: reads, by the order's view token."""

from __future__ import annotations

from dataclasses import dataclass

from PGP_COMMON.database import Transaction
from PGP_COMMON.money_machines.rows import Row


@dataclass(frozen=True)
class Standing(Row):
    """How an order stands. `rank`: how far the vendor is with a payment that is not credited; links for a rest, and for a blocked invite."""

    order_state: str
    rank: int
    rest_url: str | None
    invite_link: str | None


def standing(tx: Transaction, view_token: str) -> Standing | None:
    """How the order with this view token stands, or None."""
    return tx.one(
        Standing,
        """
        SELECT o.state AS order_state,
               coalesce((SELECT max(p.status_rank) FROM processed_payments p WHERE p.order_id = o.id AND p.state IN ('observed', 'review')), 0) AS rank,
               (SELECT i.url FROM invoice i WHERE i.order_id = o.id ORDER BY i.id DESC LIMIT 1) AS rest_url,
               (SELECT v.link FROM invite v JOIN entitlement e ON e.id = v.entitlement_id
                 WHERE e.order_id = o.id AND v.state = 'blocked' AND e.ends_at > pgp_now()) AS invite_link
          FROM orders o WHERE o.view_token = :view_token
        """,
        view_token=view_token,
    )

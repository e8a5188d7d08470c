"""HOSTPAY1: five steps behind three task doors."""

from __future__ import annotations

from PGP_COMMON.engine import Flow
from PGP_HOSTPAY_v1.hostpay1_orchestrator import closing, steps

STEPS: dict[str, Flow] = {
    "swap.fund": {"start": steps.ask_for_a_look},
    "swap.fundable": {"start": steps.fund_swap},
    "payout.direct": {"start": steps.fund_directly},
    "transfer.ended": {"start": steps.close_transfer},
    "swap.ended": {"start": closing.close_swap, "cost": closing.book_cost},
}

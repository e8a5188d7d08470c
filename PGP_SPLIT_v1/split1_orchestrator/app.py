"""The split1 service: which steps it runs."""

from __future__ import annotations

from PGP_COMMON.engine import Flow
from PGP_SPLIT_v1.split1_orchestrator import steps

STEPS: dict[str, Flow] = {
    "payout.start": {"start": steps.start},
    "payout.requote": {"start": steps.ask_again},
    "payout.quoted": {"start": steps.judge},
    "payout.swap_ready": {"start": steps.hand_over},
}

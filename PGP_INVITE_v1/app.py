"""The invite service: one step with two recovery points."""

from __future__ import annotations

from PGP_COMMON.engine import Flow
from PGP_COMMON.runtime import Runtime
from PGP_COMMON.speech import speaker
from PGP_INVITE_v1 import steps

STEPS: dict[str, Flow] = {"invite.send": {"start": steps.make_link, "send": steps.send_link}}


def make_clients(runtime: Runtime) -> steps.Clients:
    """The bot's voice, as the settings say."""
    return steps.Clients(speaker(runtime))

"""Memberships, entitlements and invites: who may be in a channel, and how he gets in."""

from __future__ import annotations

import enum

from PGP_COMMON.states import Machine


class Invite(enum.StrEnum):
    """Who acts next stands beside each state."""

    PLANNED = "planned"  # an entitlement waits to be delivered: we act
    LINKED = "linked"  # its link is known: we act
    SENT = "sent"  # the buyer has the link: the buyer acts
    JOINED = "joined"  # he is in: the end
    EXPIRED = "expired"  # he never came, or his time is over: the end
    BLOCKED = "blocked"  # the bot may not write to him: the buyer acts, with /start


INVITE_LIFE = Machine(
    "invite",
    Invite,
    Invite.PLANNED,
    {
        Invite.PLANNED: {Invite.LINKED, Invite.BLOCKED, Invite.EXPIRED},
        Invite.LINKED: {Invite.SENT, Invite.BLOCKED, Invite.EXPIRED},
        Invite.SENT: {Invite.JOINED, Invite.EXPIRED},
        Invite.JOINED: set(),
        Invite.EXPIRED: {Invite.JOINED},
        Invite.BLOCKED: {Invite.LINKED, Invite.SENT, Invite.JOINED, Invite.EXPIRED},
    },
)

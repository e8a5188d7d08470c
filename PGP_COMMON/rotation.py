"""This is the rotation of signing keys: which key signs, which is still accepted, and how much open work carries each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from PGP_COMMON.database import Transaction
from PGP_COMMON.directory import service_of
from PGP_COMMON.errors import Misconfigured
from PGP_COMMON.manifest import Edge
from PGP_COMMON.money_machines import standing
from PGP_COMMON.tokens import parse_keys


@dataclass(frozen=True)
class KeyInUse:
    """One key of a signing setting, by its id; the key itself is nowhere here."""

    setting: str
    kid: str
    signs: bool
    accepted: bool
    open_work: int


def keys_in_use(tx: Transaction, known: Mapping[str, str]) -> list[KeyInUse]:
    """Every key that a setting names or that open work carries. A step that the manifest no longer knows counts for the general key."""
    open_work: Counter[tuple[str, str]] = Counter()
    for signed in standing.signed_with(tx):
        open_work[_edge_of(signed.step).value, signed.kid] += signed.count
    named = {edge.value: _kids(known.get(edge.value, "")) for edge in Edge}
    pairs = [(setting, kid) for setting, kids in named.items() for kid in kids]
    pairs += sorted(set(open_work) - set(pairs))
    return [KeyInUse(setting, kid, named[setting][:1] == [kid], kid in named[setting], open_work[setting, kid]) for setting, kid in pairs]


def _edge_of(step_name: str) -> Edge:
    try:
        return service_of(step_name)[1].edge
    except KeyError:
        return Edge.GENERAL


def _kids(text: str) -> list[str]:
    try:
        return [key.kid for key in parse_keys(text)]
    except Misconfigured:
        return []

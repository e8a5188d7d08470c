"""Machines: a table that makes no sense is refused at import, and pictures and guards come from it."""

from __future__ import annotations

import enum

import pytest

from PGP_COMMON import errors
from PGP_COMMON.money_machines import MACHINES
from PGP_COMMON.states import Machine


class Light(enum.StrEnum):
    RED = "red"
    GREEN = "green"
    DARK = "dark"


def test_a_state_without_a_row_and_one_that_cannot_be_reached_are_refused() -> None:
    with pytest.raises(ValueError, match="no row"):
        Machine("light", Light, Light.RED, {Light.RED: {Light.GREEN}, Light.GREEN: set()})
    with pytest.raises(ValueError, match="cannot be reached"):
        Machine("light", Light, Light.RED, {Light.RED: {Light.GREEN}, Light.GREEN: set(), Light.DARK: set()})


def test_guards_ends_and_pictures_come_from_the_table() -> None:
    machine = Machine("light", Light, Light.RED, {Light.RED: {Light.GREEN}, Light.GREEN: {Light.RED, Light.DARK}, Light.DARK: set()})
    assert machine.sources(Light.RED) == ["green"]
    assert machine.ends() == {"dark"}
    assert "red --> green" in machine.mermaid()
    assert "[*] --> red" in machine.mermaid()


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_every_life_of_the_money_path_can_end(machine: Machine[enum.StrEnum]) -> None:
    assert machine.ends() or machine.name in {"order", "payment", "invite"}


def test_no_error_inherits_from_one_with_another_answer_to_what_next() -> None:
    roots = (errors.GiveUp, errors.TryAgain, errors.Lost, errors.Busy)
    family = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.PgpError)]
    for kind in family:
        assert kind is errors.PgpError or sum(issubclass(kind, root) for root in roots) == 1, kind
        assert kind.__doc__

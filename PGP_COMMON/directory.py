"""This is the directory: who runs a step, who has a name, read off the manifest once."""

from __future__ import annotations

from PGP_COMMON.fleet import FLEET
from PGP_COMMON.manifest import Service, Step

_BY_NAME = {service.name: service for service in FLEET}
_BY_STEP = {step.name: (service, step) for service in FLEET for step in service.steps}


def service_named(name: str) -> Service:
    """The service with this name; raises KeyError."""
    return _BY_NAME[name]


def service_of(step: str) -> tuple[Service, Step]:
    """Which service runs a step, and the step's entry; raises KeyError."""
    return _BY_STEP[step]


def steps() -> dict[str, tuple[Service, Step]]:
    """Every step with its service."""
    return dict(_BY_STEP)

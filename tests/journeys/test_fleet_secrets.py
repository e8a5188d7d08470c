"""A changed secret takes effect in the running fleet: nothing is started anew, nothing under way is lost."""

from __future__ import annotations

import json
import secrets
import time
from datetime import UTC, datetime

import pytest

from deploy.emulators import scheduler
from deploy.local.demo import acts
from deploy.local.demo.people import Owner
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.manifest import Edge
from tests.support.running_fleet import Fleet, deliver, intercepted, wait_until

pytestmark = pytest.mark.fleet


def everybody_has_read(fleet: Fleet) -> None:
    """Wait for as long as a service goes on with a secret that it has read."""
    time.sleep(int(fleet.known["SECRETS_TTL_S"]) + 0.5)


def test_the_ipn_secret_is_rotated_in_the_running_fleet(fleet: Fleet, shop: Owner) -> None:
    old, new = fleet.known["NOWPAYMENTS_IPN_SECRET"], secrets.token_hex(16)
    before = fleet.pids()
    buyer = fleet.ordered(shop)
    [body] = intercepted(fleet, buyer, ["finished"])
    try:
        assert deliver(fleet, body, new) == 401
        fleet.write_secrets(NOWPAYMENTS_IPN_SECRET=f"{new},{old}")
        wait_until(lambda: deliver(fleet, body, new) == 200, timeout_s=15, what="the new secret's effect")
        assert deliver(fleet, body, old) == 200
        acts.enter(fleet.world, buyer)
        fleet.write_secrets(NOWPAYMENTS_IPN_SECRET=new)
        wait_until(lambda: deliver(fleet, body, old) == 401, timeout_s=15, what="the old secret's end")
        assert deliver(fleet, body, new) == 200
        assert fleet.pids() == before
    finally:
        # The simulated vendor goes on signing with the old one.
        fleet.write_secrets(NOWPAYMENTS_IPN_SECRET=old)
        wait_until(lambda: deliver(fleet, body, old) == 200, timeout_s=15)


def open_work(fleet: Fleet, kid: str) -> int:
    """How much open work carries a key, as the operator's command has it."""
    found = json.loads(fleet.sound("secrets", "keys", "--json"))
    return sum(int(key["open_work"]) for key in found if key["setting"] == "WEBHOOK_SIGNING_KEY" and key["kid"] == kid)


def rung_with(fleet: Fleet, keys: str) -> int:
    """The answer to a schedule's call that is signed with these keys."""
    return scheduler.Bell({**fleet.known, "WEBHOOK_SIGNING_KEY": keys}).ring(scheduler.jobs()["sweep"], datetime.now(UTC))


def test_the_signing_key_is_rotated_in_the_running_fleet(fleet: Fleet, shop: Owner) -> None:
    old = fleet.known["WEBHOOK_SIGNING_KEY"].partition(",")[0]
    kid, new = f"k{secrets.token_hex(3)}", secrets.token_hex(32)
    before = fleet.pids()

    fleet.write_secrets(WEBHOOK_SIGNING_KEY=f"{kid}:{new},{old}")
    # Some have read the new key already and some have not: what they refuse to each other is sent again.
    fleet.sold(shop, "Early")
    everybody_has_read(fleet)
    last = fleet.value("SELECT max(id) FROM work")
    fleet.sold(shop, "Between")
    steps = [step.name for service in FLEET for step in service.steps if step.edge is Edge.GENERAL]
    others = "SELECT count(*) FROM work WHERE id > :last AND step = ANY(:steps) AND signature NOT LIKE :mark"
    assert fleet.value(others, last=last, steps=steps, mark=f"v1={kid}:%") == 0
    wait_until(lambda: open_work(fleet, old.partition(":")[0]) == 0, timeout_s=60, what="the end of all work with the old key")

    fleet.write_secrets(WEBHOOK_SIGNING_KEY=f"{kid}:{new}")
    everybody_has_read(fleet)
    assert rung_with(fleet, old) == 401
    assert rung_with(fleet, f"{kid}:{new}") == 200
    fleet.sold(shop, "Late")
    assert fleet.pids() == before
    assert fleet.sound("doctor") == "✅ nothing is wrong\n"

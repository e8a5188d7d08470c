"""What happens in the worlds of the crash matrix: small histories that together pass every step of the fleet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from PGP_COMMON.money_machines import transfers
from tests.simulation.checks import is_at_rest
from tests.simulation.fleet import DOLLAR, SimFleet
from tests.simulation.people import Town

# Schedules that a history does not need are silent in it, so that a run stays short.
QUIET = {"execute": 0, "remind": 0, "expire-subscriptions": 0, "members-reconcile": 0}
# What happens once a day, within the hour.
DAILY = {"payments-list": 10, "books-audit": 10}


@dataclass(frozen=True)
class Scenario:
    """One history: how its world begins, what is played, and which dead letters it is meant to end with."""

    name: str
    about: str
    play: Callable[[Town], None]
    every: Mapping[str, int] = field(default_factory=lambda: QUIET)
    letters: frozenset[str] = frozenset()
    usdt: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)


def rest(fleet: SimFleet, *, minutes: int = 600) -> None:
    """Let time go on until nothing is left to do; what is left then is for the checks to say."""
    fleet.pass_time()
    fleet.until(lambda: is_at_rest(fleet), minutes=minutes)


def _settled(fleet: SimFleet, count: int) -> Callable[[], bool]:
    return lambda: int(fleet.value("SELECT count(*) FROM split_payout_que WHERE state = 'settled'")) >= count


def sale(town: Town) -> None:
    """Three payments, two owners, one conversion, two payouts: one through the exchange, one without."""
    fleet = town.fleet
    ann, ben = town.owner("btc"), town.owner("usdterc20")
    subscribers = [(town.buyer(), ann), (town.buyer(), ben)]
    friend = town.buyer()
    for buyer, owner in subscribers:
        buyer.orders(owner)
    friend.orders(ben, donation="25")
    for buyer in (subscribers[0][0], subscribers[1][0], friend):
        buyer.pays()
    for buyer, owner in subscribers:
        assert buyer.joins(owner)
    fleet.until(_settled(fleet, 2), minutes=240)
    rest(fleet)


def refunds(town: Town) -> None:
    """The exchange sends back the conversion and then the payout; each is tried again, and comes through."""
    fleet = town.fleet
    fleet.changenow.fates = ["refund", "finish", "refund"]
    owner, buyer = town.owner("eth"), town.buyer()
    buyer.orders(owner)
    buyer.pays()
    fleet.until(_settled(fleet, 1), minutes=400)
    rest(fleet)


def lapses(town: Town) -> None:
    """Rates run out before anybody funds them: new quotes, until one holds."""
    fleet = town.fleet
    owner, buyer = town.owner("btc"), town.buyer()
    fleet.changenow.valid_s = 250
    buyer.orders(owner)
    buyer.pays()
    fleet.until(lambda: int(fleet.value("SELECT count(*) FROM quote WHERE conversion_id IS NOT NULL")) >= 2, minutes=90)
    fleet.changenow.valid_s = 1200
    fleet.until(lambda: int(fleet.value("SELECT count(*) FROM batch_conversions WHERE state = 'done'")) >= 1, minutes=90)
    fleet.changenow.valid_s = 250
    fleet.until(lambda: int(fleet.value("SELECT count(*) FROM quote WHERE payout_id IS NOT NULL")) >= 2, minutes=90)
    fleet.changenow.valid_s = 1200
    fleet.until(_settled(fleet, 1), minutes=240)
    rest(fleet)


def shapes(town: Town) -> None:
    """Half paid and the rest, too much, a second deposit, a notice that never came, and one that the vendor takes back."""
    fleet = town.fleet
    fleet.every = {**fleet.every, "check-threshold": 0, "process": 0}
    owner = town.owner("btc")
    half, much, silent, regret = town.buyer(), town.buyer(), town.buyer(), town.buyer()
    for buyer in (half, much, regret):
        buyer.orders(owner)
    half.pays(share="0.4")
    half.pays(nth=1)
    whole = much.pays(share="1.5")
    fleet.nowpayments.pay(str(much.invoice()), share="0.5", parent=whole, statuses=("waiting", "finished"))
    back = regret.pays()
    fleet.until(lambda: int(fleet.value("SELECT count(*) FROM processed_payments WHERE state = 'credited'")) >= 5, minutes=60)
    fleet.nowpayments.silent = {"waiting", "confirming", "confirmed", "sending", "finished"}
    silent.orders(owner)
    silent.pays()
    fleet.until(lambda: not fleet.nowpayments.ways, minutes=10)
    fleet.nowpayments.silent = set()
    fleet.nowpayments.refund(back)
    fleet.until(lambda: bool(fleet.value("SELECT count(*) = 1 FROM processed_payments WHERE state = 'review'")), minutes=60)
    rest(fleet, minutes=120)


def access(town: Town) -> None:
    """A link for one, a stranger, a reminder, a renewal, and the end of everybody's time."""
    fleet = town.fleet
    fleet.every = {"remind": 1, "expire-subscriptions": 1, "members-reconcile": 10, "execute": 0, "check-threshold": 0, "process": 0, "wallet-reconcile": 0}
    club, hall = town.owner(mode="single_use", days=3), town.owner(days=3)
    guest, member, late = town.buyer(), town.buyer(), town.buyer()
    for buyer, owner in ((guest, club), (member, hall), (late, hall)):
        buyer.orders(owner)
        buyer.pays()
    assert guest.joins(club)
    assert member.joins(hall)
    stranger = town.buyer()
    fleet.telegram.follows(stranger.id, fleet.telegram.buttons(member.id, "Join")[-1])
    rest(fleet, minutes=60)
    skip(fleet, hours=30)
    member.orders(hall)
    member.pays()
    rest(fleet, minutes=60)
    # Late's time ends while the bot lets him in.
    _ends_while_asking(fleet, late.id)
    fleet.telegram.follows(late.id, fleet.telegram.buttons(late.id, "Join")[-1])
    fleet.settle()
    rest(fleet, minutes=60)
    skip(fleet, hours=80)
    rest(fleet, minutes=60)


def _ends_while_asking(fleet: SimFleet, user_id: int) -> None:
    ends = fleet.value("SELECT max(e.ends_at) FROM entitlement e JOIN membership m ON m.id = e.membership_id WHERE m.buyer_id = :user", user=user_id)
    skip(fleet, until_hours=(ends - fleet.clock.now).total_seconds() / 3600 - 0.001, ring=False)
    inner = fleet.telegram._approveChatJoinRequest

    def late(said: dict[str, object]) -> bool | str:
        if said["user_id"] == user_id:
            fleet.clock.move_to(max(fleet.clock.now, ends + timedelta(seconds=1)))
        return inner(said)

    fleet.telegram._approveChatJoinRequest = late  # type: ignore[method-assign]


def skip(fleet: SimFleet, *, hours: float = 0, until_hours: float = 0, ring: bool = True) -> None:
    """Let hours go by in which no block is made; the schedules ring once at their end."""
    fleet.clock.move_to(fleet.clock.now + timedelta(hours=hours + until_hours))
    fleet.next_block = fleet.clock.after(12)
    fleet.next_minute = fleet.clock.now if ring else fleet.clock.after(60)
    if ring:
        fleet.pass_time()


def posts(town: Town) -> None:
    """An owner registers and is sent a mail; his channels get their posts."""
    fleet = town.fleet
    fleet.every = {"execute": 5, "remind": 0, "expire-subscriptions": 0, "members-reconcile": 0, "check-threshold": 0, "process": 0, "wallet-reconcile": 0}
    town.owner("btc")
    form = b'{"email":"new@example.com","password":"a long and unusual phrase"}'
    for _ in range(5):
        if fleet.call("pgp-webapi-v1", "/api/auth/register", body=form, headers={"Content-Type": "application/json"}) is not None:
            break
    fleet.until(lambda: len(fleet.mails) >= 1 and int(fleet.value("SELECT count(*) FROM broadcast_post WHERE state = 'sent'")) >= 2, minutes=60)
    rest(fleet, minutes=60)


def weather(town: Town) -> None:
    """A transfer whose fees are overtaken and which is replaced; a block that is taken back from under it; two in line."""
    fleet = town.fleet
    fleet.every = {**QUIET, "check-threshold": 0, "process": 0, "payments-reconcile": 0}
    people = [f"0x{fleet.dice.getrandbits(160):040x}" for _ in range(2)]
    with fleet.db.transaction() as tx:
        wallet_id = int(tx.value("SELECT id FROM wallet"))
    for person, units in zip(people, (3 * DOLLAR, 4 * DOLLAR), strict=True):
        withdraw(fleet, wallet_id, person, units)
    fleet.until(lambda: int(fleet.value("SELECT count(*) FROM transfer_attempt")) >= 2, minutes=10)
    fleet.chain.spike(8)
    for node in fleet.chain.nodes:
        node.pool.clear()
    fleet.until(lambda: int(fleet.value("SELECT count(*) FROM transfer_attempt")) >= 3, minutes=30)
    fleet.until(lambda: int(fleet.value("SELECT count(*) FROM transfer WHERE state = 'mined'")) >= 1, minutes=30)
    fleet.chain.reorganise(3)
    rest(fleet, minutes=120)
    for person, units in zip(people, (3 * DOLLAR, 4 * DOLLAR), strict=True):
        assert [sent for _, sent in fleet.chain.received(person, token=True)] == [units]


def withdraw(fleet: SimFleet, wallet_id: int, recipient: str, units: int) -> None:
    """An operator withdraws the platform's own USDT."""
    runtime = fleet.apps["pgp-hostpay1-v1"].extensions["pgp"]

    def ask() -> None:
        with runtime.db.transaction() as tx:
            made = transfers.request(tx, wallet_id=wallet_id, purpose="treasury", asset="usdterc20", recipient=recipient, units=units, reason="equity")
            assert made is not None
            tx.send("transfer.sign", made)

    fleet.within("pgp-hostpay1-v1", ask)


SCENARIOS = (
    Scenario("sale", "from /start to the owner's coin", sale),
    Scenario("refunds", "the exchange sends conversion and payout back", refunds, usdt=50 * DOLLAR),
    Scenario("lapses", "rates run out", lapses),
    Scenario("shapes", "payments in all their shapes", shapes, every={**QUIET, **DAILY}, letters=frozenset({"refunded"})),
    Scenario("access", "links, strangers, reminders, renewals, ends", access),
    Scenario("posts", "mails and posts", posts),
    Scenario("weather", "fees, evictions, re-organisations", weather, usdt=50 * DOLLAR),
)

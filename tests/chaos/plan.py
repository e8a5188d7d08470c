"""The plan of a run, drawn from its seed: who buys what and how he pays, and what goes wrong when. Pure: the same seed is the same plan."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from deploy.simulators.changenow.addresses import payin_address
from deploy.simulators.market import BY_CODE
from PGP_COMMON import addresses
from PGP_COMMON.fleet import FLEET
from tests.chaos import operations
from tests.chaos.shapes import RULES, Shape
from tests.chaos.troubles import Trouble, draw_troubles

# What owners are paid in, the usual ones more often: those that our own chain carries can be compared with it to the unit.
COINS = (
    *("btc", "eth", "usdttrc20", "usdterc20", "eth", "usdterc20", "ltc", "usdcerc20", "usdtbsc", "doge", "trx", "sol", "usdtmatic", "bnbbsc", "maticmainnet"),
    *("usdterc20", "eth", "btc"),
)
# What buyers pay in: the simulated vendor takes all of these and pays out ETH.
PAY_COINS = ("eth", "btc", "usdttrc20", "ltc", "usdterc20", "trx")
# A buyer who asks for more than a dozen links an hour is turned away by the bot, and each purchase may need three.
MOST_PURCHASES = 3
# Whoever has not paid in two minutes is late here; in life that is a week.
ORDER_LIFETIME_S = 120


@dataclass(frozen=True)
class OwnerPlan:
    """One owner: what he is paid in and where, from which balance on, what his tier costs."""

    number: int
    asset: str
    address: str
    user_id: int
    open_chat: int
    closed_chat: int
    threshold_usd: str
    price_usd: str
    days: int
    single_use: bool

    @property
    def title(self) -> str:
        """The name of his closed channel, by which the bot speaks of it; no other's contains it."""
        return f"Circle no. {self.number}."


@dataclass(frozen=True)
class Purchase:
    """One thing that a buyer wants: of whom, how he pays for it, in which coin; `amount_usd` is a donation's, `lends` whether a stranger tries his link."""

    owner: int
    shape: Shape
    coin: str
    pace_s: float
    amount_usd: str = ""
    lends: bool = False


@dataclass(frozen=True)
class BuyerPlan:
    """One buyer: when he comes, and what he wants, one thing after the other."""

    user_id: int
    name: str
    at_s: float
    purchases: tuple[Purchase, ...]


@dataclass(frozen=True)
class Plan:
    """A whole run. Times are seconds since the storm began."""

    seed: int
    storm_s: float
    owners: tuple[OwnerPlan, ...]
    buyers: tuple[BuyerPlan, ...]
    troubles: tuple[Trouble, ...]

    @property
    def payments(self) -> int:
        """How many payments the vendor will see."""
        return sum(RULES[purchase.shape].payments for buyer in self.buyers for purchase in buyer.purchases)


def draw(seed: int, *, payments: int, owners: int, storm_s: float) -> Plan:
    """Draw a run: at least so many payments over so many owners, in a storm of so many seconds."""
    # A generator for each part, so that more payments do not move the kills of the same seed.
    people, weather = random.Random(f"people {seed}"), random.Random(f"weather {seed}")
    selling = tuple(_owner(people, seed, number) for number in range(owners))
    buying = tuple(_buyers(people, payments=payments, owners=selling, storm_s=storm_s))
    troubles = draw_troubles(weather, storm_s=storm_s, services=[service.name for service in FLEET], queues=queues(), vendors=operations.everything())
    return Plan(seed, storm_s, selling, buying, troubles)


def queues() -> tuple[str, ...]:
    """Every queue of the manifest."""
    return tuple(route.queue.name for service in FLEET for route in service.routes if route.queue)


def _owner(dice: random.Random, seed: int, number: int) -> OwnerPlan:
    asset = COINS[number % len(COINS)]
    chat = -(10**12) - dice.randrange(10**10) * 2
    return OwnerPlan(
        number=number,
        asset=asset,
        address=_address(BY_CODE[asset].network, f"owner {number} of run {seed}"),
        user_id=2 * 10**9 + dice.randrange(10**9),
        open_chat=chat,
        closed_chat=chat - 1,
        threshold_usd=dice.choice(("20", "20", "35", "50", "90")),
        price_usd=dice.choice(("9.99", "14.50", "19.00", "25.00", "49.00")),
        days=dice.choice((7, 30, 30, 90)),
        single_use=number % 8 == 5,
    )


def _address(network: str, name: str) -> str:
    """An address that somebody's wallet could have. Half of all plausible Solana addresses are nobody's, and the product knows that."""
    candidates = (payin_address(network, name, str(turn)) for turn in itertools.count())
    return next(address for address in candidates if addresses.problem(addresses.FAMILIES[network], address) is None)


def _buyers(dice: random.Random, *, payments: int, owners: Sequence[OwnerPlan], storm_s: float) -> Iterator[BuyerPlan]:
    """Buyers until so many payments are planned; they come all through the storm, the last ones a little before its end, and who waits comes sooner."""
    made, number = 0, 0
    while made < payments:
        number += 1
        purchases: list[Purchase] = []
        for _ in range(min(MOST_PURCHASES, dice.choices((1, 2, 3), (70, 20, 10))[0])):
            # Now and then he stays with the same owner: a renewal.
            same = bool(purchases) and dice.random() < 0.5
            purchases.append(_purchase(dice, purchases[-1].owner if same else dice.randrange(len(owners)), owners))
        made += sum(RULES[purchase.shape].payments for purchase in purchases)
        waits_s = ORDER_LIFETIME_S * sum(purchase.shape is Shape.LATE for purchase in purchases)
        at_s = round(dice.uniform(0, max(0.0, 0.85 * storm_s - waits_s)), 1)
        yield BuyerPlan(10**9 + dice.randrange(10**9), f"Buyer {number}", at_s, tuple(purchases))


def _purchase(dice: random.Random, owner: int, owners: Sequence[OwnerPlan]) -> Purchase:
    shape = dice.choices(list(RULES), [rule.weight for rule in RULES.values()])[0]
    donates = dice.random() < 0.2
    lends = not donates and not owners[owner].single_use and dice.random() < 0.1
    amount = dice.choice(("5", "12.50", "25", "80")) if donates else ""
    return Purchase(owner, shape, dice.choice(PAY_COINS), dice.choice((0, 0, 0.3, 1.0)), amount, lends)


def as_json(plan: Plan) -> str:
    """The whole plan, as `--plan` prints it for a machine."""
    return json.dumps(asdict(plan), indent=1)


def lines(plan: Plan) -> Iterator[str]:
    """The plan as a person reads it: who, how, and every trouble in order of time."""
    yield f"seed {plan.seed}: {plan.payments} payments of {len(plan.buyers)} buyers to {len(plan.owners)} owners, a storm of {plan.storm_s:.0f} s"
    yield "owners are paid in: " + _counted(owner.asset for owner in plan.owners)
    shapes = [purchase.shape.value for buyer in plan.buyers for purchase in buyer.purchases]
    yield "purchases are paid: " + _counted(shapes)
    yield f"donations among them: {sum(bool(purchase.amount_usd) for buyer in plan.buyers for purchase in buyer.purchases)}"
    yield "troubles: " + _counted(trouble.kind for trouble in plan.troubles)
    yield from (f"{trouble.at_s:7.1f} s  {trouble}" for trouble in plan.troubles)


def _counted(words: Any) -> str:
    return ", ".join(f"{word} {count}" for word, count in Counter(words).most_common())

"""The buyers of a run: each follows a link into the bot, pays as his plan says, and asks to be let in."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import ROUND_UP, Decimal
from typing import Any, Final

from deploy.local.demo.world import NoAnswerError, PlayError, World
from deploy.simulators.market import BY_CODE
from PGP_COMMON.errors import Busy
from tests.chaos.fleet import Fleet
from tests.chaos.mailbox import Mailbox, button
from tests.chaos.owners import Shop
from tests.chaos.plan import ORDER_LIFETIME_S, BuyerPlan, Purchase
from tests.chaos.shapes import RULES, Shape

# How long somebody waits for his payment link before he asks once more: a process that dies with his update costs a lease and a sweep.
LINK_PATIENCE_S: Final = 150.0
LINK_TRIES: Final = 3
# How long he waits for the link to the rest, for the credit of what he paid, and for his invite.
CREDIT_PATIENCE_S: Final = 420.0
INVITE_PATIENCE_S: Final = 140.0
LATE_S: Final = ORDER_LIFETIME_S + 25
# What nobody credits: half of what the floor asks for.
WORTHLESS_ETH: Final = "0.0001"
# How the messages begin that say that he has access, or longer.
INVITED: Final = ("🔑", "🔁")
STRANGERS: Final = 4 * 10**9


@dataclass
class Made:
    """What a purchase has become: the vendor's payments with the shapes of the letters that they end in, and whether access was bought."""

    buyer: BuyerPlan
    purchase: Purchase
    payments: list[str] = field(default_factory=list)
    problem: str = ""
    is_over: bool = False


class Crowd:
    """All buyers, each in a thread of his own from his time on."""

    def __init__(self, fleet: Fleet, shops: Sequence[Shop], plans: Sequence[BuyerPlan], *, seed: int) -> None:
        """Take who buys from whom; nobody comes before `open`."""
        self.fleet, self.shops, self.plans, self.seed = fleet, shops, plans, seed
        self.mail = Mailbox(fleet.world)
        self.made: list[Made] = []
        self.over = threading.Event()
        self.counts: Counter[str] = Counter()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def open(self) -> None:
        """Let them come, each at his time."""
        self._began = time.monotonic()
        self._threads = [threading.Thread(target=self._come, args=(plan,), daemon=True, name=plan.name) for plan in self.plans]
        for thread in self._threads:
            thread.start()

    @property
    def left(self) -> int:
        """How many have not done what they wanted yet."""
        return sum(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        """Send everybody home."""
        self.over.set()
        for thread in self._threads:
            thread.join(30)
        self.mail.close()

    def _come(self, plan: BuyerPlan) -> None:
        if self.over.wait(max(0.0, self._began + plan.at_s - time.monotonic())):
            return
        for purchase in plan.purchases:
            made = Made(plan, purchase)
            with self._lock:
                self.made.append(made)
            try:
                Journey(self, made).go()
            except PlayError as error:
                made.problem = str(error)
            made.is_over = True


class Journey:
    """One purchase from the link to the door."""

    def __init__(self, crowd: Crowd, made: Made) -> None:
        """Take whose purchase it is."""
        self.crowd, self.made = crowd, made
        self.world: World = crowd.fleet.world
        self.buyer, self.purchase = made.buyer, made.purchase
        self.shop = crowd.shops[made.purchase.owner]
        self.dice = random.Random(f"{crowd.seed} {made.buyer.user_id} {made.buyer.purchases.index(made.purchase)}")
        self.user = {"id": self.buyer.user_id, "first_name": self.buyer.name}
        self.after = crowd.mail.mark(self.buyer.user_id)
        self.seen: set[str] = set()

    def go(self) -> None:
        """Do everything that the shape says. Raises PlayError when something that must come does not."""
        invoice = self._link()
        shape = self.purchase.shape
        if shape is Shape.NEVER:
            return
        if shape is Shape.LATE and self.crowd.over.wait(LATE_S):
            return
        first = self._pay(invoice)
        if shape is Shape.RESTED:
            self._pay(self._wait_for_link("the link to the rest", CREDIT_PATIENCE_S), part=Decimal(1))
        elif shape is Shape.REPEATED:
            self._deposit_again(first)
        elif shape is Shape.RESENT:
            self._have_told_again(first)
        elif shape is Shape.REFUNDED:
            self._have_refunded(first)
        if not self.purchase.amount_usd and shape not in {Shape.ABANDONED, Shape.WORTHLESS}:
            self._enter()

    # The link.

    def _link(self) -> str:
        """Ask the bot for a payment link, again when none comes; gives the vendor's invoice."""
        for _ in range(LINK_TRIES):
            if self.purchase.amount_usd:
                self._say(f"/start {self.shop.donate}")
                asked = self._wait(lambda message: button_data(message, "a:"), LINK_PATIENCE_S)
                if asked is None:
                    continue
                self._say(self.purchase.amount_usd)
            else:
                self._say(f"/start {self.shop.subscribe}")
            found = self._wait(self._offers, LINK_PATIENCE_S)
            if found is not None:
                return self._invoice_of(found)
        raise PlayError(f"{self.buyer.name} got no payment link from {self.shop.plan.title}")

    def _wait_for_link(self, what: str, patience_s: float) -> str:
        found = self._wait(self._offers, patience_s)
        if found is None:
            raise PlayError(f"{self.buyer.name} waited {patience_s:.0f} s for {what} of {self.shop.plan.title}")
        return self._invoice_of(found)

    def _offers(self, message: Any) -> bool:
        """Whether a message has a payment link for this channel that he has not used yet."""
        url = button(message, "Pay")
        return url is not None and self.shop.plan.title in message["text"] and url.partition("iid=")[2] not in self.seen

    def _invoice_of(self, message: Any) -> str:
        invoice = str(button(message, "Pay")).partition("iid=")[2]
        self.seen.add(invoice)
        return invoice

    def _wait(self, wanted: Any, patience_s: float) -> Any:
        return self.crowd.mail.wait(self.buyer.user_id, wanted, after=self.after, patience_s=patience_s, over=self.crowd.over)

    def _say(self, text: str) -> None:
        # Said twice it is another order, which nobody pays.
        self.world.control("telegram", "updates", {"user": self.user, "text": text}, repeatable=True)

    # The money.

    def _pay(self, invoice: str, *, part: Decimal | None = None) -> str:
        """Pay an invoice in the coin of the plan; gives the vendor's payment."""
        shape, coin = self.purchase.shape, self.purchase.coin
        order: dict[str, Any] = {"pay_currency": coin, "pace_s": self.purchase.pace_s}
        part = part or RULES[shape].part
        if part != 1:
            order["actually_paid"] = self._amount(part)
        if shape is Shape.AT_ONCE:
            order["statuses"] = ["finished"]
        if shape is Shape.SILENT:
            order["ipns"] = False
        if shape is Shape.WORTHLESS:
            order["outcome_amount"] = WORTHLESS_ETH
        return self._paid(f"invoices/{invoice}/pay", order, lambda row: str(row["invoice_id"]) == invoice)

    def _amount(self, part: Decimal) -> str:
        """So much of the price in the coin that is paid in, rounded as the vendor does."""
        price = Decimal(self.purchase.amount_usd or self.shop.plan.price_usd)
        coin = BY_CODE[self.purchase.coin]
        return format((price * part / coin.usd).quantize(Decimal(1).scaleb(-min(8, coin.decimals)), ROUND_UP), "f")

    def _paid(self, path: str, order: dict[str, Any], mine: Any) -> str:
        """Pay, once: when no answer comes, the vendor's books say whether it was done."""
        known = {str(row["id"]) for row in self._payments() if mine(row)}
        for _ in range(5):
            try:
                payment = str(self.world.control("nowpayments", path, order)["payment_id"])
            except NoAnswerError:
                done = [str(row["id"]) for row in self._payments() if mine(row) and str(row["id"]) not in known]
                if not done:
                    continue
                payment = done[0]
            self.made.payments.append(payment)
            self.crowd.counts["payments"] += 1
            return payment
        raise PlayError(f"{self.buyer.name} could not pay: {path}")

    def _payments(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.world.control("nowpayments", "books/payments")
        return found

    def _deposit_again(self, first: str) -> None:
        """Send half of it once more to the same address, sometimes before anybody has seen the first."""
        self.crowd.over.wait(self.dice.choice((0, 0, 2, 20)))
        order = {"actually_paid": self._amount(Decimal("0.5")), "pace_s": self.purchase.pace_s}
        self._paid(f"payments/{first}/deposit", order, lambda row: str(row["parent_payment_id"]) == first)

    def _have_told_again(self, first: str) -> None:
        for _ in range(self.dice.randint(1, 4)):
            self.crowd.over.wait(self.dice.choice((0, 1, 10)))
            self.world.control("nowpayments", f"payments/{first}/resend", {}, repeatable=True)

    def _have_refunded(self, first: str) -> None:
        """The vendor gives it back once we have credited it."""
        until = time.monotonic() + CREDIT_PATIENCE_S
        while time.monotonic() < until and not self.crowd.over.wait(2.0):
            if self._state(first) == "credited":
                self.world.control("nowpayments", f"payments/{first}/pay", {"statuses": ["refunded"]}, repeatable=True)
                return
        raise PlayError(f"payment {first} was not credited in {CREDIT_PATIENCE_S:.0f} s")

    def _state(self, payment: str) -> str | None:
        try:
            with self.crowd.fleet.db.reading() as tx:
                found = tx.value("SELECT state FROM processed_payments WHERE provider_id = :id", id=payment)
        except Busy:
            return None
        return None if found is None else str(found)

    # The door.

    def _enter(self) -> None:
        """Follow the invite; who is in already hears only that he may stay longer.

        A message whose answer was lost three times may not have come: then he asks the bot. Who is not let in for now asks again at the end.
        """
        message = self._wait(self._invites, INVITE_PATIENCE_S)
        for _ in range(2):
            if message is None:
                self._say("/start")
                message = self._wait(self._invites, INVITE_PATIENCE_S)
        link = button(message, "Join") if message else None
        if link is None:
            return
        if self.purchase.lends:
            self._join({"id": STRANGERS + self.buyer.user_id, "first_name": "Stranger"}, link)
        self._join(self.user, link)

    def _invites(self, message: Any) -> bool:
        """Whether a message says that he has access to this channel, or longer."""
        return self.shop.plan.title in message["text"] and message["text"][0] in INVITED

    def _join(self, user: dict[str, Any], link: str) -> None:
        try:
            self.world.control("telegram", "updates", {"user": user, "join": link}, repeatable=True)
        except PlayError as error:
            # He is in already, or his link has been used: what the books say at the end counts.
            self.crowd.counts[f"joins refused: {str(error)[-60:]}"] += 1


def button_data(message: Any, start: str) -> bool:
    """Whether a message has a button whose data begins so."""
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])
    return any(str(found.get("callback_data", "")).startswith(start) for row in rows for found in row)

"""The shape of the fleet's manifest: what a service, a route, a queue and a step are made of."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class Door(enum.Enum):
    """Who may knock, and therefore how an error is answered."""

    PUBLIC = "public"  # browsers and API users: 4xx/5xx with a problem body
    WEBHOOK = "webhook"  # vendors: 200 once stored, 401 if the signature is bad
    TASK = "task"  # our own queues: 200 unless our own infrastructure is down
    SCHEDULE = "schedule"  # the scheduler: as TASK, keyed by the schedule time


class Proof(enum.Enum):
    """How a caller shows who he is."""

    NONE = "nothing (public)"
    OWNER = "owner's access token (JWT, EdDSA)"
    NOWPAYMENTS = "x-nowpayments-sig (HMAC-SHA512 over the body)"
    TELEGRAM = "X-Telegram-Bot-Api-Secret-Token"
    TASK = "PGP-Sig (HMAC-SHA256), in the cloud OIDC as well"
    SCHEDULE = "PGP-Sig (HMAC-SHA256) locally, OIDC in the cloud"


class Edge(enum.Enum):
    """Which signing key a step's messages carry (product.md 7.9)."""

    GENERAL = "WEBHOOK_SIGNING_KEY"
    WALLET = "TPS_HOSTPAY_SIGNING_KEY"


@dataclass(frozen=True)
class Budget:
    """How often a step may fail for a passing reason before it is dead: only `TryAgain` and `Lost` spend it."""

    name: str
    attempts: int
    first_wait_s: int
    longest_wait_s: int


# money.md 2: a passing fault of our own is over in minutes; a vendor may be away for hours; a contradiction does not heal.
TRANSIENT = Budget("transient", attempts=20, first_wait_s=2, longest_wait_s=60)
VENDOR = Budget("vendor", attempts=50, first_wait_s=2, longest_wait_s=600)
ONCE = Budget("once", attempts=1, first_wait_s=1, longest_wait_s=1)


@dataclass(frozen=True)
class Queue:
    """A Cloud Tasks queue; the numbers are product.md 7.8's: finite attempts, back-off from 2 s to 5 min."""

    name: str
    max_concurrent: int = 8
    per_second: int = 500
    max_attempts: int = 50
    max_retry_s: int = 6 * 3600
    min_backoff_s: int = 2
    max_backoff_s: int = 300
    doublings: int = 7


@dataclass(frozen=True)
class Schedule:
    """A cron job that knocks at a schedule door; the step that its work row is for."""

    name: str
    cron: str
    step: str


@dataclass(frozen=True)
class Route:
    """One address of a service. A route is proved by its door unless it says otherwise."""

    path: str
    door: Door
    methods: tuple[str, ...] = ("POST",)
    queue: Queue | None = None
    schedule: Schedule | None = None
    proof: Proof = Proof.NONE
    # Why anybody may knock without proof; empty on every route that asks for proof.
    public_because: str = ""
    # Whether the edge (load balancer) lets it through from outside.
    edge: bool = False

    @property
    def key(self) -> str:
        """The route's name in documents: method and path."""
        return f"{'/'.join(self.methods)} {self.path}"


@dataclass(frozen=True)
class Step:
    """A kind of work: where it runs, what its subject is, how often it may fail, which vendor it calls."""

    name: str
    route: str
    subject: str
    budget: Budget = TRANSIENT
    vendor: str = ""
    switch: str = ""
    edge: Edge = Edge.GENERAL
    lease_s: int = 90


@dataclass(frozen=True)
class Move:
    """One legal move of one machine that a service may make."""

    machine: str
    source: str
    target: str


def moves(machine: str, **table: str) -> tuple[Move, ...]:
    """Write moves as `source="target other_target"`."""
    return tuple(Move(machine, source, target) for source, targets in table.items() for target in targets.split())


@dataclass(frozen=True)
class Size:
    """What one instance gets, and how many there may be."""

    memory_mib: int = 512
    min_instances: int = 0
    max_instances: int = 4
    threads: int = 8
    pool: int = 2
    timeout_s: int = 120


@dataclass(frozen=True)
class Service:
    """One program of the fleet."""

    name: str
    app: str
    purpose: str
    routes: tuple[Route, ...]
    steps: tuple[Step, ...] = ()
    sends: tuple[str, ...] = ()
    moves: tuple[Move, ...] = ()
    settings: tuple[str, ...] = ()
    size: Size = field(default_factory=Size)
    # Publishes wake-ups from a thread after it has answered (a vendor waits at most 3 s for it).
    answers_first: bool = False
    # Libraries that this service alone needs at start; every other one must not load them.
    imports: tuple[str, ...] = ()

    @property
    def short(self) -> str:
        """The name without the frame: `split2` for pgp-split2-v1."""
        return self.name.removeprefix("pgp-").removesuffix("-v1")

    @property
    def url_setting(self) -> str:
        """The setting that holds the service's address: PGP_SPLIT2_URL for pgp-split2-v1."""
        return f"PGP_{self.short.upper().replace('-', '_')}_URL"

    @property
    def folder(self) -> str:
        """The top-level package the service lives in."""
        return self.app.split(".")[0]

    def route(self, path: str) -> Route:
        """The route at a path; raises KeyError."""
        for route in self.routes:
            if route.path == path:
                return route
        raise KeyError(path)

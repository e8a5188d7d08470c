"""The sandbox: what stands in for the outside world where there is none, as settings of a local fleet and as a profile of containers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PGP_COMMON.rendering.containers import DONE, HEALTHY, PORT, SANDBOX_IMAGE, STARTED, answers, environment, listens, program
from PGP_COMMON.rendering.tables import notice

SOURCE = "PGP_COMMON/rendering/sandbox.py"
# A block takes a second here instead of twelve, and nobody at the other end minds being asked: what is polled is polled every second or two.
QUICK = {
    "SECRETS_TTL_S": "5",
    "WAKE_GRACE_S": "15",
    "PAYOUT_HASH_POLL_S": "2",
    "SWAP_POLL_S": "2",
    "CHAIN_POLL_S": "1",
    "ARRIVAL_POLL_S": "2",
    # Everybody here has one address, and the demonstration signs four owners in at once.
    "LOGINS_PER_MINUTE": "300",
    "API_PER_MINUTE": "3000",
}
BOT_USERNAME = "PayGatePrimeLocalBot"
CHAIN_ID = 31337
VENDORS = ("nowpayments", "changenow", "telegram", "prices", "sendgrid")
# The second RPC address is another provider's, and sees a block later than the first.
SECOND_NODE = "laggard"
NODE, NODE_PORT = "anvil", 8545
BOOKS = "/books"
# A name that browsers take for this machine and containers for the edge, so that a link works for both.
HOST, EDGE_PORT = "pgp.localhost", 8080
# A project of its own, with volumes of its own: whatever is done to the sandbox, production's database and secrets are out of its reach.
PROJECT = "pgp-sandbox"
# What the secrets job makes the addresses of; they are secret elsewhere.
RPC_URLS = f"http://{NODE}:{NODE_PORT},http://{SECOND_NODE}:{PORT}"


def vendor_urls(simulators: Mapping[str, str]) -> dict[str, str]:
    """Where the vendors are: the same paths behind another host."""
    paths = {
        "NOWPAYMENTS_URL": ("nowpayments", "/v1"),
        "CHANGENOW_URL": ("changenow", "/v2"),
        "TELEGRAM_API_URL": ("telegram", ""),
        "COINGECKO_URL": ("prices", "/coingecko"),
        "CRYPTOCOMPARE_URL": ("prices", "/cryptocompare"),
        "ONEINCH_URL": ("prices", "/oneinch"),
        "SENDGRID_URL": ("sendgrid", ""),
    }
    return {name: simulators[simulator] + path for name, (simulator, path) in paths.items() if simulator in simulators}


def secrets_of() -> dict[str, tuple[str, ...]]:
    """What each container of the sandbox is given: the credentials that it checks, and the keys that the vendor or the chain's own account holds."""
    wallet = ("HOST_WALLET_ETH_ADDRESS",)
    return {
        "nowpayments": ("NOWPAYMENTS_API_KEY", "NOWPAYMENTS_IPN_SECRET", "NOWPAYMENTS_EMAIL", "NOWPAYMENTS_PASSWORD", *wallet, "nowpayments", "token"),
        "changenow": ("CHANGENOW_API_KEY", "changenow", "token"),
        "telegram": ("TELEGRAM_BOT_TOKEN",),
        "prices": ("COINGECKO_API_KEY", "CRYPTOCOMPARE_API_KEY", "ONEINCH_API_KEY", "token"),
        "sendgrid": ("SENDGRID_API_KEY",),
        "chain": ("token_owner", "nowpayments_address", "changenow_address", *wallet),
        "wallet": ("DATABASE_URL", "ETHEREUM_RPC_URL", *wallet, "HOST_WALLET_USDT_ADDRESS", "USDT_CONTRACT"),
        "webhook": ("TELEGRAM_BOT_TOKEN", "TELEGRAM_WEBHOOK_SECRET"),
    }


def host(name: str) -> str:
    """A vendor's name in the project's network: with a dot in it, since Telegram refuses a button that leads to a bare word."""
    return f"{name}.test"


def books() -> list[str]:
    """The volumes in which the simulators and the chain keep their books."""
    return [f"books-{name}" for name in (NODE, SECOND_NODE, *VENDORS)]


def _container(name: str, command: Sequence[str], waits: Mapping[str, str], *more: str, has_books: bool = False) -> list[str]:
    volumes = [f"books-{name}:{BOOKS}"] if has_books else []
    profile = ("    profiles: [sandbox]", f"    image: {SANDBOX_IMAGE}")
    return program(name, command, waits, *profile, *more, volumes=volumes, secrets=name in secrets_of())


def _simulator(name: str) -> list[str]:
    waits = {"secrets": DONE} if name in VENDORS else {}
    settings = ("TELEGRAM_BOT_USERNAME",) if name == "telegram" else ()
    command = ("python", "-m", "deploy.sandbox", name)
    ready = answers("/_control/books") if name in VENDORS else listens(PORT)
    network = f"    networks: {{default: {{aliases: [{host(name)}]}}}}"
    return [*_container(name, command, waits, "    restart: unless-stopped", network, *ready, has_books=True), *environment(settings)]


def services() -> list[str]:
    """The containers of the profile: a chain, its second node, the vendors; and the three things that a person does once in production."""
    again = "    restart: on-failure"
    build = "    build: {context: ., dockerfile: deploy/Dockerfile, target: sandbox}"
    node = ("python", "-m", "deploy.sandbox", NODE)
    wallet = ("ETHEREUM_CHAIN_ID", "USDT_CONTRACT", "HOST_WALLET_ETH_ADDRESS", "HOST_WALLET_USDT_ADDRESS")
    return [
        *_container(NODE, node, {}, "    restart: unless-stopped", build, *listens(NODE_PORT), has_books=True),
        *(line for name in (SECOND_NODE, *VENDORS) for line in _simulator(name)),
        *_container("chain", ("python", "-m", "deploy.sandbox", "chain"), {"secrets": DONE, NODE: HEALTHY}, again),
        *environment(()),
        *_container("wallet", ("pgp", "wallet", "init"), {"migrate": DONE, "chain": DONE, SECOND_NODE: STARTED}, again),
        *environment(wallet),
        *_container("webhook", ("python", "-m", "deploy.local.webhook"), {"secrets": DONE, "telegram": HEALTHY}, again),
        *environment(("TELEGRAM_API_URL", "TELEGRAM_POLLING", "BASE_URL")),
    ]


def render_env() -> str:
    """The .env that selects the sandbox: addresses and intervals, and no secret."""
    simulators = {name: f"http://{host(name)}:{PORT}" for name in (*VENDORS, SECOND_NODE)}
    base = f"http://{HOST}:{EDGE_PORT}"
    values = {
        "COMPOSE_PROJECT_NAME": PROJECT,
        "COMPOSE_PROFILES": "sandbox",
        "PGP_OPERATOR_IMAGE": SANDBOX_IMAGE,
        "PGP_SECRETS_MISSING": "make",
        "PGP_SIMULATORS": ",".join(f"{name}={url}" for name, url in simulators.items()),
        "EDGE_PORT": str(EDGE_PORT),
        "BASE_URL": base,
        "TELEGRAM_BOT_USERNAME": BOT_USERNAME,
        "ETHEREUM_CHAIN_ID": str(CHAIN_ID),
        "EXPLORER_URL": f"http://{NODE}:{NODE_PORT}/tx",
        **vendor_urls(simulators),
        **QUICK,
    }
    head = [
        notice(SOURCE, comment="# {}"),
        "# What `docker compose up` reads: the sandbox. There is no secret here, and none belongs here: they are made on volumes.",
        "# Production: copy .env.example to production.env, and name that instead: `docker compose --env-file production.env up --detach`.",
    ]
    return "\n".join([*head, *(f"{name}={value}" for name, value in values.items()), ""])

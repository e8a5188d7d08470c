"""The fifteen services, their routes, queues, steps and moves, declared once: data only."""

from __future__ import annotations

from PGP_COMMON.manifest import TRANSIENT, VENDOR, Door, Edge, Proof, Queue, Route, Schedule, Service, Size, Step, moves
from PGP_COMMON.setting_groups import (
    BASE,
    CHAIN,
    CHANGENOW,
    ETH_LIMITS,
    NOWPAYMENTS,
    PRICES,
    PUBLIC_URLS,
    SWAP_POLICY,
    TELEGRAM,
    USDT_LIMITS,
    WALLET_EDGE,
)

EVERY_MINUTE, EVERY_5, EVERY_10, EVERY_15 = "* * * * *", "*/5 * * * *", "*/10 * * * *", "*/15 * * * *"


def _task(path: str, queue: str, *, max_concurrent: int = 8) -> Route:
    return Route(path, Door.TASK, queue=Queue(queue, max_concurrent=max_concurrent), proof=Proof.TASK)


def _schedule(path: str, name: str, cron: str, step: str) -> Route:
    return Route(path, Door.SCHEDULE, schedule=Schedule(name, cron, step), proof=Proof.SCHEDULE)


def _owner(path: str, *methods: str) -> Route:
    return Route(path, Door.PUBLIC, methods=methods, proof=Proof.OWNER, edge=True)


def _public(path: str, *methods: str, because: str) -> Route:
    return Route(path, Door.PUBLIC, methods=methods, public_because=because, edge=True)


SERVER = Service(
    name="pgp-server-v1",
    app="PGP_SERVER_v1.app",
    purpose="Runs the Telegram bot: sells, lets buyers in, removes them when their time is over.",
    routes=(
        Route("/telegram-webhook", Door.WEBHOOK, proof=Proof.TELEGRAM, edge=True),
        _task("/task", "pgp-server-v1-queue"),
        _schedule("/expire-subscriptions", "expire-subscriptions", EVERY_MINUTE, "members.expire"),
        _schedule("/remind", "remind", EVERY_MINUTE, "members.remind"),
        _schedule("/reconcile", "members-reconcile", EVERY_10, "members.reconcile"),
    ),
    steps=(
        Step("bot.say", "/task", "bot message", VENDOR, vendor="telegram"),
        Step("invoice.create", "/task", "invoice", VENDOR, vendor="nowpayments", switch="intake"),
        Step("join.decide", "/task", "membership:update", VENDOR, vendor="telegram"),
        Step("link.used", "/task", "invite:user:update", VENDOR, vendor="telegram"),
        Step("entitlement.expire", "/task", "entitlement", VENDOR, vendor="telegram"),
        Step("members.expire", "/task", "schedule time", TRANSIENT),
        Step("members.remind", "/task", "schedule time", TRANSIENT),
        Step("members.reconcile", "/task", "schedule time", VENDOR, vendor="telegram"),
    ),
    sends=("bot.say", "invoice.create", "join.decide", "link.used", "entitlement.expire", "members.expire", "members.remind", "members.reconcile",
            "notify.send",
           "invite.send"),
    moves=moves("order", created="invoiced expired cancelled", invoiced="expired cancelled", part_paid="expired")
    + moves("invite", sent="joined expired", linked="expired", planned="expired", blocked="joined expired linked", expired="joined"),
    settings=(*BASE, *TELEGRAM, *NOWPAYMENTS, *PUBLIC_URLS, "TELEGRAM_WEBHOOK_SECRET", "TELEGRAM_POLLING", "SUCCESS_URL_SIGNING_KEY", "TP_FLAT_FEE",
              "ORDER_LIFETIME_S", "REMIND_BEFORE_S", "PGP_SERVER_URL", "PGP_NOTIFICATIONS_URL", "PGP_INVITE_URL", "BOT_SESSION_TTL_S"),
    size=Size(memory_mib=1024, min_instances=1, max_instances=6),
    imports=("telegram",),
)  # fmt: skip

WEBAPI = Service(
    name="pgp-webapi-v1",
    app="PGP_WEBAPI_v1.app",
    purpose="The owners' REST API: accounts, channels, tiers, where and when to be paid.",
    routes=(
        _public("/api/auth/register", "POST", because="an owner has no token before he registers"),
        _public("/api/auth/login", "POST", because="an owner has no token before he signs in"),
        _public("/api/auth/refresh", "POST", because="the refresh token in the body is the proof"),
        _public("/api/auth/logout", "POST", because="the refresh token in the body is the proof"),
        _public("/api/auth/verify-email", "POST", because="the mailed token in the body is the proof"),
        _public("/api/auth/forgot-password", "POST", because="an owner who forgot his password has no token"),
        _public("/api/auth/reset-password", "POST", because="the mailed token in the body is the proof"),
        _owner("/api/account", "GET", "PATCH"),
        _owner("/api/account/password", "PUT"),
        _owner("/api/account/telegram-link", "POST"),
        _owner("/api/channels", "GET", "POST"),
        _owner("/api/channels/<int:channel_id>", "GET", "PATCH", "DELETE"),
        _owner("/api/channels/<int:channel_id>/links", "GET"),
        _owner("/api/mappings/<int:channel_id>/tiers", "GET", "POST"),
        _owner("/api/mappings/<int:channel_id>/tiers/<int:tier_id>", "PATCH", "DELETE"),
        _owner("/api/payouts", "GET"),
        _owner("/api/payouts/balance", "GET"),
        _owner("/api/payouts/details", "GET", "PUT"),
        _public("/api/currencies", "GET", because="the list of coins is no secret"),
        _public("/app", "GET", because="the page that mails lead to; what it does needs the mailed token"),
        _public("/openapi.json", "GET", because="the description of the API is for everybody"),
        _public("/docs", "GET", because="the description of the API is for everybody"),
    ),
    sends=("mail.send", "notify.send"),
    settings=(*BASE, "JWT_SECRET_KEY", "JWT_PUBLIC_KEY", "CORS_ORIGIN", "BASE_URL", "TELEGRAM_API_URL", "TELEGRAM_BOT_TOKEN", "TELEGRAM_BOT_USERNAME",
              "ADDRESS_COOLDOWN_S", "PGP_NOTIFICATIONS_URL", "HOST_WALLET_ETH_ADDRESS", "API_PER_MINUTE", "LOGINS_PER_MINUTE"),
    size=Size(memory_mib=1024, max_instances=6),
    imports=("telegram",),
)  # fmt: skip

NP_IPN = Service(
    name="pgp-np-ipn-v1",
    app="PGP_NP_IPN_v1.app",
    purpose="Takes the payment vendor's notices and shows the buyer where his payment is.",
    routes=(
        Route("/", Door.WEBHOOK, proof=Proof.NOWPAYMENTS),
        Route("/webhooks/nowpayments-ipn", Door.WEBHOOK, proof=Proof.NOWPAYMENTS, edge=True),
        _public("/payment-processing", "GET", because="a page; what it shows needs the order's view token"),
        _public("/api/payment-status/<view_token>", "GET", because="the view token (128 random bits) is the proof"),
    ),
    sends=("payment.settle",),
    settings=(*BASE, "NOWPAYMENTS_IPN_SECRET", "ALLOWED_IPS", "PGP_ORCHESTRATOR_URL", "STATUS_PER_MINUTE", "TELEGRAM_BOT_USERNAME"),
    # Fewer instances with more connections each: with two of them eight threads wait for one another (measured: a third fewer notices).
    size=Size(min_instances=1, max_instances=4, pool=4),
    answers_first=True,
)

ORCHESTRATOR = Service(
    name="pgp-orchestrator-v1",
    app="PGP_ORCHESTRATOR_v1.app",
    purpose="Confirms a payment with the vendor, credits it once, and sets in motion what it bought.",
    routes=(
        _task("/process-validated-payment", "pgp-orchestrator-v1-queue"),
        _task("/task", "pgp-orchestrator-v1-task-queue"),
        _public("/", "GET", because="where the vendor sends the buyer's browser; it only redirects"),
        _public("/webhooks/success", "GET", because="where the vendor sends the buyer's browser; it only redirects"),
        _schedule("/sweep", "sweep", EVERY_MINUTE, "work.sweep"),
        _schedule("/reconcile", "payments-reconcile", EVERY_10, "payments.reconcile"),
        _schedule("/list-payments", "payments-list", "53 3 * * *", "payments.list"),
        _schedule("/check-books", "books-check", EVERY_5, "books.check"),
        _schedule("/audit-books", "books-audit", "23 3 * * *", "books.audit"),
    ),
    steps=(
        Step("payment.settle", "/process-validated-payment", "notice (its SHA-256)", VENDOR, vendor="nowpayments"),
        Step("payment.payout_hash", "/task", "payment", VENDOR, vendor="nowpayments"),
        Step("work.sweep", "/task", "schedule time", TRANSIENT),
        Step("payments.reconcile", "/task", "schedule time", VENDOR, vendor="nowpayments"),
        Step("payments.list", "/task", "schedule time", VENDOR, vendor="nowpayments"),
        Step("books.check", "/task", "schedule time"),
        Step("books.audit", "/task", "schedule time"),
    ),
    sends=("payment.settle", "payment.payout_hash", "work.sweep", "payments.reconcile", "payments.list", "books.check", "books.audit", "invite.send",
           "notify.send", "invoice.create", "arrival.look"),
    moves=moves("order", created="invoiced", invoiced="part_paid paid", part_paid="paid", expired="part_paid paid", cancelled="part_paid paid")
    + moves("payment", observed="credited review rejected", credited="review")
    + moves("accumulation", pending="frozen"),
    # The sweep wakes every service, so this one knows every address.
    settings=(*BASE, *NOWPAYMENTS, *PRICES, *PUBLIC_URLS, "NOWPAYMENTS_EMAIL", "NOWPAYMENTS_PASSWORD", "SUCCESS_URL_SIGNING_KEY", "PAYMENT_MIN_TOLERANCE",
              "PAYOUT_HASH_POLL_S", "WORK_RETENTION_S"),
    size=Size(max_instances=6),
)  # fmt: skip

INVITE = Service(
    name="pgp-invite-v1",
    app="PGP_INVITE_v1.app",
    purpose="Makes the buyer's way into the channel and sends it to him.",
    routes=(_task("/", "pgp-invite-v1-queue"),),
    steps=(Step("invite.send", "/", "invite", VENDOR, vendor="telegram", switch="invite"),),
    moves=moves("invite", planned="linked blocked expired", linked="sent blocked expired", blocked="linked sent"),
    settings=(*BASE, *TELEGRAM),
    size=Size(max_instances=4),
    imports=("telegram",),
)

SPLIT1 = Service(
    name="pgp-split1-v1",
    app="PGP_SPLIT_v1.split1_orchestrator.app",
    purpose="Leads a payout from reserved money to an exchange that waits for it.",
    routes=(
        _task("/", "pgp-split1-v1-queue"),
        _task("/pgp-split2-callback", "pgp-split1-v1-callback-queue"),
        _task("/pgp-split3-callback", "pgp-split1-v1-swap-callback-queue"),
    ),
    steps=(
        Step("payout.start", "/", "payout", edge=Edge.WALLET, switch="payout_plan"),
        Step("payout.requote", "/", "quote", edge=Edge.WALLET, switch="payout_plan"),
        Step("payout.quoted", "/pgp-split2-callback", "quote", edge=Edge.WALLET, switch="payout_plan"),
        Step("payout.swap_ready", "/pgp-split3-callback", "swap", edge=Edge.WALLET),
    ),
    sends=("payout.quote", "payout.requote", "swap.create", "swap.fund", "payout.direct", "notify.send"),
    moves=moves("payout", reserved="quoted released", quoted="reserved swap_ready") + moves("accumulation", attached="converted"),
    settings=(*BASE, *WALLET_EDGE, *SWAP_POLICY, *USDT_LIMITS, "HOST_WALLET_ETH_ADDRESS", "PGP_SPLIT1_URL", "PGP_SPLIT2_URL", "PGP_SPLIT3_URL",
              "PGP_HOSTPAY1_URL", "PGP_NOTIFICATIONS_URL"),
)  # fmt: skip

SPLIT2 = Service(
    name="pgp-split2-v1",
    app="PGP_SPLIT_v1.split2_estimator.app",
    purpose="Asks the exchange what a payout's USDT buys in the owner's coin.",
    routes=(_task("/", "pgp-split2-v1-queue"),),
    steps=(Step("payout.quote", "/", "quote", VENDOR, vendor="changenow", edge=Edge.WALLET, switch="payout_plan"),),
    sends=("payout.quoted",),
    settings=(*BASE, *WALLET_EDGE, *CHANGENOW, *PRICES, "PGP_SPLIT1_URL"),
)

SPLIT3 = Service(
    name="pgp-split3-v1",
    app="PGP_SPLIT_v1.split3_exchanger.app",
    purpose="Makes the exchange's order for a payout and checks every word of it.",
    routes=(_task("/", "pgp-split3-v1-queue"),),
    steps=(Step("swap.create", "/", "swap", VENDOR, vendor="changenow", edge=Edge.WALLET, switch="payout_plan"),),
    sends=("payout.swap_ready", "payout.requote"),
    moves=moves("swap", planned="created abandoned"),
    settings=(*BASE, *WALLET_EDGE, *CHANGENOW, *SWAP_POLICY, "HOST_WALLET_ETH_ADDRESS", "PGP_SPLIT1_URL"),
)

HOSTPAY1 = Service(
    name="pgp-hostpay1-v1",
    app="PGP_HOSTPAY_v1.hostpay1_orchestrator.app",
    purpose="Decides when our coins may leave, and closes payouts and conversions when they have arrived.",
    routes=(
        _task("/", "pgp-hostpay1-v1-queue"),
        _task("/status-verified", "pgp-hostpay1-v1-callback-queue"),
        _task("/payment-completed", "pgp-hostpay1-v1-completed-queue"),
    ),
    steps=(
        Step("swap.fund", "/", "swap", edge=Edge.WALLET, switch="sign"),
        Step("payout.direct", "/", "quote", edge=Edge.WALLET, switch="sign"),
        Step("swap.fundable", "/status-verified", "swap", edge=Edge.WALLET, switch="sign"),
        Step("swap.ended", "/status-verified", "swap, or swap:review:hold", edge=Edge.WALLET),
        Step("transfer.ended", "/payment-completed", "transfer", edge=Edge.WALLET),
    ),
    sends=("swap.check", "swap.follow", "transfer.sign", "payout.requote", "conversion.finish", "notify.send"),
    moves=moves("payout", quoted="funding", swap_ready="reserved funding", funding="funded settled reserved review", funded="settled refunding review")
    + moves("payout", refunding="released review")
    + moves("swap", created="funding abandoned", funding="funded hold abandoned")
    + moves("accumulation", attached="converted paid")
    + moves("payment", review="rejected"),
    settings=(*BASE, *WALLET_EDGE, "SWAP_DEADLINE_MARGIN_S", "PGP_HOSTPAY1_URL", "PGP_HOSTPAY2_URL", "PGP_HOSTPAY3_URL", "PGP_SPLIT1_URL",
              "PGP_MICROBATCHPROCESSOR_URL", "PGP_NOTIFICATIONS_URL", "HOST_WALLET_ETH_ADDRESS", "ARRIVAL_POLL_S"),
)  # fmt: skip

HOSTPAY2 = Service(
    name="pgp-hostpay2-v1",
    app="PGP_HOSTPAY_v1.hostpay2_status_checker.app",
    purpose="Watches the exchange and the chain; holds no key.",
    routes=(
        _task("/", "pgp-hostpay2-v1-queue"),
        _task("/task", "pgp-hostpay2-v1-task-queue"),
        _schedule("/reconcile", "wallet-reconcile", EVERY_5, "wallet.reconcile"),
    ),
    steps=(
        Step("swap.check", "/", "swap", VENDOR, vendor="changenow", edge=Edge.WALLET),
        Step("swap.follow", "/", "swap", VENDOR, vendor="changenow", edge=Edge.WALLET),
        Step("arrival.look", "/task", "transaction hash", VENDOR, vendor="ethereum"),
        Step("wallet.reconcile", "/task", "schedule time", VENDOR, vendor="ethereum"),
    ),
    sends=("swap.fundable", "swap.ended", "arrival.look", "wallet.reconcile"),
    moves=moves("swap", funded="finished refunded hold", hold="funded finished refunded"),
    settings=(*BASE, *WALLET_EDGE, *CHANGENOW, *CHAIN, "PGP_HOSTPAY1_URL", "PGP_HOSTPAY2_URL", "SWAP_POLL_S", "ARRIVAL_POLL_S"),
)

HOSTPAY3 = Service(
    name="pgp-hostpay3-v1",
    app="PGP_HOSTPAY_v1.hostpay3_executor.app",
    purpose="Signs, keeps, sends and watches every transaction of our wallet.",
    routes=(_task("/", "pgp-hostpay3-v1-queue", max_concurrent=1),),
    steps=(
        Step("transfer.sign", "/", "transfer", VENDOR, vendor="ethereum", edge=Edge.WALLET, switch="sign"),
        Step("transfer.watch", "/", "transfer", VENDOR, vendor="ethereum", edge=Edge.WALLET),
    ),
    sends=("transfer.watch", "transfer.ended"),
    moves=moves("transfer", requested="signed cancelled", signed="broadcast stuck", broadcast="mined stuck", mined="final failed_onchain broadcast"),
    settings=(*BASE, *WALLET_EDGE, *CHAIN, "HOST_WALLET_PRIVATE_KEY", "PGP_HOSTPAY1_URL", "PGP_HOSTPAY3_URL", "CHAIN_POLL_S", "MAX_TRANSFER_FEE_WEI",
              "DAILY_TRANSFER_LIMIT", *ETH_LIMITS, *USDT_LIMITS, "SWAP_DEADLINE_MARGIN_S"),
    size=Size(max_instances=1),
    imports=("eth_account",),
)  # fmt: skip

BATCH = Service(
    name="pgp-batchprocessor-v1",
    app="PGP_BATCH_v1.batchprocessor.app",
    purpose="Gives every owner who has earned enough one payout.",
    routes=(_schedule("/process", "process", EVERY_5, "payout.plan"), _task("/task", "pgp-batchprocessor-v1-queue")),
    steps=(Step("payout.plan", "/task", "schedule time", switch="payout_plan", edge=Edge.WALLET),),
    sends=("payout.plan", "payout.start"),
    moves=moves("accumulation", converted="attached"),
    settings=(*BASE, *WALLET_EDGE, *PRICES, *USDT_LIMITS, "PAYOUT_FEE_CAP_PERCENT", "PGP_BATCHPROCESSOR_URL", "PGP_SPLIT1_URL", "INSTANT_PAYOUT_MIN_USD"),
)

MICROBATCH = Service(
    name="pgp-microbatchprocessor-v1",
    app="PGP_BATCH_v1.microbatchprocessor.app",
    purpose="Turns what owners earned into USDT, and shares out what arrived to the last unit.",
    routes=(
        _schedule("/check-threshold", "check-threshold", EVERY_15, "conversion.plan"),
        _task("/conversion-finished", "pgp-microbatchprocessor-v1-finished-queue"),
        _task("/task", "pgp-microbatchprocessor-v1-queue"),
    ),
    steps=(
        Step("conversion.plan", "/task", "schedule time", VENDOR, vendor="changenow", switch="convert", edge=Edge.WALLET),
        Step("conversion.quote", "/task", "quote", VENDOR, vendor="changenow", switch="convert", edge=Edge.WALLET),
        Step("conversion.swap", "/task", "swap", VENDOR, vendor="changenow", switch="convert", edge=Edge.WALLET),
        Step("conversion.finish", "/conversion-finished", "swap", VENDOR, edge=Edge.WALLET),
    ),
    sends=("conversion.plan", "conversion.quote", "conversion.swap", "swap.fund", "arrival.look"),
    moves=moves("conversion", planned="quoted cancelled", quoted="planned swapping", swapping="planned done refunded review")
    + moves("accumulation", pending="converting", converting="pending converted")
    + moves("swap", planned="created abandoned"),
    settings=(*BASE, *WALLET_EDGE, *CHANGENOW, *PRICES, *SWAP_POLICY, *ETH_LIMITS, "MICRO_BATCH_THRESHOLD_USD", "HOST_WALLET_ETH_ADDRESS",
              "PGP_MICROBATCHPROCESSOR_URL", "PGP_HOSTPAY1_URL", "PGP_HOSTPAY2_URL", "ARRIVAL_POLL_S", "GAS_SHARE_PERCENT", "ETHEREUM_RPC_URL",
              "ETHEREUM_CHAIN_ID"),
)  # fmt: skip

NOTIFICATIONS = Service(
    name="pgp-notifications-v1",
    app="PGP_BROADCAST_v1.notifications.app",
    purpose="Tells owners and buyers what happened, by bot and by mail.",
    routes=(_task("/send-notification", "pgp-notifications-v1-queue"),),
    steps=(
        Step("notify.send", "/send-notification", "notification", VENDOR, vendor="telegram"),
        Step("mail.send", "/send-notification", "mail", VENDOR, vendor="sendgrid"),
    ),
    settings=(*BASE, *TELEGRAM, "SENDGRID_URL", "SENDGRID_API_KEY", "FROM_EMAIL", "FROM_NAME", "BASE_URL", "PGP_WEBAPI_URL", "EXPLORER_URL"),
    imports=("telegram",),
)

BROADCAST = Service(
    name="pgp-broadcast-v1",
    app="PGP_BROADCAST_v1.broadcast.app",
    purpose="Posts an owner's offers to his channels, once each.",
    routes=(
        _schedule("/execute", "execute", EVERY_5, "broadcast.plan"),
        _task("/task", "pgp-broadcast-v1-queue"),
        _owner("/api/broadcasts/manual", "POST"),
        _owner("/api/broadcasts/history", "GET"),
    ),
    steps=(
        Step("broadcast.plan", "/task", "schedule time", TRANSIENT),
        Step("broadcast.post", "/task", "post", VENDOR, vendor="telegram"),
    ),
    sends=("broadcast.plan", "broadcast.post"),
    settings=(
        *BASE,
        *TELEGRAM,
        "JWT_PUBLIC_KEY",
        "CORS_ORIGIN",
        "BROADCAST_AUTO_INTERVAL",
        "BROADCAST_MANUAL_INTERVAL",
        "PGP_BROADCAST_URL",
        "API_PER_MINUTE",
    ),
    size=Size(max_instances=2),
    imports=("telegram",),
)

FLEET: tuple[Service, ...] = (
    SERVER, WEBAPI, NP_IPN, ORCHESTRATOR, INVITE, SPLIT1, SPLIT2, SPLIT3, HOSTPAY1, HOSTPAY2, HOSTPAY3, BATCH, MICROBATCH, NOTIFICATIONS, BROADCAST,
)  # fmt: skip

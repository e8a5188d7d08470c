"""Routes of the owners' API: read the form, do one thing, answer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Flask, Response, g, jsonify, make_response, request
from flask_cors import CORS

from PGP_COMMON import doors, owner_tokens, web
from PGP_COMMON.errors import NotFound
from PGP_COMMON.limits import Counters
from PGP_COMMON.money import from_units, plain
from PGP_WEBAPI_v1 import account_store, channel_store, forms, openapi, payout_store, sessions, steps

if TYPE_CHECKING:
    from PGP_COMMON.clients.telegram import Telegram
    from PGP_COMMON.runtime import Runtime

blueprint = Blueprint("webapi", __name__)
PAGE = 50
# The one page that mails lead to; what it is for stands in its address's fragment, which no server sees.
APP = (Path(__file__).parent / "app.html").read_text(encoding="utf-8")
# Mails that anybody may cause to an address.
MAILS_AN_HOUR = 5


@dataclass(frozen=True)
class Clients:
    """What the API asks outside."""

    counters: Counters
    make_telegram: Any
    known: dict[str, Telegram]

    @property
    def telegram(self) -> Telegram:
        """The bot, made when the first channel is registered: most requests never need it."""
        if "bot" not in self.known:
            self.known["bot"] = self.make_telegram()
        return self.known["bot"]


def make_clients(runtime: Runtime) -> Clients:
    """Build what the routes use."""

    def make_telegram() -> Telegram:
        from PGP_COMMON.clients.telegram import Telegram  # noqa: PLC0415 - 10 MiB that only registration needs

        return Telegram(lambda: runtime.config.secret("TELEGRAM_BOT_TOKEN"), base_url=runtime.config.text("TELEGRAM_API_URL"))

    return Clients(Counters(runtime.db, runtime.config.secret("REDIS_URL")), make_telegram, {})


def prepare(app: Flask, runtime: Runtime) -> None:
    """Access tokens, and the exact origins that may call /api from a browser."""
    owner_tokens.prepare(app, runtime)
    origins = [origin.strip() for origin in runtime.config.text("CORS_ORIGIN").split(",") if origin.strip()]
    if origins:
        CORS(
            app,
            resources={r"/api/.*": {"origins": origins}},
            methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
            supports_credentials=False,
        )


PREPARE = (prepare,)


@blueprint.before_request
def limit() -> None:
    """So many requests a minute for an owner, or for an address that is nobody yet; no thing has a number that no row can have."""
    process = web.runtime()
    who = f"account:{g.account_id}" if "account_id" in g else f"address:{doors.caller_address(process)}"
    process.clients.counters.use(f"api:{who}", limit=process.config.integer("API_PER_MINUTE"), window_s=60)
    if "account_id" in g:
        # Read before the view takes a connection: a second one from the same small pool could wait for itself.
        g.account = sessions.signed_in(process.db, g.account_id)
    if any(number >= 2**63 for number in (request.view_args or {}).values()):
        raise NotFound("There is nothing here.")


def _limit_sign_in(email: str) -> None:
    process = web.runtime()
    for bucket in (f"login:{doors.caller_address(process)}", f"login:{email.lower()}"):
        process.clients.counters.use(bucket, limit=process.config.integer("LOGINS_PER_MINUTE"), window_s=60)


def _limit_mails(email: str) -> None:
    _limit_sign_in(email)
    web.runtime().clients.counters.use(f"mail:{email.lower()}", limit=MAILS_AN_HOUR, window_s=3600)


def _account() -> account_store.Account:
    found: account_store.Account = g.account
    return found


def _shown(row: Any, **more: Any) -> dict[str, Any]:
    """A row as JSON: times in ISO 8601, amounts as plain decimals in text."""
    values = {**(asdict(row) if row is not None else {}), **more}
    return {key: plain(value) if isinstance(value, Decimal) else value.isoformat() if isinstance(value, datetime) else value for key, value in values.items()}


def _session(session: sessions.Session) -> Response:
    return jsonify(
        access_token=owner_tokens.issue(session.account_id),
        expires_in=owner_tokens.ACCESS_MINUTES * 60,
        refresh_token=session.refresh_token,
    )


@blueprint.post("/api/auth/register")
def register() -> Response:
    form = forms.read(forms.Register)
    _limit_mails(form.email)
    sessions.register(web.runtime().db, form)
    return make_response(jsonify(message="If this address is new to us, a mail is on its way."), 202)


@blueprint.post("/api/auth/verify-email")
def verify_email() -> Response:
    sessions.verify_email(web.runtime().db, forms.read(forms.Token).token)
    return jsonify(message="Thank you. You can sign in now.")


@blueprint.post("/api/auth/login")
def login() -> Response:
    form = forms.read(forms.Login)
    _limit_sign_in(form.email)
    return _session(sessions.sign_in(web.runtime().db, form))


@blueprint.post("/api/auth/refresh")
def refresh() -> Response:
    return _session(sessions.refresh(web.runtime().db, forms.read(forms.Token).token))


@blueprint.post("/api/auth/logout")
def logout() -> Response:
    sessions.sign_out(web.runtime().db, forms.read(forms.Token).token)
    return make_response("", 204)


@blueprint.post("/api/auth/forgot-password")
def forgot_password() -> Response:
    email = forms.read(forms.ForgottenPassword).email
    _limit_mails(email)
    sessions.forgot_password(web.runtime().db, email)
    return make_response(jsonify(message="If this address is known to us, a mail is on its way."), 202)


@blueprint.post("/api/auth/reset-password")
def reset_password() -> Response:
    sessions.reset_password(web.runtime().db, forms.read(forms.ResetPassword))
    return jsonify(message="Your new password is set. Please sign in with it.")


@blueprint.get("/api/account")
def account() -> Response:
    with web.runtime().db.reading() as tx:
        return jsonify(_shown(account_store.profile(tx, _account().owner_id)))


@blueprint.patch("/api/account")
def change_account() -> Response:
    steps.change_account(web.runtime().db, _account(), forms.read(forms.AccountChange))
    return account()


@blueprint.put("/api/account/password")
def change_password() -> Response:
    form = forms.read(forms.PasswordChange)
    _limit_sign_in(_account().email)
    sessions.change_password(web.runtime().db, _account(), form)
    return make_response("", 204)


@blueprint.post("/api/account/telegram-link")
def telegram_link() -> Response:
    return jsonify(url=steps.telegram_link(web.runtime().db, _account(), web.runtime().config.text("TELEGRAM_BOT_USERNAME")))


@blueprint.get("/api/channels")
def channels() -> Response:
    with web.runtime().db.reading() as tx:
        return jsonify(channels=[_shown(row) for row in channel_store.channels(tx, _account().owner_id)])


@blueprint.post("/api/channels")
def register_channel() -> Response:
    process = web.runtime()
    channel_id = steps.register_channel(process.db, process.clients.telegram, _account(), forms.read(forms.NewChannel))
    return make_response(_one_channel(channel_id), 201)


def _one_channel(channel_id: int) -> Response:
    with web.runtime().db.reading() as tx:
        row = steps.own_channel(tx, _account(), channel_id)
        return jsonify(_shown(row, tiers=[_shown(tier) for tier in channel_store.tiers(tx, channel_id)]))


@blueprint.get("/api/channels/<int:channel_id>")
def channel(channel_id: int) -> Response:
    return _one_channel(channel_id)


@blueprint.patch("/api/channels/<int:channel_id>")
def change_channel(channel_id: int) -> Response:
    steps.change_channel(web.runtime().db, _account(), channel_id, forms.read(forms.ChannelChange))
    return _one_channel(channel_id)


@blueprint.delete("/api/channels/<int:channel_id>")
def close_channel(channel_id: int) -> Response:
    steps.change_channel(web.runtime().db, _account(), channel_id, None)
    return make_response("", 204)


@blueprint.get("/api/channels/<int:channel_id>/links")
def links(channel_id: int) -> Response:
    bot = web.runtime().config.text("TELEGRAM_BOT_USERNAME")
    with web.runtime().db.reading() as tx:
        steps.own_channel(tx, _account(), channel_id)
        offers = channel_store.tiers(tx, channel_id)
    return jsonify(openapi.deep_links(bot, channel_id, [tier.id for tier in offers]))


@blueprint.get("/api/mappings/<int:channel_id>/tiers")
def tiers(channel_id: int) -> Response:
    with web.runtime().db.reading() as tx:
        steps.own_channel(tx, _account(), channel_id)
        return jsonify(tiers=[_shown(tier) for tier in channel_store.tiers(tx, channel_id)])


@blueprint.post("/api/mappings/<int:channel_id>/tiers")
def add_tier(channel_id: int) -> Response:
    tier_id = steps.add_tier(web.runtime().db, _account(), channel_id, forms.read(forms.NewTier))
    return make_response(jsonify(id=tier_id), 201)


@blueprint.patch("/api/mappings/<int:channel_id>/tiers/<int:tier_id>")
def change_tier(channel_id: int, tier_id: int) -> Response:
    steps.change_tier(web.runtime().db, _account(), channel_id, tier_id, forms.read(forms.TierChange))
    return tiers(channel_id)


@blueprint.delete("/api/mappings/<int:channel_id>/tiers/<int:tier_id>")
def close_tier(channel_id: int, tier_id: int) -> Response:
    steps.change_tier(web.runtime().db, _account(), channel_id, tier_id, None)
    return make_response("", 204)


@blueprint.get("/api/payouts")
def payouts() -> Response:
    before = request.args.get("before", default=2**62, type=int)
    with web.runtime().db.reading() as tx:
        rows = payout_store.payouts(tx, _account().owner_id, before=min(max(before, 0), 2**62), limit=PAGE)
    return jsonify(payouts=[_shown(row) for row in rows], next=rows[-1].id if len(rows) == PAGE else None)


@blueprint.get("/api/payouts/balance")
def balance() -> Response:
    with web.runtime().db.reading() as tx:
        rows = payout_store.balances(tx, _account().owner_id)
        decimals = payout_store.decimals(tx)
    return jsonify(balances=[_shown(row, amount=plain(from_units(int(row.units), decimals[row.asset]))) for row in rows])


@blueprint.get("/api/payouts/details")
def payout_details() -> Response:
    with web.runtime().db.reading() as tx:
        return jsonify(details=[_shown(row) for row in payout_store.details(tx, _account().owner_id)])


@blueprint.put("/api/payouts/details")
def set_payout_details() -> Response:
    form = forms.read(forms.PayoutDetails)
    account_ = _account()
    process = web.runtime()
    _limit_sign_in(account_.email)
    steps.set_payout_details(process.db, process.config, account_, form)
    return payout_details()


@blueprint.get("/api/currencies")
def currencies() -> Response:
    with web.runtime().db.reading() as tx:
        return jsonify(currencies=[_shown(row) for row in payout_store.coins(tx)])


@blueprint.get("/app")
def page() -> Response:
    return Response(APP, content_type="text/html; charset=utf-8")


@blueprint.get("/openapi.json")
def description() -> Response:
    return jsonify(openapi.document())


@blueprint.get("/docs")
def docs() -> Response:
    return Response(openapi.page(), content_type="text/html; charset=utf-8")

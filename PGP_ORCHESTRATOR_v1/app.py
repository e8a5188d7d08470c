"""Routes of the buyer's browser, and the steps of ORCHESTRATOR."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from PGP_COMMON import market, web
from PGP_COMMON.clients.nowpayments import NowPayments
from PGP_COMMON.directory import service_named
from PGP_COMMON.engine import Flow
from PGP_COMMON.errors import NotFound
from PGP_COMMON.http import Http
from PGP_COMMON.tokens import BaseTokenManager
from PGP_ORCHESTRATOR_v1 import books, finding, steps, store

if TYPE_CHECKING:
    from PGP_COMMON.runtime import Runtime

blueprint = Blueprint("orchestrator", __name__)
STEPS: dict[str, Flow] = {
    "payment.settle": {"start": steps.settle},
    "payment.payout_hash": {"start": steps.find_payout_hash},
    "work.sweep": {"start": steps.sweep},
    "payments.reconcile": {"start": finding.reconcile},
    "payments.list": {"start": finding.read_whole_list},
    "books.check": {"start": books.check},
    "books.audit": {"start": books.audit},
}


def make_clients(runtime: Runtime) -> steps.Clients:
    """The payment vendor and the price sources, as the settings say."""
    config = runtime.config
    vendor = NowPayments(
        Http("nowpayments", config.text("NOWPAYMENTS_URL")),
        api_key=lambda: config.secret("NOWPAYMENTS_API_KEY"),
        email=lambda: config.secret("NOWPAYMENTS_EMAIL"),
        password=lambda: config.secret("NOWPAYMENTS_PASSWORD"),
    )
    return steps.Clients(vendor, market.price_sources(config), runtime.publish)


@blueprint.get("/")
@blueprint.get("/webhooks/success")
def show_payment() -> Response:
    """Lead the buyer's browser to the payment page. Whatever else is in the address is the vendor's hint, proves nothing and is ignored."""
    process = web.runtime()
    links = BaseTokenManager(lambda: process.config.secret("SUCCESS_URL_SIGNING_KEY"))
    unique_id = links.open("success", request.args.get("t", ""))
    with process.db.reading() as tx:
        view_token = store.view_token(tx, unique_id)
    if view_token is None:
        raise NotFound("there is no such order")
    page = process.config.public_url(service_named("pgp-np-ipn-v1"), "/payment-processing")
    return Response(status=303, headers={"Location": f"{page}?{urlencode({'order': view_token})}"})

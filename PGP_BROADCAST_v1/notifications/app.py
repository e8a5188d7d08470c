"""The notifications service: which steps it runs, with which vendors."""

from __future__ import annotations

from PGP_BROADCAST_v1.notifications import steps
from PGP_COMMON.clients.sendgrid import SendGrid
from PGP_COMMON.engine import Flow
from PGP_COMMON.http import Http
from PGP_COMMON.runtime import Runtime
from PGP_COMMON.speech import speaker

STEPS: dict[str, Flow] = {"notify.send": {"start": steps.say_notice}, "mail.send": {"start": steps.send_mail}}


def make_clients(runtime: Runtime) -> steps.Clients:
    """The bot's voice and the mail vendor, as the settings say."""
    config = runtime.config
    mail = SendGrid(
        Http("sendgrid", config.text("SENDGRID_URL")),
        api_key=lambda: config.secret("SENDGRID_API_KEY"),
        from_email=config.text("FROM_EMAIL"),
        from_name=config.text("FROM_NAME"),
    )
    return steps.Clients(speaker(runtime), mail)

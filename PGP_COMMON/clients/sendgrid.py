"""SendGrid: one mail to one person (contracts: section 7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx

from PGP_COMMON.errors import Refused, VendorDown
from PGP_COMMON.http import Answer, Http, OnLost, effect, refusal

VENDOR: Final = "sendgrid"


class SendGrid:
    """What we ask of SendGrid."""

    def __init__(self, http: Http, *, api_key: Callable[[], str], from_email: str, from_name: str) -> None:
        """Take the key as a function, and who our mails come from."""
        self._http = http
        self._api_key = api_key
        self._from = {"email": from_email, "name": from_name}

    @effect(OnLost.RESEND_LIMITED, reason="no idempotency there: a mail may arrive twice, which is counted")
    def send(self, to: str, *, subject: str, text: str, html: str | None = None, custom_args: Mapping[str, str] | None = None) -> str | None:
        """Hand a mail over; gives back the vendor's id for it. `custom_args` come back in the vendor's own records."""
        person: dict[str, Any] = {"to": [{"email": to}]}
        if custom_args:
            person["custom_args"] = dict(custom_args)
        # The plain text must stand before the HTML.
        content = [{"type": "text/plain", "value": text}]
        if html is not None:
            content.append({"type": "text/html", "value": html})
        body = {"personalizations": [person], "from": self._from, "subject": subject, "content": content}
        answer = self._http.call("POST", "/v3/mail/send", body=body, headers={"Authorization": f"Bearer {self._api_key()}"})
        if not answer.ok:
            raise refused(answer)
        return answer.headers.get("x-message-id")


def refused(answer: Answer) -> Refused | VendorDown:
    """The vendor's refusal: 401 is a wrong key or used-up credits and may pass, 403 is a sender that it has not verified."""
    errors = answer.problem().get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    # The field at fault is the nearest to a code that it gives; its message may repeat the address.
    code = first.get("field") if isinstance(first.get("field"), str) else None
    if answer.status == httpx.codes.FORBIDDEN:
        return Refused(vendor=VENDOR, status=answer.status, code=code or "sender_not_verified")
    return refusal(answer, code=code)

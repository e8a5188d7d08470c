"""What owners may send: each body as a model, refused with a sentence for every field that is wrong."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar

from flask import request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError
from werkzeug.exceptions import UnsupportedMediaType

from PGP_COMMON.errors import BadInput

M = TypeVar("M", bound=BaseModel)
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,180}[A-Za-z0-9])?\.[A-Za-z]{2,24}")


def _plain_text(value: Any) -> Any:
    """Refuse what the database or a reader cannot take: NUL, other control characters, lone surrogates."""
    if isinstance(value, str) and (any(ord(c) < 32 and c not in "\n\t" for c in value) or any(0xD800 <= ord(c) <= 0xDFFF for c in value)):  # noqa: PLR2004
        raise ValueError("has characters that cannot be kept")
    return value


def _email(value: Any) -> Any:
    if not isinstance(value, str) or not _EMAIL.fullmatch(value) or ".." in value:
        raise ValueError("is not an e-mail address")
    return value


def _money(value: Any) -> Any:
    """Money comes as text or a whole number: a JSON fraction was read as Decimal, never as float."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValueError("is not an amount")  # noqa: TRY004 - pydantic turns only ValueError into a field's sentence
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,2})?", value):
        raise ValueError("is not an amount with at most two decimals")
    return value


def _no_memo(value: Any) -> Any:
    """Refuse a memo or tag: none of our payout coins has one, and an address that needs one would be paid without it."""
    if value not in (None, ""):
        raise ValueError("is not taken: coins that need a memo or tag beside the address are not paid out")
    return None


Text = Annotated[str, BeforeValidator(_plain_text)]
# A blank at its end is part of a password.
Password = Annotated[str, StringConstraints(strip_whitespace=False, min_length=1, max_length=128)]
NewPassword = Annotated[str, StringConstraints(strip_whitespace=False, min_length=8, max_length=128)]
Email = Annotated[str, Field(max_length=254), BeforeValidator(_email)]
Price = Annotated[Decimal, Field(ge=Decimal("4.99"), le=Decimal("9999.99"), decimal_places=2), BeforeValidator(_money)]
ChannelId = Annotated[int, Field(lt=0, gt=-4503599627370496, strict=True)]


class Form(BaseModel):
    """Every body: unknown fields are refused, so that nobody sets what is not his to set."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class Register(Form):
    """A new account."""

    email: Email
    password: NewPassword
    display_name: Annotated[Text, Field(max_length=64)] = ""


class Login(Form):
    """Who signs in."""

    email: Email
    password: Password


class Token(Form):
    """A token from a mail or from an earlier answer."""

    token: Annotated[str, Field(min_length=20, max_length=200, pattern=r"^[A-Za-z0-9_-]+$")]


class ForgottenPassword(Form):
    """Whose password is forgotten."""

    email: Email


class ResetPassword(Token):
    """A new password, with the token from the mail."""

    password: NewPassword


class PasswordChange(Form):
    """A new password, with the one it replaces."""

    password: Password
    new_password: NewPassword


class AccountChange(Form):
    """What an owner may change about himself."""

    display_name: Annotated[Text, Field(max_length=64)] | None = None
    payout_strategy: Literal["threshold", "instant"] | None = None
    payout_threshold_usd: Annotated[Decimal, Field(ge=5, le=10000, decimal_places=2), BeforeValidator(_money)] | None = None


class NewChannel(Form):
    """A channel to register: the bot must be an administrator of both, and so must the owner."""

    open_channel_id: ChannelId
    closed_channel_id: ChannelId
    description: Annotated[Text, Field(max_length=500)] = ""
    donation_message: Annotated[Text, Field(max_length=500)] = ""
    access_mode: Literal["join_request", "single_use"] = "join_request"


class ChannelChange(Form):
    """What may change about a channel."""

    description: Annotated[Text, Field(max_length=500)] | None = None
    donation_message: Annotated[Text, Field(max_length=500)] | None = None
    access_mode: Literal["join_request", "single_use"] | None = None
    tolerance_bps: Annotated[int, Field(ge=0, le=1000, strict=True)] | None = None


class NewTier(Form):
    """An offer: so many days for so many USD."""

    label: Annotated[Text, Field(min_length=1, max_length=64)]
    price_usd: Price
    days: Annotated[int, Field(ge=1, le=3660, strict=True)]
    position: Annotated[int, Field(ge=1, le=10, strict=True)]


class TierChange(Form):
    """What may change about an offer; orders that exist keep their price."""

    label: Annotated[Text, Field(min_length=1, max_length=64)] | None = None
    price_usd: Price | None = None
    days: Annotated[int, Field(ge=1, le=3660, strict=True)] | None = None


class PayoutDetails(Form):
    """Where the owner wants to be paid; the password is asked for again."""

    asset: Annotated[str, Field(pattern=r"^[a-z0-9]{2,20}$")]
    address: Annotated[str, Field(min_length=10, max_length=128, pattern=r"^[!-~]+$")]
    extra_id: Annotated[Literal[""] | None, BeforeValidator(_no_memo)] = None
    password: Password


def read(model: type[M]) -> M:
    """The request's body as a model; raises BadInput with the fields at fault."""
    if request.mimetype != "application/json":
        raise UnsupportedMediaType
    try:
        body = json.loads(request.get_data(), parse_float=Decimal, parse_constant=_no_constant)
        return model.model_validate(body)
    except ValidationError as error:
        fields = {".".join(str(part) for part in fault["loc"]) or "body": fault["msg"] for fault in error.errors(include_url=False, include_input=False)}
        raise BadInput("Some fields need another look.", fields=fields) from error
    except (ValueError, RecursionError) as error:
        raise BadInput("The body is not JSON.") from error


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")

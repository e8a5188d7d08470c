"""What can go wrong, cut by the only question a caller has: what to do next."""

from __future__ import annotations

from typing import Any


class PgpError(Exception):
    """Something went wrong."""

    def __init__(self, message: str | None = None, **data: Any) -> None:
        """Take the sentence (default: the class's docstring) and the data that a handler may read."""
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])
        self.data = data

    @property
    def reason(self) -> str:
        """The error's stable code: its class name in snake case."""
        name = type(self).__name__
        return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


class GiveUp(PgpError):
    """It will never work: record it, do not repeat it."""


class TryAgain(PgpError):
    """Nothing happened; the same may work later."""

    def __init__(self, message: str | None = None, *, retry_after_s: int | None = None, vendor: str | None = None, **data: Any) -> None:
        """Take how long to wait (seconds) if somebody said so, and the vendor that is in trouble if one is."""
        super().__init__(message, **data)
        self.retry_after_s = retry_after_s
        self.vendor = vendor


class Lost(PgpError):
    """It may have happened: do what the method declares for a lost answer."""

    def __init__(self, message: str | None = None, *, vendor: str | None = None, **data: Any) -> None:
        """Take the vendor that did not answer."""
        super().__init__(message, **data)
        self.vendor = vendor


class Busy(PgpError):
    """Our own infrastructure is down or overloaded."""

    def __init__(self, message: str | None = None, *, retry_after_s: int = 5, **data: Any) -> None:
        """Take how long the caller should wait (seconds)."""
        super().__init__(message, **data)
        self.retry_after_s = retry_after_s


# --- give up ------------------------------------------------------------------------------------------------------------


class BadInput(GiveUp):
    """The request does not make sense."""


class NotFound(GiveUp):
    """There is no such thing."""


class Conflict(GiveUp):
    """It contradicts what is already there."""


class Unauthenticated(GiveUp):
    """Who is asking could not be established."""


class Forbidden(GiveUp):
    """Whoever is asking may not do this."""


class TooMany(GiveUp):
    """Too many requests; wait a while."""

    def __init__(self, message: str | None = None, *, retry_after_s: int = 60, **data: Any) -> None:
        """Take how long the caller should wait (seconds)."""
        super().__init__(message, **data)
        self.retry_after_s = retry_after_s


class Refused(GiveUp):
    """The vendor refused for good."""

    def __init__(self, message: str | None = None, *, vendor: str, status: int | None = None, code: str | None = None, **data: Any) -> None:
        """Take the vendor, its HTTP status and its own error code."""
        super().__init__(message, **data)
        self.vendor = vendor
        self.status = status
        self.code = code


class BadAnswer(GiveUp):
    """The vendor's answer contradicts what was asked; a person must look."""

    def __init__(self, message: str | None = None, *, vendor: str, **data: Any) -> None:
        """Take the vendor."""
        super().__init__(message, **data)
        self.vendor = vendor


class IllegalMove(GiveUp):
    """A state may not change that way, or not by this service."""


class BrokenRule(GiveUp):
    """The database refused what its constraints forbid: a bug."""


class Misconfigured(GiveUp):
    """Settings are missing or malformed."""


# --- try again ----------------------------------------------------------------------------------------------------------


class VendorDown(TryAgain):
    """The vendor did not take the request, or says it is in trouble."""


class Throttled(TryAgain):
    """The vendor asks for fewer requests."""


class LockTimeout(TryAgain):
    """Somebody else holds the row."""


# --- lost ---------------------------------------------------------------------------------------------------------------


class AnswerLost(Lost):
    """The request was sent and no answer came."""


# --- busy ---------------------------------------------------------------------------------------------------------------


class DatabaseDown(Busy):
    """The database does not answer."""


class QueueDown(Busy):
    """The task queue does not answer."""

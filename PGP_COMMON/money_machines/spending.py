"""How much may leave the wallet at once and in a day: an operator's limits in whole coins, and what has been signed away lately (money.md 8.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import bury
from PGP_COMMON.money import floor_units
from PGP_COMMON.money_machines import coins
from PGP_COMMON.money_machines.wallet import FUNDING, GAS

if TYPE_CHECKING:
    from PGP_COMMON.config import BaseConfigManager

# Nothing else is ever sent (money.md 5).
SETTINGS: Final = {GAS: ("TRANSFER_LIMIT_ETH", "DAILY_LIMIT_ETH"), FUNDING: ("TRANSFER_LIMIT_USDT", "DAILY_LIMIT_USDT")}

# The source of the letters about them.
LETTER: Final = "wallet.limit"


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one transfer may carry, and all transfers of 24 hours together, in base units of one asset. Nothing is unlimited."""

    transfer_units: int
    daily_units: int

    @property
    def most_units(self) -> int:
        """What one transfer can carry on a day on which nothing else is sent."""
        return min(self.transfer_units, self.daily_units)


def limits(config: BaseConfigManager, tx: Transaction, asset: str) -> Limits:
    """The limits of an asset, as the settings say now."""
    decimals = coins.coin(tx, asset).decimals
    at_once, daily = SETTINGS[asset]
    return Limits(floor_units(config.decimal(at_once), decimals), floor_units(config.decimal(daily), decimals))


def spent(tx: Transaction, *, asset: str) -> int:
    """Base units of an asset that were signed away in the last 24 hours and did not come back."""
    return int(
        tx.value(
            """
            SELECT coalesce(sum(units), 0) FROM transfer
             WHERE wallet_id IN (SELECT id FROM wallet) AND signed_at > pgp_now() - interval '24 hours' AND asset = :asset
               AND state NOT IN ('failed_onchain', 'superseded')
            """,
            asset=asset,
        )
    )


def room(tx: Transaction, limits: Limits, *, asset: str) -> int:
    """How many base units one more transfer may carry now."""
    return max(0, min(limits.transfer_units, limits.daily_units - spent(tx, asset=asset)))


def obstacle(tx: Transaction, limits: Limits, *, asset: str, units: int) -> str | None:
    """Why so many base units may not leave now, or None. The first reason stays until a setting changes, the second passes with the day."""
    if units > limits.most_units:
        return "it is more than one transfer may carry"
    if units > room(tx, limits, asset=asset):
        return f"the wallet has sent as much {asset} as it may in a day"
    return None


def limited(config: BaseConfigManager, tx: Transaction, *, asset: str, units: int, what: str) -> str | None:
    """Why the operator's limits keep so many base units, or None. He is told once: `what` they are for waits until the day is over, or the limit another."""
    now = limits(config, tx, asset)
    reason = obstacle(tx, now, asset=asset, units=units)
    if reason is None:
        return None
    detail = {"asset": asset, "units": units, "at_once": now.transfer_units, "daily": now.daily_units}
    if units > now.most_units:
        bury(tx, source=LETTER, subject=what, reason="above_transfer_limit", detail=detail)
    else:
        bury(tx, source=LETTER, subject=asset, reason="daily_limit_reached", detail=detail)
    return reason

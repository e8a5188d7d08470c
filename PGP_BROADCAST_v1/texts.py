"""What the bot and our mails say about money and access; plain text, so that nobody's name can be markup."""

from __future__ import annotations

from decimal import Decimal

from PGP_BROADCAST_v1.store import AddressFacts, Ending, PayoutFacts, Sale
from PGP_COMMON.money import from_units, plain
from PGP_COMMON.money_machines.mails import Mail


def amount(units: Decimal | int, decimals: int, asset: str) -> str:
    """An amount as people read it: "0.0123 ETH"."""
    return f"{plain(from_units(int(units), decimals))} {asset.upper()}"


def short(address: str) -> str:
    """An address that its owner recognises and nobody else learns from."""
    return f"{address[:6]}…{address[-4:]}"


def sale(kind: str, facts: Sale) -> str:
    """To the owner: somebody paid. `kind` is the notice's: what the payment was when it came, whatever the order has become since."""
    worth = f"≈ ${facts.value_usd.quantize(Decimal('0.01'))}" if facts.value_usd is not None else "value not known right now"
    share = f"Your share: {amount(facts.owner_units, facts.decimals, facts.asset)} (payment {worth})"
    who = facts.buyer or "Somebody"
    if kind == "part_paid":
        return f"🟡 {who} paid a part of ${plain(facts.price_usd)} for {facts.channel}. He has a link for the rest.\n{share}"
    if kind == "donation":
        return f"💝 {who} donated ${plain(facts.price_usd)} to {facts.channel}.\n{share}"
    return f"🎉 {who} subscribed to {facts.channel}: {facts.days} days for ${plain(facts.price_usd)}.\n{share}"


def payout_settled(facts: PayoutFacts, explorer: str) -> str:
    """To the owner: your coin is there."""
    got = amount(facts.paid_out_units, facts.payout_decimals, facts.payout_asset) if facts.paid_out_units is not None else facts.payout_asset.upper()
    where = ""
    if facts.tx_hash:
        # The explorer knows one chain; 0x is how several write their hashes.
        where = f"\n{explorer}/{facts.tx_hash}" if facts.network == "eth" else f"\nTransaction {facts.tx_hash} ({facts.network})"
    return f"💸 Your payout has arrived: {got}.{where}"


def payout_released(facts: PayoutFacts) -> str:
    """To the owner: not this time."""
    back = amount(facts.units, facts.decimals, "USDT")
    return f"↩️ Your payout of {back} was not sent and is back on your balance: {facts.reason or 'it will be tried again'}."


def reminder(facts: Ending) -> str:
    """To the buyer: your time is nearly over."""
    return f"⏳ Your access to {facts.channel} ends on {facts.ends_at:%d %B %Y, %H:%M} UTC. Renewing now adds to it; nothing is lost."


def access_ended(facts: Ending) -> str:
    """To the buyer: your time is over."""
    return f"👋 Your access to {facts.channel} has ended. You are welcome back at any time."


def address_changed(facts: AddressFacts) -> str:
    """To the owner, old way: somebody changed where you are paid."""
    return (
        f"🔐 Your payout address was changed to {short(facts.address)} ({facts.asset.upper()}). It is used from {facts.usable_from:%d %B %Y, %H:%M} UTC on.\n"
        "If this was not you, change your password now and set your own address again: that takes the change back at once."
    )


def mail(facts: Mail, page: str) -> tuple[str, str]:
    """Subject and text of a mail; `page` is where its links lead."""
    # The token is in the fragment: it reaches the page, and no server's log.
    if facts.kind == "verify_email":
        lines = ["Welcome to PayGatePrime. Confirm your address within a day:", f"{page}#verify={facts.token}", f"Token: {facts.token}"]
        return "Please confirm your address", "\n\n".join([*lines, "If you did not register, do nothing.", ""])
    if facts.kind == "reset_password":
        lines = ["Choose a new password within an hour:", f"{page}#reset={facts.token}", f"Token: {facts.token}"]
        return "Reset your password", "\n\n".join([*lines, "If you did not ask for this, do nothing.", ""])
    if facts.kind == "password_changed":
        lines = ["Your password was changed, and every session was ended.", "If this was not you, ask for a new password now."]
        return "Your password was changed", "\n\n".join([*lines, ""])
    lines = [
        "Your payout address was changed. The new one is used after a waiting time.",
        "If this was not you, change your password now and set your own address again: that takes the change back at once.",
    ]
    return "Your payout address was changed", "\n\n".join([*lines, ""])

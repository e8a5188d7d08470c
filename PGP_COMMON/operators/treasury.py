"""What a person does with the platform's own money: announces what he sends to the wallet, and takes out what is nobody else's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from PGP_COMMON.clients.ethereum_answers import Receipt
from PGP_COMMON.database import Transaction
from PGP_COMMON.errors import BadInput, Conflict
from PGP_COMMON.money_machines import arrivals, audit, chest, dead_letters, ledger, reconciliations, transfers, wallet
from PGP_COMMON.money_machines.audit import Act
from PGP_COMMON.money_machines.coins import WALLET_ASSETS
from PGP_COMMON.money_machines.wallet import EQUITY, FEES, WalletRow
from PGP_COMMON.operators.payments import refuse_address
from PGP_COMMON.operators.swaps import ETHEREUM_HASH

ACCOUNTS: Final = (EQUITY, FEES)


@dataclass(frozen=True)
class Announced:
    """What became of an announcement: whether it was new, what of the deposit had come before, and how its look-up stands."""

    is_new: bool
    booked: int
    look: str


def expect(tx: Transaction, tx_hash: str, act: Act, *, held: WalletRow) -> Announced:
    """Announce a deposit of the platform's own money: its arrival is booked to equity when it is seen, or now if it was seen before.

    Harmless the second time. Raises BadInput for what is no hash, Conflict for a transaction that is known to be something else.
    """
    tx_hash = tx_hash.lower()
    if not ETHEREUM_HASH.fullmatch(tx_hash):
        raise BadInput("not a transaction's hash: 0x and 64 hexadecimal digits")
    other = "one of our own transfers" if transfers.is_ours(tx, tx_hash) else chest.known_cause(tx, tx_hash)
    if other is not None:
        raise Conflict(f"{tx_hash} is {other}: it is not the platform's own")
    is_new = arrivals.expect(tx, tx_hash, reason=act.reason)
    tx.send("arrival.look", tx_hash)
    waiting = [arrival for arrival in arrivals.of_transaction(tx, tx_hash) if arrival.cause is None]
    for arrival in waiting:
        arrivals.match(tx, arrival)
    if is_new:
        audit.note(tx, act, "treasury.expect", f"transaction {tx_hash}", after={"booked": len(waiting)})
    dead_letters.answer(tx, act, *(("arrival", arrival.id) for arrival in waiting))
    if waiting and wallet.obstacle(tx, held) is None:
        dead_letters.answer(tx, act, ("wallet.deposit", held.address))
    return Announced(is_new, len(waiting), chest.look_of(tx, tx_hash))


def withdraw(tx: Transaction, act: Act, *, held: WalletRow, asset: str, units: int, recipient: str, account: str, again: bool = False) -> int:
    """Ask for a transfer of the platform's own money (base units) from `equity` or `income:fee`; gives back its id.

    `again`: the same is under way already, and is meant twice. Raises Conflict for more than is the platform's own: the gas reserve stays, and what
    is owed to anybody is never touched. HOSTPAY3 looks again before it signs.
    """
    if asset not in WALLET_ASSETS or account not in ACCOUNTS or units <= 0:
        raise BadInput(f"a withdrawal is of {' or '.join(sorted(WALLET_ASSETS))}, from {' or '.join(ACCOUNTS)}, and of more than nothing")
    refuse_address(tx, recipient)
    # Whoever withdraws has the wallet alone: two withdrawals may not both find the same money.
    wallet.lock(tx, held.id)
    own = wallet.withdrawable_units(tx, held, asset=asset, account=account, fees_wei=wallet.load(tx, held.id).fees_wei)
    if units > own:
        raise Conflict(f"{units} base units of {asset} are more than the {own} that are the platform's own in {account} and may leave")
    twin = chest.same_withdrawal(tx, asset=asset, units=units, recipient=recipient)
    if twin is not None and not again:
        raise Conflict(f"transfer {twin} does the same and is not over: say --again if it is meant twice")
    asked = transfers.request(tx, wallet_id=held.id, purpose="treasury", asset=asset, recipient=recipient, units=units, reason=account)
    if asked is None:
        raise Conflict("somebody else was first")
    tx.send("transfer.sign", asked)
    after = {"asset": asset, "units": str(units), "recipient": recipient, "from": account}
    audit.note(tx, act, "treasury.withdraw", f"transfer {asked}", before={"may leave": str(own)}, after=after)
    return asked


@dataclass(frozen=True)
class Seen:
    """What the chain says of the wallet at a block that has been read: its balance, and the receipts of what is under way."""

    block: int
    units: int
    receipts: Mapping[str, Receipt]


def book(tx: Transaction, act: Act, *, held: WalletRow, asset: str, seen: Seen) -> int:
    """Book what the chain has and the books have not (base units; below zero: what it lacks), when its cause is known and no arrival shows it.

    More is the platform's own (equity), less its loss. Raises Conflict when there is no difference, when the last comparison did not see the same
    one, or when something that came up to that block is not booked yet and would explain it.
    """
    if asset not in WALLET_ASSETS:
        raise BadInput(f"our wallet holds {' and '.join(sorted(WALLET_ASSETS))}")
    account, equity, loss = ledger.wallet(asset), ledger.equity(asset), ledger.loss_expense(asset)
    # Nothing is posted to the wallet while the books are read and the difference is booked.
    ledger.lock(tx, account, equity, loss)
    expected = reconciliations.expected_units(reconciliations.holdings(tx, held.id, block=seen.block), seen.receipts, block=seen.block)[asset]
    difference = seen.units - expected
    if not difference:
        raise Conflict(f"the books say what the chain says at block {seen.block}: {expected} base units of {asset}")
    known = {str(found.get("differs")) for found in reconciliations.last_breaks(tx, "wallet") if found.get("asset") == asset}
    if str(difference) not in known:
        raise Conflict(
            f"the difference is {difference}, and the last comparison saw {', '.join(known) or 'none'}: it may still be under way; wait for the next one"
        )
    unbooked = chest.unbooked_looks(tx)
    if unbooked:
        raise Conflict(f"{unbooked[0]} is still being looked for, and may be what came: wait, or resolve its letter")
    lines = [ledger.debit(account, difference), ledger.credit(equity if difference > 0 else loss, difference)]
    ledger.post(tx, "wallet.difference", f"{asset}:{seen.block}", lines)
    after = {"units": str(difference), "asset": asset, "block": seen.block}
    audit.note(tx, act, "treasury.book", f"wallet {asset}", before={"books": str(expected)}, after=after)
    dead_letters.answer(tx, act, ("wallet.reconcile", asset))
    return difference

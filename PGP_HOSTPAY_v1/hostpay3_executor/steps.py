"""Signs a transfer: everything is asked for before, and one transaction checks again, signs, and keeps the bytes before anybody is given them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Final

from PGP_COMMON.clients.ethereum import Ethereum
from PGP_COMMON.clients.ethereum_answers import Call, Fees, call_hash
from PGP_COMMON.clients.ethereum_signing import Signed, address_of_key, sign_transfer
from PGP_COMMON.config import BaseConfigManager
from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import Commit, Done, Job, Later, Next, Outcome
from PGP_COMMON.errors import Misconfigured, Refused
from PGP_COMMON.money_machines import ledger, spending, strays, transfers, wallet
from PGP_COMMON.money_machines.transfers import Transfer, TransferRow
from PGP_COMMON.money_machines.wallet import GAS, WalletRow
from PGP_HOSTPAY_v1 import fence, signing
from PGP_HOSTPAY_v1.fence import Guard
from PGP_HOSTPAY_v1.signing import Bid

# Two nodes that are further apart than this do not see the same chain (money.md 8).
HEADS_APART: Final = 3
# For what only an operator, a deposit or another day changes.
LONG_WAIT_S: Final = 60


@dataclass(frozen=True)
class Clients:
    """The chain, and whether it has been looked at as a whole since this process began."""

    chain: Ethereum
    guard: Guard = field(default_factory=Guard)


@dataclass(frozen=True, slots=True)
class WalletKey:
    """The wallet's key as it was read before the transaction that signs with it, where nobody may be asked for it; never shown."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Offer:
    """What the chain says before a transfer is signed: what it would cost, and how many transactions of the wallet any node knows."""

    call: Call
    gas: int
    fees: Fees
    nonce_known: int


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a transfer waits, or with `is_final` why it is never to be signed."""

    reason: str
    wait_s: int = LONG_WAIT_S
    is_final: bool = False


def sign_once(job: Job[Clients]) -> Commit:
    """Sign a requested transfer, or say why it waits, or give it up. A second call finds it signed."""
    margin_s = job.config.integer("SWAP_DEADLINE_MARGIN_S")
    with job.db.reading() as tx:
        transfer = transfers.get(tx, job.id)
        refusal = transfers.why_not(tx, transfer.id, margin_s=margin_s)
        held = wallet.find(tx, transfer.sender)
        wants_a_look = job.clients.guard.wants_a_look(tx)
        full = _full(job.config, tx, transfer, held) if held is not None else None
    if transfer.state != Transfer.REQUESTED:
        return lambda _tx: Done(f"the transfer is {transfer.state}")
    key = wallet_key(job.config)
    check_ownership(job.config, transfer, key)
    assert held is not None
    seen = _look(job, held) if wants_a_look or not held.at_home else None
    if seen is not None and not fence.seems_whole(held, seen):
        return partial(_record_look, held=held, seen=seen, wait_s=job.config.integer("CHAIN_POLL_S"))
    if refusal is not None:
        return partial(_cancel, transfer_id=transfer.id, reason=refusal)
    if full is not None:
        # Known without the chain; the one queue of this service is for those that can move.
        return partial(_wait, transfer_id=transfer.id, obstacle=full)
    offer = _ask_chain(job, transfer)
    if isinstance(offer, Obstacle) and offer.is_final:
        return partial(_cancel, transfer_id=transfer.id, reason=offer.reason)
    if isinstance(offer, Obstacle):
        return partial(_wait, transfer_id=transfer.id, obstacle=offer)
    return partial(_sign, job, transfer_id=transfer.id, offer=offer, seen=seen, margin_s=margin_s, key=key)


def _look(job: Job[Clients], held: WalletRow) -> fence.Look:
    """See whether the wallet as a whole is as we left it: before the first signature of a process, and when nobody has looked for an hour."""
    job.clients.chain.check_chain()
    return fence.look(job.db, job.clients.chain, held)


def wallet_key(config: BaseConfigManager) -> WalletKey:
    """The wallet's key as it is now. Not for a transaction: Secret Manager may have to be asked."""
    return WalletKey(config.secret("HOST_WALLET_PRIVATE_KEY"))


def check_ownership(config: BaseConfigManager, transfer: TransferRow, key: WalletKey) -> None:
    """The key, the configured addresses and the wallet's row are one and the same wallet; raises Misconfigured."""
    addresses = {
        address_of_key(key.text).lower(),
        config.text("HOST_WALLET_ETH_ADDRESS").lower(),
        config.text("HOST_WALLET_USDT_ADDRESS").lower(),
        transfer.sender.lower(),
    }
    if len(addresses) != 1:
        raise Misconfigured("the wallet's key, its configured addresses and its row do not belong together")


def _ask_chain(job: Job[Clients], transfer: TransferRow) -> Offer | Obstacle:
    """Everything that needs the network, with no transaction open."""
    chain, poll_s = job.clients.chain, job.config.integer("CHAIN_POLL_S")
    chain.check_chain()
    heads = chain.heads()
    if max(heads) - min(heads) > HEADS_APART:
        return Obstacle("the nodes do not see the same chain", poll_s)
    if chain.balance(transfer.asset, transfer.sender) < transfer.units:
        # Asked for before the gas: without the balance the contract would refuse, and a refusal is final.
        return Obstacle("the wallet holds too little on the chain")
    nonce = chain.nonces(transfer.sender).known
    fees = chain.fees()
    try:
        gas = chain.gas_for(transfer.asset, sender=transfer.sender, recipient=transfer.recipient, units=transfer.units)
    except Refused as error:
        if error.code not in ("reverted", "too_much_gas"):
            raise
        return Obstacle(f"the chain refuses: {error.code}", is_final=True)
    bid = signing.first_bid(fees, gas=gas, cap_wei=job.config.integer("MAX_TRANSFER_FEE_WEI"))
    if bid is None:
        return Obstacle("gas costs more than one transfer may burn", poll_s)
    needed = gas * bid.max_fee_wei + (transfer.units if transfer.asset == GAS else 0)
    if chain.balance(GAS, transfer.sender) < needed:
        return Obstacle("the wallet cannot pay for gas on the chain")
    return Offer(chain.call_for(transfer.asset, recipient=transfer.recipient, units=transfer.units), gas, fees, nonce)


def _record_look(tx: Transaction, *, held: WalletRow, seen: fence.Look, wait_s: int) -> Outcome:
    """Write down what was found; while the fence does not hold nothing is signed, and nothing is given up either."""
    reason = fence.record(tx, held, seen)
    return Next("start") if reason is None else Later(wait_s, reason)


def _cancel(tx: Transaction, *, transfer_id: int, reason: str) -> Outcome:
    """Give a transfer up before it has a nonce: nothing can have left."""
    transfers.lock(tx, transfer_id)
    if transfers.cancel(tx, transfer_id, reason=reason):
        tx.send("transfer.ended", transfer_id)
    return Done(reason)


def _wait(tx: Transaction, *, transfer_id: int, obstacle: Obstacle) -> Outcome:
    transfers.note(tx, transfer_id, reason=obstacle.reason)
    return Later(obstacle.wait_s, obstacle.reason)


def _sign(job: Job[Clients], tx: Transaction, *, transfer_id: int, offer: Offer, seen: fence.Look | None, margin_s: int, key: WalletKey) -> Outcome:
    """One transaction from the last check to the kept bytes. Whoever holds the wallet's row is the only one who signs."""
    transfer = transfers.lock(tx, transfer_id)
    if transfer.state != Transfer.REQUESTED:
        return Done(f"the transfer is {transfer.state}")
    refusal = transfers.why_not(tx, transfer.id, margin_s=margin_s)
    if refusal is not None:
        return _cancel(tx, transfer_id=transfer.id, reason=refusal)
    held = wallet.lock(tx, transfer.wallet_id)
    assert held is not None
    broken = fence.record(tx, held, seen) if seen is not None else None
    if broken is not None:
        return _wait(tx, transfer_id=transfer.id, obstacle=Obstacle(broken))
    bid = signing.first_bid(offer.fees, gas=offer.gas, cap_wei=job.config.integer("MAX_TRANSFER_FEE_WEI"))
    assert bid is not None
    obstacle = _obstacle(job.config, tx, transfer, held, fees_wei=offer.gas * bid.max_fee_wei, nonce_known=offer.nonce_known)
    if obstacle is not None:
        return _wait(tx, transfer_id=transfer.id, obstacle=obstacle)
    fields = signing.fields(offer.call, chain_id=job.clients.chain.chain_id, nonce=held.next_nonce, gas=offer.gas, bid=bid)
    signed = sign_transfer(key.text, fields)
    cap_wei = job.config.integer("MAX_TRANSFER_FEE_WEI")
    transfers.sign(tx, transfer.id, nonce=held.next_nonce, calldata_hash=call_hash(offer.call), max_total_fee_wei=cap_wei)
    keep(tx, transfer, signed, gas=offer.gas, bid=bid)
    wallet.take_nonce(tx, held.id, nonce=held.next_nonce)
    lines = [ledger.debit(ledger.in_flight(transfer.asset), transfer.units), ledger.credit(ledger.wallet(transfer.asset), transfer.units)]
    ledger.post(tx, "transfer.sign", transfer.id, lines)
    tx.send("transfer.watch", transfer.id)
    return Done()


def keep(tx: Transaction, transfer: TransferRow, signed: Signed, *, gas: int, bid: Bid) -> None:
    """Keep signed bytes as the transfer's newest attempt."""
    transfers.keep_attempt(
        tx,
        transfer.id,
        raw=signed.raw,
        tx_hash=signed.hash,
        gas_limit=gas,
        max_fee_wei=bid.max_fee_wei,
        max_priority_wei=bid.max_priority_wei,
    )


def _obstacle(config: BaseConfigManager, tx: Transaction, transfer: TransferRow, held: WalletRow, *, fees_wei: int, nonce_known: int) -> Obstacle | None:
    """Why nothing may be signed at this moment, seen with the wallet's row held."""
    if held.chain_id != config.integer("ETHEREUM_CHAIN_ID"):
        raise Misconfigured("the wallet was opened on another chain")
    if nonce_known > held.next_nonce:
        # Somebody else uses the key, or the database is older than the chain: another nonce from us could pay twice.
        fence.freeze(tx, held, reason="the chain has nonces that we did not give", detail={"chain": nonce_known, "ours": held.next_nonce})
        return Obstacle("the wallet is frozen")
    if wallet.is_switched_off(tx):
        # Since this step was claimed. Whoever switches signing off holds the wallet's row too, so that nothing is signed after he has.
        return Obstacle("signing is switched off")
    if transfer.purpose != "fill" and strays.is_filling(tx, held.id):
        return Obstacle("nonces from before the restore are taken first", config.integer("CHAIN_POLL_S"))
    full = _full(config, tx, transfer, held)
    if full is not None:
        return full
    load = wallet.load(tx, held.id)
    if load.signed_lately >= config.integer("DAILY_TRANSFER_LIMIT"):
        return Obstacle("the wallet has signed as many transfers as it may in a day")
    limited = spending.limited(config, tx, asset=transfer.asset, units=transfer.units, what=f"transfer {transfer.id}")
    if limited is not None:
        return Obstacle(limited)
    burning_wei = load.fees_wei + fees_wei
    reason = wallet.obstacle(tx, held, fees_wei=burning_wei)
    if reason is None and not wallet.covers(tx, held, asset=transfer.asset, units=transfer.units, fees_wei=burning_wei):
        reason = "the books hold too little"
    if reason is None and transfer.purpose == "treasury":
        own = wallet.withdrawable_units(tx, held, asset=transfer.asset, account=transfer.reason or wallet.EQUITY, fees_wei=burning_wei, but=transfer.id)
        # Gas was burned since an operator asked for it.
        reason = None if transfer.units <= own else "it is more than the platform's own by now"
    return None if reason is None else Obstacle(reason)


def _full(config: BaseConfigManager, tx: Transaction, transfer: TransferRow, held: WalletRow) -> Obstacle | None:
    """All slots are taken: whoever stands first in the line looks at the next block, and everybody behind him as much later as he stands back."""
    if wallet.load(tx, held.id).in_flight < held.max_in_flight:
        return None
    wait_s = config.integer("CHAIN_POLL_S") * (1 + transfers.ahead(tx, transfer.id))
    return Obstacle("all slots of the wallet are taken", min(wait_s, max(LONG_WAIT_S, config.integer("CHAIN_POLL_S"))))

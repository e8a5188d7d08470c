"""Checks the settings, the connections and the books of a fleet; a sentence a problem."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from PGP_COMMON.cli.operator import database, settings
from PGP_COMMON.cli.place import StateOption
from PGP_COMMON.errors import Misconfigured, PgpError

if TYPE_CHECKING:
    from PGP_COMMON.clients.ethereum import Ethereum
    from PGP_COMMON.money_machines import reconciliations

# How often, and how many seconds apart, one looks before a difference between chain and books is one.
LOOKS, LOOK_AGAIN_S = 4, 2.5
# The wallet's key is out of an operator's reach; the one service that has it does not start without.
UNSEEN = {"HOST_WALLET_PRIVATE_KEY": f"0x{'0' * 64}"}


@dataclass(frozen=True)
class Finding:
    """One problem: where, what, and what helps."""

    area: str
    sentence: str


Check = Callable[[Mapping[str, str]], Iterator[Finding]]


def _manifest(_known: Mapping[str, str]) -> Iterator[Finding]:
    from PGP_COMMON.soundness import problems

    yield from (Finding("manifest", problem) for problem in problems())


def _settings(known: Mapping[str, str]) -> Iterator[Finding]:
    from PGP_COMMON.config import BaseConfigManager
    from PGP_COMMON.fleet import FLEET

    for service in FLEET:
        try:
            BaseConfigManager(service, {**UNSEEN, **known})
        except Misconfigured as error:
            yield Finding("settings", str(error))
    if known.get("HOST_WALLET_USDT_ADDRESS", "").lower() != known.get("HOST_WALLET_ETH_ADDRESS", "").lower():
        yield Finding("settings", "HOST_WALLET_USDT_ADDRESS is not the wallet's own address: USDT sent there would never be seen")
    if not known.get("NOWPAYMENTS_EMAIL"):
        yield Finding(
            "settings", "without NOWPAYMENTS_EMAIL and NOWPAYMENTS_PASSWORD, payments whose notices were all lost and that we never saw are not found"
        )


def _books(known: Mapping[str, str]) -> Iterator[Finding]:
    from migrations import run
    from PGP_COMMON.health import expected_revision
    from PGP_COMMON.money_machines import reconciliations
    from PGP_COMMON.money_machines.invariants import Since, breaches

    db = database(known)
    here = run.current(db.engine)
    if (here or "") < expected_revision():
        yield Finding("schema", f"the database is at {here or 'nothing'}, this code wants {expected_revision()}: run `pgp migrate up`")
        return
    with db.transaction() as tx:
        # Everything is looked at once a day; since then, what has moved.
        audit = reconciliations.last(tx, "invariants-full")
        since = None if audit is None else Since(history=audit.seen.get("history", 0), ledger=audit.seen.get("ledger", 0))
        found = {f"{invariant.code}, {invariant.claim}: {breach.subject}: {breach.detail}" for invariant, breach in breaches(tx, since=since)}
    yield from (Finding("invariant", sentence) for sentence in sorted(found))
    yield from _open_letters(known)


def _comparisons(known: Mapping[str, str]) -> Iterator[Finding]:
    """What each comparison found when it was last made, and which have not been made for too long."""
    from PGP_COMMON.money_machines import reconciliations
    from PGP_COMMON.money_machines.reconciliations import JOBS, MISSED

    with database(known).reading() as tx:
        runs = {name: reconciliations.last(tx, name) for name in JOBS}
        fleet_s = reconciliations.running_for_s(tx)
    for name, job in JOBS.items():
        run = runs[name]
        age_s = fleet_s if run is None else run.age_s
        if age_s > MISSED * job.every_s:
            yield Finding("comparison", f"{job.compares} were {_long_ago(run, age_s)}: is the scheduler running, and `pgp dead list` empty?")
        for found in run.lasting if run is not None else ():
            what = ", ".join(f"{key} {value}" for key, value in found.items() if key not in ("since", "runs"))
            yield Finding("comparison", f"{job.compares} differ since {found.get('since')}: {what}; {job.helps}")


def _long_ago(run: reconciliations.Run | None, age_s: int) -> str:
    return "never compared" if run is None else f"last compared {age_s // 60} minutes ago"


def _open_letters(known: Mapping[str, str]) -> Iterator[Finding]:
    from PGP_COMMON.money_machines import standing

    with database(known).reading() as tx:
        for letter in standing.open_letters(tx):
            yield Finding("dead letter", f"{letter.source} {letter.subject}: {letter.reason}")
        for pause in standing.pauses(tx):
            yield Finding("pause", f"{pause.source} is paused: {pause.reason}")
        for wallet in standing.frozen_wallets(tx):
            yield Finding("wallet", f"{wallet.subject} is frozen: {wallet.reason}; look at `pgp wallet show`")


def _keys(known: Mapping[str, str]) -> Iterator[Finding]:
    from PGP_COMMON import rotation

    with database(known).reading() as tx:
        for key in rotation.keys_in_use(tx, known):
            # A cloud's secrets may be out of an operator's reach; then there is nothing to compare with.
            if key.open_work and not key.accepted and known.get(key.setting):
                yield Finding("keys", f"{key.open_work} open units of work carry key {key.kid}, which {key.setting} no longer has: put it back as the second")


def _chain(known: Mapping[str, str]) -> Iterator[Finding]:
    from PGP_COMMON.cli.chain import chain_of
    from PGP_COMMON.money_machines import standing

    with database(known).reading() as tx:
        wallets, sent = standing.wallet_standing(tx), standing.final_transfers(tx)
    if not wallets:
        yield Finding("wallet", "there is no wallet yet: run `pgp wallet init`")
        return
    chain = chain_of(known)
    yield from (Finding("wallet", sentence) for sentence in _lasting(lambda: _differences(known, chain)))
    for transfer in sent:
        if chain.transaction(transfer.tx_hash) is None:
            yield Finding("chain", f"transfer {transfer.id} is final here, and the chain does not know {transfer.tx_hash}")


def _differences(known: Mapping[str, str], chain: Ethereum) -> set[str]:
    """Where the wallet's balance at the newest final block is not what the books say, a sentence an asset."""
    from PGP_COMMON.money_machines import standing

    with database(known).reading() as tx:
        wallets = standing.wallet_standing(tx)
    block = chain.finalized()
    found = set()
    for wallet in wallets:
        on_chain = chain.balance(wallet.asset, wallet.address, block=block)
        booked = int(wallet.ledger_units + wallet.unfinal_units)
        # While a transfer is under way its gas is burned and not yet booked; whatever is final is compared to the unit.
        if on_chain != booked and not wallet.gas_unbooked:
            found.add(f"{wallet.asset}: the chain has {on_chain}, the ledger {booked} (difference {on_chain - booked})")
    return found


def _lasting(look: Callable[[], set[str]]) -> list[str]:
    """What is found at every look: money that has just become final is booked a few seconds later."""
    found = look()
    for _ in range(LOOKS - 1):
        if not found:
            break
        time.sleep(LOOK_AGAIN_S)
        found &= look()
    return sorted(found)


CHECKS: dict[str, Check] = {"manifest": _manifest, "settings": _settings, "books": _books, "comparisons": _comparisons, "keys": _keys, "chain": _chain}


def examine(known: Mapping[str, str]) -> list[Finding]:
    """Everything that is wrong; a check that cannot be made is a finding too."""
    found: list[Finding] = []
    for area, check in CHECKS.items():
        try:
            found += check(known)
        except PgpError as error:
            found.append(Finding(area, f"could not be checked: {error}"))
    return found


def doctor(
    service: Annotated[str, typer.Argument(help="check only this service's settings")] = "",
    state: StateOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="for a machine")] = False,
) -> None:
    """Check everything; exit status 1 and a sentence for each problem."""
    known = settings(state)
    if service:
        from PGP_COMMON.config import BaseConfigManager
        from PGP_COMMON.directory import service_named

        BaseConfigManager(service_named(service), known)
        typer.echo(f"{service} has all its settings")
        return
    found = examine(known)
    if as_json:
        typer.echo(json.dumps([finding.__dict__ for finding in found], indent=1))
    else:
        for finding in found:
            typer.echo(f"❌ {finding.area}: {finding.sentence}")
        typer.echo("✅ nothing is wrong" if not found else f"{len(found)} problems")
    sys.exit(1 if found else 0)

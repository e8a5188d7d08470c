"""Shows the books, an account or a transaction of them, and takes a transaction back by a correction."""

from __future__ import annotations

from typing import Annotated

import typer

from PGP_COMMON.cli.operator import JsonOption, ReasonOption, act, database, desk, settings
from PGP_COMMON.cli.place import StateOption
from PGP_COMMON.cli.printing import amount, say_json, say_table
from PGP_COMMON.errors import BadInput, NotFound

app = typer.Typer(no_args_is_help=True)
LONGEST_WORD = 100


@app.command()
def show(
    account: Annotated[str, typer.Argument(help="an account (`in_flight`, `owner:7:pending`); none: what stands on each")] = "",
    asset: Annotated[str | None, typer.Option(help="only in this asset")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="at most so many postings")] = 50,
    as_json: JsonOption = False,
    state: StateOption = None,
) -> None:
    """Show what stands on every account, or the newest postings of one; debits are positive."""
    from PGP_COMMON.money_machines import ledger

    with database(settings(state)).reading() as tx:
        found = ledger.entries(tx, code=account, asset=asset, limit=limit) if account else ledger.accounts(tx)
    if account and not found:
        raise NotFound(f"nothing was ever posted to {account}")
    if as_json:
        say_json(found)
    elif account:
        rows = [(one.tx_id, one.at, one.kind, one.reference, one.units, one.asset) for one in found if isinstance(one, ledger.Entry)]
        say_table(("transaction", "time", "kind", "reference", "units", "asset"), rows, empty="nothing")
    else:
        standing = [one for one in found if isinstance(one, ledger.Standing) and asset in (None, one.asset)]
        say_table(("account", "stands"), [(one.code, amount(one.balance, one.decimals, one.asset)) for one in standing], empty="the books are empty")


@app.command()
def correct(
    kind: Annotated[str, typer.Argument(help="the transaction's kind, as `pgp ledger show` says it")],
    reference: Annotated[str, typer.Argument(help="its reference")],
    *,
    reason: ReasonOption,
    word: Annotated[str, typer.Option(help="the correction's own reference: the dead letter's number, or a word; default: the transaction's own")] = "",
    despite: Annotated[list[str] | None, typer.Option(help="a claim (`I23`) that will not hold after it, and should not")] = None,
    state: StateOption = None,
) -> None:
    """Reverse a transaction of the books, once; nothing that was posted is ever changed."""
    from PGP_COMMON.operators import books

    why, named = act(reason), word or f"{kind} {reference}"
    if len(named) > LONGEST_WORD or not named.isprintable():
        raise BadInput(f"a correction's word has at most {LONGEST_WORD} printable characters")
    lines = desk(settings(state)).rerun(lambda tx: books.correct(tx, kind, reference, why, word=named, despite=frozenset(despite or ())))
    for line in lines:
        typer.echo(f"{line.code} {line.asset}: {-line.units} base units")
    typer.echo(f"{kind} {reference} is reversed by correction {named}")

"""This is the health: alive says the process runs, ready says it may be sent work, health is for people."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask, Response, jsonify, make_response

from PGP_COMMON.errors import PgpError

if TYPE_CHECKING:
    from PGP_COMMON.runtime import Runtime

PATHS = ("/livez", "/readyz", "/health")


@cache
def expected_revision() -> str:
    """The newest migration that this code was built with."""
    import migrations  # noqa: PLC0415 - read once, at the first readiness probe

    return max(path.name[:4] for path in (Path(migrations.__file__).parent / "versions").glob("[0-9]*.py"))


def checks(runtime: Runtime) -> dict[str, bool]:
    """What must hold before work is taken: the database answers, and its schema is the one this code knows or a later one."""
    try:
        with runtime.db.reading() as tx:
            revision = tx.value("SELECT version_num FROM alembic_version")
    except PgpError:
        return {"database": False, "schema": False}
    return {"database": True, "schema": bool(revision) and str(revision) >= expected_revision()}


def add_routes(app: Flask, runtime: Runtime) -> None:
    """Add the three routes that every service has; none of them names a secret, an address or an error."""

    def livez() -> Response:
        return jsonify(alive=True)

    def readyz() -> Response:
        found = checks(runtime)
        return make_response(jsonify(ready=all(found.values()), **found), 200 if all(found.values()) else 503)

    def health() -> Response:
        found = checks(runtime)
        return jsonify(service=runtime.service.name, purpose=runtime.service.purpose, ready=all(found.values()), **found)

    for path, view in zip(PATHS, (livez, readyz, health), strict=True):
        app.add_url_rule(path, path, view, methods=["GET"])

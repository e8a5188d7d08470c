"""The yardstick: a bare Flask view that puts each body into a table, through the engine that the services use."""

from __future__ import annotations

import sqlalchemy as sa
from flask import Flask, Response, request

from PGP_COMMON.config import environment
from PGP_COMMON.database import make_engine
from PGP_COMMON.manifest import Size

TABLE = sa.text("CREATE TABLE IF NOT EXISTS bench_notice (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body bytea NOT NULL)")
INSERT = sa.text("INSERT INTO bench_notice (body) VALUES (:body)")
DROP = sa.text("DROP TABLE IF EXISTS bench_notice")


def create_app() -> Flask:
    """One view and one statement, which commits by itself."""
    app = Flask("bare")
    engine = make_engine(environment()["DATABASE_URL"], application="bench-bare", pool=Size().pool)
    # As the services' own connections do: no BEGIN and COMMIT around a single statement.
    sa.event.listen(engine, "checkout", lambda connection, _record, _proxy: setattr(connection, "autocommit", True))

    @app.post("/")
    def keep() -> Response:
        with engine.connect() as connection:
            connection.execute(INSERT, {"body": request.get_data()})
        return Response("kept", mimetype="text/plain")

    return app

"""migrations/schema.sql and docs/schema.md: the schema as the database itself describes it, and who writes and reads each table."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from PGP_COMMON.rendering.tables import table

NOTICE = "Written by `pgp migrate dump` from a database that the migrations made. Do not edit."
ROOT = Path(__file__).resolve().parents[2]
# The map's tables that we do not have, and ours under other words: docs/divergences.md says why.
_TABLES = """
SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = 'public' AND c.relkind = 'r' AND c.relname <> 'alembic_version' ORDER BY 1
"""
_COLUMNS = """
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS required, a.attidentity <> '' AS counted,
       pg_get_expr(d.adbin, d.adrelid) AS default
  FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attrelid = CAST(:table AS regclass) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_CONSTRAINTS = "SELECT conname AS name, pg_get_constraintdef(oid) AS text FROM pg_constraint WHERE conrelid = CAST(:table AS regclass) AND contype IN ('p','u','c','f','x') ORDER BY contype, conname"
_INDEXES = """
SELECT pg_get_indexdef(i.indexrelid) AS text FROM pg_index i
 WHERE i.indrelid = CAST(:table AS regclass) AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid) ORDER BY 1
"""
_TRIGGERS = "SELECT pg_get_triggerdef(oid) AS text FROM pg_trigger WHERE tgrelid = CAST(:table AS regclass) AND NOT tgisinternal ORDER BY tgname"
_FUNCTIONS = """
SELECT pg_get_functiondef(p.oid) AS text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname = 'public' AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e') ORDER BY p.proname
"""
_DOMAINS = """
SELECT 'CREATE DOMAIN ' || t.typname || ' AS ' || format_type(t.typbasetype, t.typtypmod) || ' ' || pg_get_constraintdef(c.oid) AS text
  FROM pg_type t JOIN pg_constraint c ON c.contypid = t.oid JOIN pg_namespace n ON n.oid = t.typnamespace
 WHERE n.nspname = 'public' AND t.typtype = 'd' AND c.contype = 'c' ORDER BY t.typname
"""
_WRITES = re.compile(r"\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+(?:ONLY\s+)?([a-z_]+)", re.IGNORECASE)
_READS = re.compile(r"\b(?:FROM|JOIN)\s+([a-z_]+)", re.IGNORECASE)


def _texts(connection: Connection, sql: str, **values: object) -> list[str]:
    return [str(row.text).strip() for row in connection.execute(sa.text(sql), values)]


def _columns(connection: Connection, name: str) -> list[sa.Row[tuple[object, ...]]]:
    return list(connection.execute(sa.text(_COLUMNS), {"table": name}))


def _column_text(row: sa.Row[tuple[object, ...]]) -> str:
    counted = " GENERATED ALWAYS AS IDENTITY" if row.counted else ""
    default = f" DEFAULT {row.default}" if row.default and not row.counted else ""
    return f"    {row.name} {row.type}{counted}{' NOT NULL' if row.required else ''}{default}"


def schema_sql(connection: Connection) -> str:
    """The whole schema, in one order that does not change by itself."""
    parts = [f"-- {NOTICE}", "", *(f"{text};" for text in _texts(connection, _DOMAINS)), ""]
    names = [str(row.name) for row in connection.execute(sa.text(_TABLES))]
    for name in names:
        lines = [_column_text(row) for row in _columns(connection, name)]
        lines += [f"    CONSTRAINT {row.name} {row.text}" for row in connection.execute(sa.text(_CONSTRAINTS), {"table": name})]
        parts += [f"CREATE TABLE {name} (", ",\n".join(lines), ");"]
        parts += [f"{text};" for text in _texts(connection, _INDEXES, table=name) + _texts(connection, _TRIGGERS, table=name)]
        parts.append("")
    parts += [f"{text};\n" for text in _texts(connection, _FUNCTIONS)]
    return "\n".join(parts).rstrip() + "\n"


def _modules() -> Iterable[tuple[str, str]]:
    for folder in sorted([*ROOT.glob("PGP_*"), ROOT / "migrations"]):
        for path in sorted(folder.rglob("*.py")):
            if "cli" not in path.parts and "rendering" not in path.parts:
                yield str(path.relative_to(ROOT)).removesuffix(".py").replace("/", "."), path.read_text(encoding="utf-8")


def users(names: Iterable[str]) -> dict[str, tuple[list[str], list[str]]]:
    """For each table, the modules whose statements write it and those that read it."""
    known = {name: ([], []) for name in names}  # type: dict[str, tuple[list[str], list[str]]]
    for module, text in _modules():
        written = {name.lower() for name in _WRITES.findall(text)}
        read = {name.lower() for name in _READS.findall(text)} - written
        for name in known:
            if name in written:
                known[name][0].append(module)
            elif name in read:
                known[name][1].append(module)
    return known


def schema_md(connection: Connection) -> str:
    """The schema for people: columns, keys, indexes, writers and readers."""
    names = [str(row.name) for row in connection.execute(sa.text(_TABLES))]
    used = users(names)
    parts = [
        f"<!-- {NOTICE} -->",
        "# The schema\n",
        "Why each table is as it is stands beside it in `migrations/versions/`. Amounts are base units; times carry their zone.\n",
    ]
    for name in names:
        writers, readers = used[name]
        rows = [(f"`{row.name}`", row.type, "" if row.required else "may be empty") for row in _columns(connection, name)]
        keys = [f"- `{row.name}`: {row.text}" for row in connection.execute(sa.text(_CONSTRAINTS), {"table": name})]
        keys += [f"- {text}" for text in _texts(connection, _INDEXES, table=name)]
        parts += [f"## {name}\n", f"Written by: {', '.join(writers) or 'the database'}. Read by: {', '.join(readers) or 'nobody else'}.\n"]
        parts += [table(("column", "type", ""), rows), "", *keys, ""]
    return "\n".join(parts)


def rendered(engine: Engine) -> dict[str, str]:
    """Both files by their path from the root."""
    with engine.connect() as connection:
        return {"migrations/schema.sql": schema_sql(connection), "docs/schema.md": schema_md(connection)}

"""docs/settings.md and .env.example, from the catalogue."""

from __future__ import annotations

from PGP_COMMON.config import needed_urls
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.rendering.tables import notice, table
from PGP_COMMON.setting_groups import BASE
from PGP_COMMON.settings import CATALOGUE, Setting


def readers(name: str) -> list[str]:
    """The services that may read a setting."""
    return [service.name for service in FLEET if name in service.settings or name in needed_urls(service)]


def _default(setting: Setting) -> str:
    if setting.default is None:
        return "must be given"
    return f"`{setting.default}`" if setting.default else "empty"


def render() -> str:
    """The page."""
    rows = []
    for name, setting in CATALOGUE.items():
        who = "every service" if name in BASE else ", ".join(readers(name))
        rows.append((f"`{name}`", setting.kind.value, "secret" if setting.secret else "", _default(setting), setting.help, who))
    return "\n".join(
        (
            notice("PGP_COMMON/settings.py and PGP_COMMON/fleet.py"),
            "# Settings\n",
            "A secret comes from Google Secret Manager, or from the file that `SECRETS_FILE` names; it is read again every `SECRETS_TTL_S` seconds, so that a",
            "rotated one takes effect without a restart, and the last good value is used while it cannot be read. A service that lacks a setting says so, with",
            "all the others it lacks, before its port opens.\n",
            table(("setting", "kind", "", "default", "what it is for", "who reads it"), rows),
            "",
        )
    )


def render_example() -> str:
    """The file to copy: names, kinds and defaults; no secret has one."""
    lines = [notice("PGP_COMMON/settings.py", comment="# {}"), "# On one machine `pgp up` makes all of these itself.", ""]
    for name, setting in CATALOGUE.items():
        lines += [
            f"# {setting.help} ({setting.kind.value}{', secret' if setting.secret else ''})",
            f"{'' if setting.default is None else '# '}{name}={setting.default or ''}",
            "",
        ]
    return "\n".join(lines)

"""The generated parts of the folders' READMEs: doors, and the machines a folder names between its marks."""

from __future__ import annotations

import re
from pathlib import Path

from PGP_COMMON.fleet import FLEET
from PGP_COMMON.rendering.fleet_page import doors
from PGP_COMMON.rendering.machines_page import machine_part

_PART = re.compile(r"(<!-- generated: (?P<what>[a-z_ ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _part(folder: str, what: str) -> str:
    if what == "doors":
        services = [service for service in FLEET if service.folder == folder]
        return "\n\n".join(f"### {service.name}\n\n{service.purpose}\n\n{doors(service)}" for service in services)
    return machine_part(what.removeprefix("machine "))


def render(root: Path) -> dict[str, str]:
    """Every service folder's README with its generated parts as the code says; raises FileNotFoundError when a folder has none."""
    files = {}
    for folder in sorted({service.folder for service in FLEET}):
        text = (root / folder / "README.md").read_text(encoding="utf-8")
        files[f"{folder}/README.md"] = _filled(folder, text)
    return files


def _filled(folder: str, text: str) -> str:
    return _PART.sub(lambda found: f"{found[1]}{_part(folder, found['what'])}\n{found[3]}", text)

"""The generated parts of the folders' READMEs: doors, and the machines a folder names between its marks."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PGP_COMMON.fleet import FLEET
from PGP_COMMON.rendering import marks
from PGP_COMMON.rendering.fleet_page import doors
from PGP_COMMON.rendering.machines_page import machine_part


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
        files[f"{folder}/README.md"] = marks.filled(text, partial(_part, folder))
    return files

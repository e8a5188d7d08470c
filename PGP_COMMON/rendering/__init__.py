"""This is the rendering: every committed file that is written from the code, and the function that writes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PGP_COMMON.rendering import compose, fleet_page, image, machines_page, pages, readmes, sandbox, settings_page

ROOT = Path(__file__).resolve().parents[2]
# Files that are rendered whole; the schema's two files need a database and are written by `pgp migrate dump`.
WHOLE: dict[str, Callable[[], str]] = {
    "docs/fleet.md": fleet_page.render,
    "docs/settings.md": settings_page.render,
    "docs/machines.md": machines_page.render,
    ".env.example": settings_page.render_example,
    "docker-compose.yml": compose.render,
    ".env": sandbox.render_env,
    "deploy/Dockerfile": image.render_dockerfile,
    ".dockerignore": image.render_ignore,
    "deploy/Caddyfile": compose.render_edge,
    "deploy/queues.json": compose.render_queues,
}


def rendered() -> dict[str, str]:
    """Every rendered file's path (from the root) and text; READMEs and pages keep what people wrote around the generated parts."""
    files = {path: render() for path, render in WHOLE.items()}
    return {**files, **readmes.render(ROOT), **pages.render(ROOT)}


def differing() -> list[str]:
    """The rendered files that do not stand in the checkout as the code says."""
    return [path for path, text in rendered().items() if not (ROOT / path).exists() or (ROOT / path).read_text(encoding="utf-8") != text]


def write() -> list[str]:
    """Write what differs; gives back its paths."""
    changed = differing()
    files = rendered()
    for path in changed:
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(files[path], encoding="utf-8")
    return changed

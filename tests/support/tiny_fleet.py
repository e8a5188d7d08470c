"""A fleet of three small programs and a job, for the tests of the supervisor."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.local import book, ports, probes
from deploy.local.files import StateDir
from deploy.local.processes import Program
from deploy.local.supervisor import Plan, Stage
from deploy.local.switch import inherited

# Answers every GET, after its parent has forked a worker that would outlive it.
SERVER = """
import http.server, os, signal, sys
port = int(sys.argv[1])
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *words): pass
if os.fork() == 0:
    signal.pause()
server = http.server.HTTPServer(("127.0.0.1", port), Answer)
server.serve_forever()
"""
JOB = "import sys, pathlib; p = pathlib.Path(sys.argv[1]); p.write_text(p.read_text() + 'x' if p.exists() else 'x')"


def server(name: str, port: int, *, kind: str = "service", code: str = SERVER) -> Program:
    """A program that is ready when it answers."""
    return Program(
        name=name,
        kind=kind,
        argv=(sys.executable, "-c", code, str(port)),
        env=inherited(),
        url=f"http://{ports.HOST}:{port}",
        is_ready=lambda: probes.answers(f"http://{ports.HOST}:{port}/"),
        grace_s=2.0,
    )


def job(file: Path) -> Program:
    """A job that leaves one more letter in a file."""
    return Program(name="job", kind="job", argv=(sys.executable, "-c", JOB, str(file)), env=inherited(), is_job=True)


def plan(state: StateDir, options: Mapping[str, str]) -> Plan:
    """One program, then a job, then two programs one after the other; with `broken` one that never starts."""
    picked = ports.Ports(state.ports, held=book.read(state.fleet).running())
    broken = [server("broken", 1, code="raise SystemExit('no use')")] if "broken" in options else []
    stages = (
        Stage("first", (server("one", picked.pick("one"), kind="infrastructure"),)),
        Stage("job", (job(state.root / "jobs"),)),
        Stage("rest", (server("two", picked.pick("two")), server("three", picked.pick("three")), *broken), at_once=1),
    )
    return Plan(stages, {"place": "here"})

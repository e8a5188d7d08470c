"""Serves one simulator: a threaded HTTP/1.1 WSGI server with keep-alive, in one process, so that a kill -9 really stops everything."""

from __future__ import annotations

import io
import json
import signal
import socketserver
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote, urlsplit
from wsgiref.types import WSGIApplication

Background = Callable[[threading.Event], None]

# Longer than any client here keeps an idle connection, so that it is the client who closes it and no request meets a closing socket.
IDLE_S = 600
# A simulator takes small JSON bodies; the largest thing anybody sends is a photo for a broadcast.
BODY_LIMIT = 32 * 1024 * 1024
# How long background workers may take to end after SIGTERM.
STOP_S = 2


class Handler(BaseHTTPRequestHandler):
    """One connection: reads a whole request, calls the application, sends the whole answer with its length."""

    protocol_version = "HTTP/1.1"
    server_version = "simulator"
    sys_version = ""
    timeout = IDLE_S
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024
    server: Server

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self.run
        raise AttributeError(name)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: the books say what was asked."""

    def run(self) -> None:
        """Answer one request, or drop the connection when the application wants the answer lost."""
        body = self.read_body()
        if body is None:
            return
        try:
            status, headers, answer = call(self.server.application, self.environ(body))
        except OSError:
            self.close_connection = True
            return
        except Exception:  # noqa: BLE001 - a bug in a simulator is shown, and answered as a vendor would
            traceback.print_exc()
            status, headers, answer = "500 Internal Server Error", [("Content-Type", "text/plain")], b"internal error"
        self.send(status, headers, answer)

    def send(self, status: str, headers: Iterable[tuple[str, str]], answer: bytes) -> None:
        code, _, phrase = status.partition(" ")
        self.send_response(int(code), phrase)
        bare = self.command == "HEAD" or int(code) in {204, 304}
        for name, value in headers:
            if name.lower() != "connection" and (bare or name.lower() != "content-length"):
                self.send_header(name, value)
        if not bare:
            self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if not bare:
            self.wfile.write(answer)
        self.wfile.flush()

    def read_body(self) -> bytes | None:
        """Take the body off the wire, so that the next request on this connection starts where it should."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self.read_chunks()
        length = self.headers.get("Content-Length", "0")
        if not length.isascii() or not length.isdigit() or int(length) > BODY_LIMIT:
            self.close_connection = True
            self.send_error(413)
            return None
        return self.rfile.read(int(length))

    def read_chunks(self) -> bytes | None:
        whole = b""
        try:
            while size := int(self.rfile.readline(32).partition(b";")[0], 16):
                whole += self.rfile.read(min(size, BODY_LIMIT))
                self.rfile.readline(8)
            while self.rfile.readline(8192) not in {b"\r\n", b"\n", b""}:
                pass
        except ValueError:
            self.close_connection = True
            self.send_error(400)
            return None
        return whole

    def environ(self, body: bytes) -> dict[str, Any]:
        url = urlsplit(self.path)
        host, port = self.server.server_address[:2]
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(url.path, "latin-1"),
            "QUERY_STRING": url.query,
            "SERVER_NAME": host,
            "SERVER_PORT": str(port),
            "SERVER_PROTOCOL": self.request_version,
            "REMOTE_ADDR": self.client_address[0],
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "simulator.connection": self.connection,
        }
        for name, value in self.headers.items():
            key = name.upper().replace("-", "_")
            environ[key if key == "CONTENT_TYPE" else "HTTP_" + key] = value
        # The body has been taken off the wire: it is no longer chunked.
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ["CONTENT_LENGTH"] = str(len(body))
        return environ


class Server(socketserver.ThreadingTCPServer):
    """A listening socket with one thread a connection."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(self, host: str, port: int, application: WSGIApplication) -> None:
        """Bind at once (port 0: any free one), so that the caller can read `port`."""
        self.application = application
        super().__init__((host, port), Handler)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent when a client hangs up; show anything else."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def call(application: WSGIApplication, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
    """Run a WSGI application to its end; what it raises goes through."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start(status: str, headers: list[tuple[str, str]], _: object = None, /) -> Callable[[bytes], object]:
        started.append((status, headers))
        return lambda _: None

    pieces = application(environ, start)
    try:
        answer = b"".join(pieces)
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()
    status, headers = started[-1]
    return status, headers, answer


def serve(app: WSGIApplication, port: int, *, host: str = "127.0.0.1", background: Sequence[Background] = ()) -> None:
    """Serve until SIGTERM or SIGINT, and say where in one line of JSON on stdout.

    Each of `background` runs in a thread of its own from then on; it gets an event that is set when it should end.
    """
    server = Server(host, port, app)
    stop = threading.Event()

    def on_signal(*_: object) -> None:
        stop.set()
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    workers = [threading.Thread(target=worker, args=(stop,), daemon=True) for worker in background]
    for worker in workers:
        worker.start()
    print(json.dumps({"listening": f"http://{host}:{server.port}"}), flush=True)
    try:
        server.serve_forever(poll_interval=0.2)
    finally:
        stop.set()
        server.server_close()
        last = time.monotonic() + STOP_S
        for worker in workers:
            worker.join(max(0.0, last - time.monotonic()))

"""A real S3 server on the loopback interface, which tells what it was asked, and can hold chosen writes back: so that a
test kills a process at an exact point of its work, however fast the machine is."""

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

Start = Callable[[str, list[tuple[str, str]]], Any]


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Nothing is written for a request."""


class ObjectStore:
    """The server; `requests` are the (method, path) it was asked for so far."""

    def __init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)
        self._held: re.Pattern[str] | None = None
        self._reached, self._released = threading.Event(), threading.Event()
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self.requests: list[tuple[str, str]] = []
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _answer(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.requests.append((method, path))
        if self._held is not None and method in ("PUT", "POST") and self._held.search(path):
            self._reached.set()
            self._released.wait()
            start("503 Service Unavailable", [("Content-Length", "0")])
            return [b""]
        found: Iterable[bytes] = self._app(environ, start)
        return found

    @contextmanager
    def hold(self, pattern: str) -> Iterator[threading.Event]:
        """Until the block ends, no write to a path in which `pattern` is found is answered, and none is done. The event
        is set when the first such write has come."""
        self._reached, self._released = threading.Event(), threading.Event()
        self._held = re.compile(pattern)
        try:
            yield self._reached
        finally:
            self._held = None
            self._released.set()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

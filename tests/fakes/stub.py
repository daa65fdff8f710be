"""An HTTP server that knows one answer: requests come in and are kept, what a test has set goes out."""

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Stub(http.server.ThreadingHTTPServer):
    """Answers every request with the status and body set, and keeps what came."""

    def __init__(self) -> None:
        self.status = 202
        self.body = b"{}"
        self.headers: dict[str, str] = {}
        self.delay = 0.0
        super().__init__(("127.0.0.1", 0), _StubHandler)
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _StubHandler(http.server.BaseHTTPRequestHandler):
    def _any(self) -> None:
        stub: Any = self.server
        length = int(self.headers.get("content-length") or 0)
        stub.seen.append(
            (self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, self.rfile.read(length))
        )
        time.sleep(stub.delay)
        self.send_response(stub.status)
        for name, value in stub.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(stub.body)))
        self.end_headers()
        self.wfile.write(stub.body)

    do_GET = do_POST = do_PUT = do_DELETE = _any  # noqa: N815 - http.server's names

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def stub_server() -> Iterator[Stub]:
    """It answers while the context stands."""
    with Stub() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()

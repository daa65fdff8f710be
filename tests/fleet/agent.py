"""An agent and an API outside an emulated machine, for a relay on it: frames come back, calls are remembered."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Request, ServerConnection, serve

from tests.fakes.stub import stub_server


@dataclass
class Outside:
    """Addresses on loopback, and the paths that the agent was asked for."""

    url: str = ""
    api_url: str = ""
    asked: list[str] = field(default_factory=list)

    def note(self, _line: ServerConnection, request: Request) -> None:
        self.asked.append(request.path)

    def echo(self, line: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            for frame in line:
                line.send(frame)


@contextlib.contextmanager
def outside_agent() -> Iterator[Outside]:
    """It takes every terminal; the API beside it has everybody's access as it was."""
    outside = Outside()
    with (
        serve(outside.echo, "127.0.0.1", 0, process_request=outside.note) as agent,
        stub_server() as api,
    ):
        api.status = 200
        outside.url, outside.api_url = f"http://127.0.0.1:{agent.socket.getsockname()[1]}", api.url
        threading.Thread(target=agent.serve_forever, daemon=True).start()
        yield outside
        agent.shutdown()

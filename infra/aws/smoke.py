"""`python -m infra.aws.smoke --url … --sockets …`: the addresses of a deployment come in, whether it works goes out.

Without a token it looks at what anybody may see; with one also at the road from the socket to the queue and back.
"""

import argparse
import json
import os
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import httpx
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from infra.aws.errors import DeployError

SECONDS = 30.0
"""A first invocation imports everything."""


@dataclass(frozen=True, slots=True)
class Smoke:
    """One deployment to look at."""

    url: str
    sockets: str
    token: str | None
    terminals: str = ""
    """Where the relays are, up to a container's id; empty: not looked at."""

    def run(self, say: Callable[[str], None]) -> None:
        """Make every check, or raise DeployError at the first that fails."""
        with httpx.Client(base_url=self.url, timeout=SECONDS) as http:
            _expect(http.get("/health"), 200, "status")
            _expect(http.get("/version"), 200, "version")
            _expect(http.get("/containers"), 401, "error")
            _expect(http.get(f"/no-such-{uuid.uuid4().hex}"), 404, "error")
            say("REST answers, and refuses in our words")
            _refuses(self.sockets, "the socket")
            say("WebSocket refuses who has no token")
            if self.terminals:
                _refuses(f"{self.terminals}/{uuid.uuid4()}", "the relay")
                say("a relay answers, and refuses who has no token")
            if self.token is None:
                say("no token given (BERTH_TOKEN): the rest is not looked at")
                return
            _expect(http.get("/containers", headers=self._credentials(self.token)), 200, "containers")
            self._list_frame(self.token)
            say("a subscriber has its list: socket, queue, status function and push work")

    def _list_frame(self, token: str) -> None:
        try:
            with connect(self.sockets, proxy=None, additional_headers=self._credentials(token)) as socket:
                frame = json.loads(socket.recv(timeout=SECONDS))
        except (OSError, InvalidStatus, TimeoutError) as error:
            raise DeployError(f"no list on the socket: {error!r}") from error
        if frame.get("type") != "list":
            raise DeployError(f"the first frame is {frame.get('type')!r}, not the list")

    @staticmethod
    def _credentials(token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"}


def _refuses(url: str, what: str) -> None:
    """That a WebSocket there needs a token, or DeployError."""
    try:
        with connect(url, proxy=None, open_timeout=SECONDS):
            pass
    except InvalidStatus as refusal:
        if refusal.response.status_code == 401:
            return
        raise DeployError(f"{what} answered {refusal.response.status_code}, not 401") from refusal
    except (OSError, TimeoutError) as error:
        raise DeployError(f"{what} does not answer: {error!r}") from error
    raise DeployError(f"{what} admits who has no token")


def _expect(answer: httpx.Response, status: int, member: str) -> None:
    path = answer.request.url.path
    if answer.status_code != status:
        raise DeployError(f"{path} answered {answer.status_code}, not {status}")
    try:
        found = answer.json()
    except ValueError as error:
        raise DeployError(f"{path} did not answer JSON") from error
    if member not in found:
        raise DeployError(f"{path} answered without {member!r}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.aws.smoke", description="Does this deployment work?")
    parser.add_argument("--url", required=True, help="of the REST API, with its stage")
    parser.add_argument("--sockets", required=True, help="of the WebSocket API, with its stage")
    parsed = parser.parse_args()
    try:
        Smoke(parsed.url, parsed.sockets, os.environ.get("BERTH_TOKEN")).run(_say)
    except (DeployError, httpx.HTTPError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())

"""What is said to who is not let in: a fact comes in, an HTTP answer in the form of the API's own goes out."""

import json

from starlette.responses import Response

SOON = {"Retry-After": "1"}
OLD_TICKET = "the ticket is not valid, or no longer"


class Refused(Exception):
    """The client is not connected, and told so by this answer."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"refused with {status}")
        self.status = status
        self.body = body
        self.headers = headers or {}

    def member(self, name: str) -> str:
        """A text in the answer's JSON object, empty when there is none."""
        try:
            document = json.loads(self.body)
        except ValueError:
            return ""
        found = document.get(name) if isinstance(document, dict) else None
        return found if isinstance(found, str) else ""

    def response(self) -> Response:
        """As it is sent."""
        return Response(self.body, self.status, {"Content-Type": "application/json", **self.headers})


def refused(status: int, code: str, error: str, headers: dict[str, str] | None = None) -> Refused:
    """A refusal by the relay itself."""
    return Refused(status, json.dumps({"error": error, "code": code}).encode(), headers)


def unauthorized(error: str = "unauthorized") -> Refused:
    """Who comes with no credential, or with a bad one."""
    return refused(401, "unauthorized", error, {"WWW-Authenticate": "Bearer"})


def not_found() -> Refused:
    """Where no container can be."""
    return refused(404, "not_found", "container not found")


def host_silent(why: str = "") -> Refused:
    """The container's host cannot be reached, or takes nobody just now."""
    return refused(503, "host_silent", why or "the container's host does not answer", SOON)


def not_running(why: str = "") -> Refused:
    """It stopped after the ticket was made, or has no shell to give."""
    return refused(409, "status_conflict", why or "the container is not running")

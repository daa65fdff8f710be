"""The API as the relay sees it: a caller's token comes in, a ticket goes out, or what the API refused it with."""

import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from chalicelib.contract.signatures import BadSignature, check_public_key
from chalicelib.contract.terminals import Grant, read_ticket, unwrap, wrap
from infra.relay.refusals import OLD_TICKET, SOON, Refused, refused, unauthorized

log = logging.getLogger("berth.relay")

ANSWER_SECONDS = 10.0
_KEPT_HEADERS = ("retry-after", "www-authenticate", "x-request-id")


@dataclass(frozen=True, slots=True)
class Pass:
    """A ticket that was read."""

    ticket: str
    """As the host wants it."""
    wrapped: str
    """As the API gave it."""
    grant: Grant


@dataclass(frozen=True, slots=True)
class Keys:
    """What tickets are read with: they come wrapped with one key and are signed with the control plane's."""

    public_key: str
    relay_key: str

    def check(self) -> None:
        """BadSignature when they are no keys."""
        check_public_key(self.public_key)
        try:
            wrap("", self.relay_key)
        except ValueError as error:
            raise BadSignature("not a relay key") from error

    def read(self, text: str) -> Pass:
        """The pass that a ticket is, or BadSignature."""
        ticket = unwrap(text, self.relay_key)
        return Pass(ticket, text, read_ticket(ticket, self.public_key).grant)

    def read_of_client(self, text: str, container: str) -> Pass:
        """The same of what a client brought for this container, or Refused."""
        try:
            found = self.read(text)
        except BadSignature as error:
            raise unauthorized(OLD_TICKET) from error
        if found.grant.container_id != container:
            raise refused(403, "forbidden", "the ticket is for another container")
        return found


@dataclass(frozen=True, slots=True)
class Api:
    """Where the API is."""

    url: str
    keys: Keys
    trusted: ssl.SSLContext = field(default_factory=ssl.create_default_context)
    """Made once: making it takes longer than a call."""

    async def holds(self, found: Pass) -> bool:
        """Whether whom a pass was given to still may have the terminal; yes when that is not known."""
        url = f"{self.url.rstrip('/')}/terminals/check"
        try:
            async with httpx.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False, verify=self.trusted) as client:
                answer = await client.post(url, json={"ticket": found.wrapped})
        except httpx.HTTPError:
            return True
        return answer.status_code not in (401, 403, 404)

    @asynccontextmanager
    async def of(self, token: str) -> AsyncIterator["Caller"]:
        """The API for one caller."""
        headers = {"Authorization": f"Bearer {token}"}
        base = self.url.rstrip("/")
        async with httpx.AsyncClient(
            base_url=base, headers=headers, timeout=ANSWER_SECONDS, trust_env=False, verify=self.trusted
        ) as client:
            yield Caller(client, self.keys)


@dataclass(frozen=True, slots=True)
class Caller:
    """What one caller may ask."""

    client: httpx.AsyncClient
    keys: Keys

    async def ticket(self, container: str, user: str) -> Pass:
        """A pass to a terminal, or Refused with what the API says."""
        body = {"user": user} if user else {}
        try:
            answer = await self.client.post(f"/containers/{container}/terminal", json=body)
        except httpx.HTTPError as error:
            raise refused(503, "api_silent", "the API does not answer", SOON) from error
        if answer.status_code != 200:
            headers = {name: answer.headers[name] for name in _KEPT_HEADERS if name in answer.headers}
            raise Refused(answer.status_code, answer.content, headers)
        try:
            return self.keys.read(str(answer.json()["ticket"]))
        except (BadSignature, ValueError, KeyError, TypeError) as error:
            log.error("ticket of the API is not readable: are the relay's keys this API's?")
            raise refused(502, "internal_error", "internal error") from error

    async def until_running(self, container: str, seconds: int) -> dict[str, Any]:
        """The container once it runs or has failed, or as it is when the seconds are over; empty when not told."""
        query = {"wait": "running", "timeout": str(seconds)}
        try:
            answer = await self.client.get(f"/containers/{container}", params=query, timeout=seconds + ANSWER_SECONDS)
            item = answer.json() if answer.status_code == 200 else {}
        except (httpx.HTTPError, ValueError):
            return {}
        return item if isinstance(item, dict) else {}

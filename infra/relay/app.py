"""The relay: clients' WebSockets come in at `/ws/terminal/{id}`, lines to the agents of their hosts go out.

Nothing here decides who may do what: the API gives tickets, the agent takes each once. No table is read, and of what
is typed and printed nothing is kept or logged.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import ClientConnection

from chalicelib.contract.terminals import Grant
from infra.relay.api import Api, Caller, Keys, Pass
from infra.relay.doors import Knock, echoed, knock
from infra.relay.line import ACCESS_ENDED, Client, End, Frame, Over, carry, dial
from infra.relay.refusals import Refused
from infra.relay.seats import Seats
from infra.relay.waiting import Arrival, Patience, is_creating

log = logging.getLogger("berth.relay")

PATH = "/ws/terminal"
OF_ONE, OF_ALL = 16, 1000
"""Connections at once, of a user and of the relay."""


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """What a relay knows and allows."""

    api_url: str
    """Base of the REST API, without a slash at its end."""
    keys: Keys
    origins: tuple[str, ...] = ()
    """Of pages whose browsers may come; other clients send none."""
    of_one: int = OF_ONE
    of_all: int = OF_ALL
    recheck_seconds: float = 25.0
    """Between two looks whether who was let in still may be: with what the API believes of a token for 30, under 60."""
    patience: Patience = field(default_factory=Patience)


class Relay:
    """One relay, whose routes are mounted anywhere."""

    def __init__(self, settings: RelaySettings) -> None:
        self._settings = settings
        self._api = Api(settings.api_url, settings.keys)
        self._seats = Seats(settings.of_one, settings.of_all)

    def routes(self) -> Sequence[BaseRoute]:
        """Where clients come."""
        return [WebSocketRoute(f"{PATH}/{{container_id}}", self.handle)]

    def application(self) -> Starlette:
        """The relay by itself, with `/health` for who balances load."""
        return Starlette(routes=[*self.routes(), Route("/health", self._health, methods=["GET"])])

    async def handle(self, socket: WebSocket) -> None:
        """Serve one client from its upgrade to its end."""
        client = Client(socket, socket.query_params.get("raw") == "1")
        try:
            await self._serve(client)
        except Refused as refusal:
            await client.refuse(refusal)
        except Over as over:
            await client.close(over.end)

    async def _health(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok", "connections": self._seats.count})

    async def _serve(self, client: Client) -> None:
        knocked = knock(client.socket, self._settings.origins)
        if knocked.shown.ticket:
            found = self._settings.keys.read_of_client(knocked.shown.ticket, knocked.container)
            await self._connect(client, found, ())
            return
        async with self._api.of(knocked.shown.token) as caller:
            found, held = await self._passed(client, caller, knocked)
        await self._connect(client, found, held)

    async def _passed(self, client: Client, caller: Caller, knocked: Knock) -> tuple[Pass, Sequence[Frame]]:
        """A pass with what the client typed before; who comes before the container is there is let in to wait."""
        try:
            return await caller.ticket(knocked.container, knocked.user), ()
        except Refused as refusal:
            if not is_creating(refusal):
                raise
        # The API has not said yet whose token it is.
        with self._seats.taken(hashlib.sha256(knocked.shown.token.encode()).hexdigest()):
            await client.let_in(echoed(client.socket))
            return await Arrival(client, caller, knocked, self._settings.patience).passed()

    async def _connect(self, client: Client, found: Pass, held: Sequence[Frame]) -> None:
        """The agent comes first: what it refuses can still be an answer of HTTP."""
        with self._seats.taken(found.grant.user_id):
            agent = await dial(found, client.socket.query_params)
            try:
                await client.let_in(echoed(client.socket))
                await client.tell("container_status", "running")
                await self._carry(client, agent, found.grant, carry(client, agent, held, self._access_ends(found)))
            finally:
                await agent.close()

    async def _carry(
        self, client: Client, agent: ClientConnection, grant: Grant, carried: Coroutine[Any, Any, End]
    ) -> None:
        ids = {"container": grant.container_id, "host": grant.host_id, "user": grant.user_id}
        log.info("terminal opened", extra=ids)
        opened, end = time.monotonic(), End(1012)
        try:
            end = await carried
        finally:
            lasted = round(time.monotonic() - opened)
            log.info("terminal closed", extra={**ids, "code": end.code, "seconds": lasted})
            final = end.sendable()
            await client.close(final)
            await agent.close(final.code, final.reason)

    async def _access_ends(self, found: Pass) -> End:
        while True:
            await asyncio.sleep(self._settings.recheck_seconds)
            if not await self._api.holds(found):
                return ACCESS_ENDED

"""Shells that people use in containers: a grant comes in, a shell to attend goes out, kept as long as one may return.

What is typed and printed is written down nowhere. Ids of shells are on disk like those of commands (`notes`).
"""

import asyncio
import logging
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, ParamSpec, TypeVar

from chalicelib.contract.agent_api import ExecUser, RefusalCode
from chalicelib.contract.terminals import Grant
from infra.hostagent.commands.execs import Execs, no_such_user, not_running, users_of
from infra.hostagent.containers.keeper import CallRefused
from infra.hostagent.ports import Command, EngineDown, EngineError, EngineRefused, NotThere, Size, Tty
from infra.hostagent.terminals.frames import Asked
from infra.hostagent.terminals.session import AGENT_ENDS, ENGINE_GONE, SHELL_ENDED, Session, View
from infra.hostagent.terminals.shell import PROBE, shell_of

log = logging.getLogger("berth.agent.terminal")

AT_ONCE = 64
"""Shells on a host."""
AT_ONCE_IN_ONE = 8
"""Shells in one container."""
GRACE_SECONDS = 60.0
"""A shell that nobody attends is kept so long."""
PROBE_SECONDS = 10.0
THREADS = 16
"""For calls to the engine."""

Given = ParamSpec("Given")
Got = TypeVar("Got")


class Place(NamedTuple):
    """Whose shell it is: sockets that agree in all of this share it."""

    container_id: str
    user_id: str
    generation: int
    user: ExecUser | None
    key: str


class Attended(NamedTuple):
    """A shell with a place to attend it, and whether it was begun just now."""

    view: View
    fresh: bool


class Terminals:
    """All shells of a host, so many and no more. Used by the event loop's thread alone."""

    def __init__(self, execs: Execs, grace_seconds: float = GRACE_SECONDS) -> None:
        self._execs = execs
        self._grace = grace_seconds
        self._begun: dict[Place, asyncio.Task[Session]] = {}
        self._keeping: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="terminal")
        self._closed = False

    async def attend(self, grant: Grant, asked: Asked) -> Attended:
        """The shell that was asked for, begun if there is none yet; CallRefused or EngineError when none can be."""
        key = uuid.uuid4().hex if asked.own else asked.key
        place = Place(grant.container_id, grant.user_id, grant.generation, grant.user, f"{asked.own:d}{key}")
        begun = self._begun.get(place)
        if begun is not None and begun.done():
            return Attended(begun.result().attend(asked.size), fresh=False)
        fresh = begun is None
        if begun is None:
            self._check_room(grant.container_id)
            begun = asyncio.create_task(self._begin(place, asked))
            self._begun[place] = begun
        session = await asyncio.shield(begun)
        return Attended(session.attend(asked.size), fresh)

    def _check_room(self, container_id: str) -> None:
        if self._closed:
            raise CallRefused(RefusalCode.BUSY, "the agent is ending")
        here = sum(place.container_id == container_id for place in self._begun)
        if here >= AT_ONCE_IN_ONE or len(self._begun) >= AT_ONCE:
            raise CallRefused(RefusalCode.BUSY, "too many terminals at once")

    async def _begin(self, place: Place, asked: Asked) -> Session:
        try:
            exec_id, tty = await self._call(self._start, place, asked.size)
        except BaseException:
            del self._begun[place]
            raise

        async def resize(size: Size) -> None:
            await self._call(self._execs.engine.resize_tty, exec_id, size)

        session = Session(exec_id, tty, asked.size, resize, fleeting=asked.own)
        keeping = asyncio.create_task(self._keep(place, session))
        self._keeping.add(keeping)
        keeping.add_done_callback(self._keeping.discard)
        return session

    async def _call(self, call: Callable[Given, Got], *args: Given.args, **kwargs: Given.kwargs) -> Got:
        """By a thread: the engine makes everybody wait."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: call(*args, **kwargs))

    def _start(self, place: Place, size: Size) -> tuple[str, Tty]:
        try:
            inside = self._execs.running(place.container_id, place.generation)
            shell = shell_of(self._whose(inside.engine_id, place.user), inside)
            exec_id = self._execs.engine.prepare(inside.engine_id, shell)
            self._execs.notes.keep(exec_id)
            try:
                tty = self._execs.engine.attach(exec_id, size)
            except EngineError:
                self._execs.notes.end(exec_id)
                raise
        except (NotThere, EngineRefused) as error:
            raise not_running() from error
        log.info("terminal opened", extra={"container": place.container_id})
        return exec_id, tty

    def _whose(self, engine_id: str, asked: ExecUser | None) -> str:
        """As the user asked for; as root where none was and the image has no `user`."""
        for user in users_of(asked):
            exited = self._execs.tried(engine_id, Command(PROBE, user), PROBE_SECONDS)
            if exited.left:
                raise EngineDown("a shell does not begin")
            if exited.started:
                return user
            if not no_such_user(exited):
                raise CallRefused(RefusalCode.UNKNOWN, "the container has no /bin/sh")
        raise CallRefused(RefusalCode.UNKNOWN, "the container has no such user")

    async def _keep(self, place: Place, session: Session) -> None:
        await session.until_over(self._grace)
        del self._begun[place]  # at once: whoever comes from now on gets a new shell
        try:
            await session.close()
        finally:
            ended = await self._call(self._execs.notes.end, session.exec_id)
            session.say(SHELL_ENDED if ended else ENGINE_GONE)
        log.info("terminal ended", extra={"container": place.container_id})

    async def close(self) -> None:
        """Begin no more, send everybody away and end every shell."""
        self._closed = True
        await asyncio.gather(*self._begun.values(), return_exceptions=True)
        for begun in list(self._begun.values()):
            session = begun.result()
            session.dismiss(AGENT_ENDS)
            session.expire()
        await asyncio.gather(*self._keeping, return_exceptions=True)
        self._threads.shutdown(wait=False)

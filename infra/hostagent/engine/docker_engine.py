"""Docker Engine behind the agent's port: our words come in, SDK calls go out, their errors come back as ours."""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from docker.errors import APIError, ImageNotFound, NotFound
from docker.types import LogConfig, Ulimit
from docker.utils import version_lt

from infra.hostagent.commands.kill import begins_session, kill_tree
from infra.hostagent.engine.docker_client import CALL_SECONDS
from infra.hostagent.engine.docker_client import connect as _connect
from infra.hostagent.engine.docker_client import our_errors as _ours
from infra.hostagent.engine.docker_exec import follow, hang_up
from infra.hostagent.engine.docker_namespaces import IMAGE as HOLDER_IMAGE
from infra.hostagent.engine.docker_pull import PullConnection
from infra.hostagent.engine.docker_run import run_inside
from infra.hostagent.engine.docker_terminal import attached, detach_keys, resized
from infra.hostagent.ports import (
    Attachment,
    Command,
    EngineContainer,
    EngineFacts,
    EngineImage,
    EngineRefused,
    EngineSignal,
    Exited,
    ImageMissing,
    NameInUse,
    NoSuchUser,
    NotThere,
    Ran,
    Size,
    Take,
    Tty,
    Writable,
)
from infra.hostagent.profile import (
    LABEL,
    LABEL_BLANK,
    LABEL_CONTAINER,
    LABEL_GENERATION,
    LABEL_HOST,
    LABEL_USER,
    Limits,
    Profile,
    named,
)
from infra.hostagent.registry.pins import is_pin, local_name, pinned

LIST_SECONDS = 20
"""The same for the list of containers: with the time between two looks, half a minute."""

_CONFLICT = 409

_NO_CONTAINER = "No such container"
_NO_USER = "unable to find user"

_NEVER = "0001-01-01T00:00:00Z"

_JOINED = "container:"
"""How the engine calls the network of a container that shares another's."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_GENERATION = re.compile(r"[1-9][0-9]{0,8}")
_BLANK = re.compile(r"berth-warm-[0-9a-z]{1,32}-1")
_USER = re.compile(r"[!-~]{1,200}")


class DockerEngine:
    """`ports.Engine` over the engine's socket. Calls come from many threads."""

    def __init__(self, url: str, pull_silence_seconds: float = 240.0) -> None:
        self.runtime: str | None = None
        """For containers whose profile names none; None = what the engine takes of itself."""
        self._url = url
        self._pull_silence = pull_silence_seconds
        self._clients: dict[int, Any] = {}
        self._pulling: dict[str, PullConnection] = {}

    def facts(self) -> EngineFacts:
        with _ours():
            info = self._api().info()
        return EngineFacts(
            version=info["ServerVersion"],
            kernel=info["KernelVersion"],
            cores=int(info["NCPU"]),
            memory_mb=int(info["MemTotal"]) // (1024 * 1024),
            data_root=info["DockerRootDir"],
            runtimes=tuple(sorted(name for name in info.get("Runtimes") or {} if "." not in name)),
            remapped=any("name=userns" in option for option in info.get("SecurityOptions") or ()),
            storage=(info["Driver"], dict(info["DriverStatus"] or ()).get("Backing Filesystem", "")),
        )

    def takes_sizes(self) -> bool:
        """By a volume with a size: the engine takes it only where it has found project quotas under its data."""
        with _ours():
            api = self._api()
            try:
                made = api.create_volume(driver_opts={"size": "1M"}, labels={LABEL: "true"})
            except APIError:
                return False
            api.remove_volume(made["Name"])
        return True

    def images(self) -> list[str]:
        with _ours():
            tags = (tag for image in self._api().images() for tag in image.get("RepoTags") or [])
            return sorted(tag for tag in tags if tag != HOLDER_IMAGE and not is_pin(tag))

    def image(self, reference: str) -> EngineImage | None:
        for name in dict.fromkeys((local_name(reference), reference)):
            with _ours():
                try:
                    found = self._api().inspect_image(name)
                except ImageNotFound:
                    continue
            digest = reference.partition("@")[2] or pinned(found.get("RepoTags") or [], reference)
            return EngineImage(found["Id"], digest or _pulled_digest(found))
        return None

    def tag(self, reference: str, name: str) -> None:
        repository, _, tag = name.rpartition(":")
        with _ours():
            try:
                self._api().tag(reference, repository, tag)
            except NotFound as error:
                raise ImageMissing from error

    def untag(self, reference: str) -> None:
        with _ours():
            try:
                self._api().remove_image(reference, noprune=True)
            except NotFound:
                return

    def pull(self, reference: str) -> Iterator[dict[str, Any]]:
        with _ours():
            connection = PullConnection(self._url, self._pull_silence)
        self._pulling[reference] = connection
        try:
            with _ours():
                for line in connection.lines(reference):
                    if "error" in line:
                        raise EngineRefused(str(line["error"]))
                    yield line
        finally:
            if self._pulling.get(reference) is connection:
                del self._pulling[reference]
            connection.close()

    def give_up(self, reference: str) -> None:
        connection = self._pulling.get(reference)
        if connection is not None:
            connection.cut()

    def create(self, profile: Profile) -> str:
        with _ours():
            api = self._api()
            try:
                made = api.create_container(
                    name=profile.name,
                    host_config=_host_config(api, profile, self.runtime),
                    networking_config=_networking(api, profile),
                    mac_address=_card_beside(api, profile),
                    **profile.container,
                )
            except ImageNotFound as error:
                raise ImageMissing from error
            except APIError as error:
                if error.status_code == _CONFLICT:
                    raise NameInUse(profile.name) from error
                raise
        return str(made["Id"])

    def rename(self, engine_id: str, name: str) -> None:
        with _ours():
            try:
                self._api().rename(engine_id, name)
            except APIError as error:
                if error.status_code == _CONFLICT:
                    raise NameInUse(name) from error
                raise

    def discard(self, name: str) -> None:
        self.remove(name)

    def start(self, engine_id: str) -> None:
        with _ours():
            try:
                self._api().start(engine_id)
            except NotFound as error:
                if "network" not in str(error.explanation):
                    raise
                self._join_again(engine_id)
                self._api().start(engine_id)
            except APIError as error:
                if _NO_CONTAINER in str(error.explanation):  # its holder, of which newer engines say so by 500
                    raise NotThere(str(error.explanation)) from error
                raise

    def _join_again(self, engine_id: str) -> None:
        """A stopped container knows its network by an id that is gone when the network has been made again."""
        api = self._api()
        for name in api.inspect_container(engine_id)["NetworkSettings"]["Networks"]:
            api.disconnect_container_from_network(engine_id, name, force=True)
            api.connect_container_to_network(engine_id, name)

    def stop(self, engine_id: str, seconds: int) -> None:
        with _ours():
            self._api().stop(engine_id, timeout=seconds)

    def resize(self, engine_id: str, limits: Limits) -> None:
        """By hand: the SDK's own update knows no `NanoCpus`, and a container that has them takes nothing else."""
        with _ours():
            api = self._api()
            if limits.memory < api.inspect_container(engine_id)["HostConfig"]["Memory"]:
                _check_lowering(api.stats(engine_id, stream=False), limits.memory)
            body = {"Memory": limits.memory, "MemorySwap": limits.memory, "NanoCpus": limits.nano_cpus}
            api._raise_for_status(api._post_json(api._url("/containers/{0}/update", engine_id), data=body))

    def answers(self, engine_id: str) -> bool:
        """By running the container's own `sleep` for no time at all: every image we start has it."""
        with _ours():
            api = self._api()
            run = api.exec_create(engine_id, ["sleep", "0"], user="0")
            api.exec_start(run["Id"])
            return bool(api.exec_inspect(run["Id"])["ExitCode"] == 0)

    def volumes_of(self, image: str) -> tuple[str, ...]:
        with _ours():
            try:
                found = self._api().inspect_image(image)
            except ImageNotFound as error:
                raise ImageMissing from error
        return tuple(sorted((found.get("Config") or {}).get("Volumes") or ()))

    def writable(self, engine_id: str) -> Writable:
        with _ours():
            found = self._api().inspect_container(engine_id)
        upper = ((found.get("GraphDriver") or {}).get("Data") or {}).get("UpperDir")
        if not upper:
            raise EngineRefused("the engine does not say where the container writes")
        volumes = tuple(mount["Source"] for mount in found["Mounts"] if mount["Type"] == "volume")
        return Writable(str(PurePosixPath(upper).parent), volumes, bool(found["State"]["Running"]))

    def run(
        self, engine_id: str, command: Sequence[str], user: str, environment: Mapping[str, str], seconds: float
    ) -> Ran:
        with _ours():
            return run_inside(self._api(), engine_id, command, user, environment, seconds)

    def prepare(self, engine_id: str, command: Command) -> str:
        with _ours():
            try:
                made = self._api().exec_create(
                    engine_id,
                    list(command.argv),
                    user=command.user,
                    workdir=command.workdir,
                    environment=dict(command.environment),
                    stdin=command.reads,
                    tty=command.tty,
                    detach_keys=detach_keys() if command.tty else None,
                )
            except APIError as error:
                if _NO_USER in str(error.explanation):
                    raise NoSuchUser(_NO_USER) from error
                raise
        return str(made["Id"])

    def run_prepared(self, exec_id: str, take: Take, over: Callable[[], bool], given: bytes | None = None) -> Exited:
        said = bytearray()

        def hear(stream: int, piece: bytes) -> None:
            said.extend(piece[: _SAID - len(said)])
            take(stream, piece)

        with _ours():
            stream = self._api().exec_start(exec_id, socket=True)
            try:
                if not follow(stream, hear, over, given):
                    return Exited(-1, left=True)
                return self._exited(exec_id, said.decode(errors="replace"))
            finally:
                hang_up(stream)

    def _exited(self, exec_id: str, said: str) -> Exited:
        found = self._settled(exec_id, lambda found: found["ExitCode"] is not None)
        if found["ExitCode"] is None:
            raise EngineRefused("a command ended without an exit code")
        return Exited(int(found["ExitCode"]), started=found["Pid"] != 0, said=said if found["Pid"] == 0 else "")

    def _settled(self, exec_id: str, so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """What the engine says of a command, once it is so or some seconds have passed: it says it a little late."""
        ends = time.monotonic() + _SETTLING_SECONDS
        while True:
            found: dict[str, Any] = self._api().exec_inspect(exec_id)
            if so(found) or time.monotonic() > ends:
                return found
            time.sleep(0.02)

    def attach(self, exec_id: str, size: Size) -> Tty:
        with _ours():
            return attached(self._api(), exec_id, size)

    def resize_tty(self, exec_id: str, size: Size) -> None:
        with _ours():
            resized(self._api(), exec_id, size)

    def end(self, exec_id: str) -> None:
        with _ours():
            try:
                found = self._settled(exec_id, lambda found: not found["Running"] or found["Pid"] != 0)
            except NotFound:
                return
        if not found["Running"] and not begins_session(found["Pid"], found["ContainerID"]):
            return  # engines from 26 on say so of one whose client has gone, too
        if not (found["Pid"] and kill_tree(found["Pid"])):
            raise EngineRefused("processes of a command do not end")

    def find(self, name: str) -> EngineContainer | None:
        with _ours():
            rows = self._api().containers(all=True, filters={"name": f"^/{name}$", "label": [LABEL]})
        return self._described(rows[0]["Id"]) if rows else None

    def of_host(self, host_id: str) -> list[EngineContainer]:
        with _ours():
            rows = self._api(LIST_SECONDS).containers(all=True, filters={"label": [f"{LABEL_HOST}={host_id}"]})
        found = (listed(row) or self._described(row["Id"]) for row in rows)
        return [container for container in found if container is not None]

    def _described(self, engine_id: str) -> EngineContainer | None:
        with _ours():
            try:
                found = self._api().inspect_container(engine_id)
            except NotFound:
                return None
        return described(found)

    def remove(self, engine_id: str) -> None:
        with _ours():
            try:
                self._api().remove_container(engine_id, force=True, v=True)
            except NotThere:
                return
            except APIError as error:
                if error.status_code not in (404, _CONFLICT):
                    raise

    def signals(self, host_id: str) -> Iterator[EngineSignal]:
        with _ours():
            client = _connect(self._url, None)
        try:
            with _ours():
                filters = {"type": "container", "label": [f"{LABEL_HOST}={host_id}"], "event": list(_SIGNALS)}
                for event in client.events(decode=True, filters=filters):
                    attributes = event["Actor"]["Attributes"]
                    at = event["timeNano"] / 1e9
                    container_id, _ = _whose(attributes, attributes.get("name", ""))
                    yield EngineSignal(event["Action"], container_id, at)
        finally:
            client.close()

    def ensure_network(self, name: str, bridge: str) -> bool:
        with _ours():
            api = self._api()
            if any(found["Name"] == name for found in api.networks(names=[name])):
                return False
            options = {
                "com.docker.network.bridge.enable_icc": "false",
                "com.docker.network.bridge.name": bridge,
            }
            api.create_network(name, driver="bridge", options=options, enable_ipv6=False, labels={LABEL: "true"})
        return True

    def drop_network(self, name: str) -> None:
        with _ours():
            try:
                self._api().remove_network(name)
            except APIError:
                return

    def _api(self, seconds: int = CALL_SECONDS) -> Any:
        if seconds not in self._clients:
            self._clients[seconds] = _connect(self._url, seconds)
        return self._clients[seconds]


_SAID = 4096
"""Bytes that are kept of what the engine says when it cannot start a command."""
_SETTLING_SECONDS = 3.0
_SIGNALS = ("die", "oom", "destroy")


def _check_lowering(stats: dict[str, Any], memory: int) -> None:
    """Newer kernels take a limit below what is used, and end the container's processes for it."""
    found = stats.get("memory_stats", {}).get("stats", {})
    used = found.get("rss", found.get("anon", 0)) + found.get("shmem", 0)
    if used > memory:
        raise EngineRefused("more memory is in use")


def _host_config(api: Any, profile: Profile, runtime: str | None) -> dict[str, Any]:
    """The profile's plain values as the SDK's types, and what the SDK has no name for by the engine's."""
    config = {"runtime": runtime} | profile.host_config
    own = {"ReadonlyPaths": config.pop("readonly_paths")}
    config["ulimits"] = [Ulimit(name=u["Name"], soft=u["Soft"], hard=u["Hard"]) for u in config["ulimits"]]
    log = config["log_config"]
    config["log_config"] = LogConfig(type=log["Type"], config=log["Config"])
    config["network_mode"] = f"{_JOINED}{profile.holder}" if profile.holder else profile.network or "none"
    return dict(api.create_host_config(**config)) | own


def _pulled_digest(found: dict[str, Any]) -> str | None:
    """Of an image that the engine has pulled by itself."""
    digests = found.get("RepoDigests") or []
    return str(digests[0]).partition("@")[2] if digests else None


def _networking(api: Any, profile: Profile) -> Any:
    if profile.network is None or profile.holder is not None:
        return None
    return api.create_networking_config({profile.network: api.create_endpoint_config(mac_address=profile.card)})


def _card_beside(api: Any, profile: Profile) -> str | None:
    """Engines before API 1.44 take the card's address with the container, newer ones with its network alone."""
    own = profile.network is not None and profile.holder is None
    return profile.card if own and version_lt(api.api_version, "1.44") else None


def listed(row: dict[str, Any]) -> EngineContainer | None:
    """What a row of `docker ps` says, as long as that is all: of what has ended or is ending it says too little."""
    if row["State"] not in ("running", "created"):
        return None
    state = {"Running": row["State"] == "running", "ExitCode": 0, "Status": row["State"], "FinishedAt": _NEVER}
    same = {name: row.get(name) or {} for name in ("Id", "HostConfig", "NetworkSettings")}
    same["Name"] = next(iter(row.get("Names") or []), "")
    created = datetime.fromtimestamp(row["Created"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return described({**same, "Config": {"Labels": row["Labels"]}, "State": state, "Created": created})


def described(found: dict[str, Any]) -> EngineContainer:
    """What `docker inspect` says; labels may be anybody's: an id that is none gets one by which to call it."""
    labels = found["Config"]["Labels"]
    state = found["State"]
    container_id, generation = _whose(labels, found["Name"].lstrip("/"))
    user_id = labels.get(LABEL_USER, "")
    return EngineContainer(
        engine_id=found["Id"],
        container_id=container_id if _ID.fullmatch(container_id) else f"stray-{found['Id'][:32]}",
        generation=int(generation) if _GENERATION.fullmatch(generation) else 1,
        running=bool(state["Running"]),
        exit_code=int(state["ExitCode"]),
        created_at=_seconds(found["Created"]),
        user_id=user_id if _USER.fullmatch(user_id) else "",
        ever_ran=state["Status"] != "created",
        going=state["Status"] in ("removing", "dead"),
        holder=_holder(found["HostConfig"]["NetworkMode"]),
        finished_at=None if state["FinishedAt"].startswith("0001") else _seconds(state["FinishedAt"]),
        attachment=_attachment(found.get("NetworkSettings", {}).get("Networks") or {}),
        blank=_blank(labels),
    )


def _blank(labels: Mapping[str, str]) -> str:
    """What it was made under, as we name such; it becomes the name of a folder."""
    name = labels.get(LABEL_BLANK, "")
    return name if _BLANK.fullmatch(name) else ""


def _whose(labels: Mapping[str, str], name: str) -> tuple[str, str]:
    """Container id and generation: by the labels, or the name of one that was made ahead."""
    if _blank(labels):
        said = named(name)
        return (said[0], str(said[1])) if said else ("", "")
    return labels.get(LABEL_CONTAINER, ""), labels.get(LABEL_GENERATION, "")


def _holder(network_mode: str) -> str | None:
    return network_mode.removeprefix(_JOINED) if network_mode.startswith(_JOINED) else None


def _attachment(networks: dict[str, Any]) -> Attachment | None:
    places = [Attachment(each.get("MacAddress", ""), each.get("IPAddress", "")) for each in networks.values()]
    return next((each for each in places if each.card and each.address), None)


def _seconds(timestamp: str) -> float:
    """Go's zero to nine digits of a second, of which we take six."""
    whole, fraction = timestamp[:19], timestamp[19:].strip("Z.")[:6].ljust(6, "0")
    return datetime.fromisoformat(f"{whole}.{fraction}+00:00").timestamp()

"""Docker Engine behind the agent's port: our words come in, SDK calls go out, their errors come back as ours."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import requests
import urllib3
from docker import APIClient
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import LogConfig, Ulimit

from infra.hostagent.docker_pull import PullConnection
from infra.hostagent.ports import (
    EngineContainer,
    EngineDown,
    EngineFacts,
    EngineRefused,
    EngineSignal,
    ImageMissing,
    NameInUse,
    NotThere,
)
from infra.hostagent.profile import LABEL, LABEL_CONTAINER, LABEL_GENERATION, LABEL_HOST, LABEL_USER, Limits, Profile

CALL_SECONDS = 30
"""An engine that takes longer than this is as good as down."""

LIST_SECONDS = 20
"""The same for the list of containers: with the time between two looks, half a minute."""

_CONFLICT = 409

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_GENERATION = re.compile(r"[1-9][0-9]{0,8}")
_USER = re.compile(r"[!-~]{1,200}")


class DockerEngine:
    """`ports.Engine` over the engine's socket. Calls come from many threads."""

    def __init__(self, url: str, pull_silence_seconds: float = 240.0) -> None:
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
        )

    def images(self) -> list[str]:
        with _ours():
            return sorted(tag for image in self._api().images() for tag in image.get("RepoTags") or [])

    def has_image(self, reference: str) -> bool:
        with _ours():
            try:
                self._api().inspect_image(reference)
            except ImageNotFound:
                return False
        return True

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
                    host_config=api.create_host_config(**_host_config(profile)),
                    networking_config=_networking(api, profile),
                    **profile.container,
                )
            except ImageNotFound as error:
                raise ImageMissing from error
            except APIError as error:
                if error.status_code == _CONFLICT:
                    raise NameInUse(profile.name) from error
                raise
        return str(made["Id"])

    def start(self, engine_id: str) -> None:
        with _ours():
            try:
                self._api().start(engine_id)
            except NotFound as error:
                if "network" not in str(error.explanation):
                    raise
                self._join_again(engine_id)
                self._api().start(engine_id)

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

    def find(self, name: str) -> EngineContainer | None:
        with _ours():
            rows = self._api().containers(all=True, filters={"name": f"^/{name}$", "label": [LABEL]})
        return self._described(rows[0]["Id"]) if rows else None

    def of_host(self, host_id: str) -> list[EngineContainer]:
        with _ours():
            rows = self._api(LIST_SECONDS).containers(all=True, filters={"label": [f"{LABEL_HOST}={host_id}"]})
        found = (self._described(row["Id"]) for row in rows)
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
                    yield EngineSignal(event["Action"], attributes.get(LABEL_CONTAINER, ""), at)
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


def _connect(url: str, seconds: float | None) -> Any:
    """A client whose calls may take so long (None = for ever); Any, since the SDK is only half typed."""
    client: Any = APIClient
    return client(base_url=url, version="auto", timeout=seconds, num_pools=32)


_SIGNALS = ("die", "oom", "destroy")


@contextmanager
def _ours() -> Iterator[None]:
    """The SDK's errors as the agent's: the only place that knows both."""
    try:
        yield
    except NotFound as error:
        raise NotThere(str(error.explanation)) from error
    except APIError as error:
        raise EngineRefused(str(error.explanation)) from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, DockerException, OSError) as error:
        raise EngineDown(type(error).__name__) from error


def _check_lowering(stats: dict[str, Any], memory: int) -> None:
    """Newer kernels take a limit below what is used, and end the container's processes for it."""
    found = stats.get("memory_stats", {}).get("stats", {})
    used = found.get("rss", found.get("anon", 0)) + found.get("shmem", 0)
    if used > memory:
        raise EngineRefused("more memory is in use")


def _host_config(profile: Profile) -> dict[str, Any]:
    """The profile's plain values as the SDK's types."""
    config = dict(profile.host_config)
    config["ulimits"] = [Ulimit(name=u["Name"], soft=u["Soft"], hard=u["Hard"]) for u in config["ulimits"]]
    log = config["log_config"]
    config["log_config"] = LogConfig(type=log["Type"], config=log["Config"])
    config["network_mode"] = profile.network or "none"
    return config


def _networking(api: Any, profile: Profile) -> Any:
    if profile.network is None:
        return None
    return api.create_networking_config({profile.network: api.create_endpoint_config()})


def described(found: dict[str, Any]) -> EngineContainer:
    """What `docker inspect` says; labels may be anybody's: an id that is none gets one by which to call it."""
    labels = found["Config"]["Labels"]
    state = found["State"]
    container_id, user_id = labels.get(LABEL_CONTAINER, ""), labels.get(LABEL_USER, "")
    generation = labels.get(LABEL_GENERATION, "")
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
    )


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp[:19] + "+00:00").timestamp()

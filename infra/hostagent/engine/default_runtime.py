"""The runtime of containers whose tier names none: what an operator asks for comes in, and is tried before use."""

import contextlib
import time
from typing import Any

from docker.errors import APIError

from infra.hostagent.engine.docker_client import CALL_SECONDS, connect, our_errors
from infra.hostagent.engine.docker_namespaces import IDLE, idler
from infra.hostagent.ports import EngineDown, EngineError, EngineRefused

_LABEL = "berth.trial"
_MEMORY = 32 * 1024 * 1024
_NOT_FOUND = 404
_TRIAL_SECONDS = 5.0


def default_runtime(url: str, host_id: str, known: tuple[str, ...], asked: str | None) -> str | None:
    """What is asked for; None = the engine's own default, which is taken where nothing is.

    EngineRefused, with what to do, where the engine does not have it or it does not work.
    """
    if asked is None:
        return None
    if asked not in known:
        raise EngineRefused(f"the engine has no runtime {asked}, only {', '.join(known)}")
    try:
        try_runtime(url, host_id, asked)
    except EngineDown:
        raise
    except EngineError as error:
        raise EngineRefused(f"the runtime {asked} does not work here: {error}") from error
    return asked


def try_runtime(url: str, host_id: str, name: str) -> None:
    """Start a container that does nothing, and a command in it; EngineRefused where either does not run."""
    trial = f"berth-trial-{host_id}"
    with our_errors():
        api = connect(url, CALL_SECONDS)
        with contextlib.closing(api):
            _remove(api, trial)
            try:
                _live(api, trial, host_id, name)
            finally:
                _remove(api, trial)


def _live(api: Any, trial: str, host_id: str, runtime: str) -> None:
    config = api.create_host_config(
        runtime=runtime, network_mode="none", mem_limit=_MEMORY, memswap_limit=_MEMORY, cap_drop=["ALL"],
        read_only=True, log_config={"Type": "none", "Config": {}},
    )  # fmt: skip
    engine_id = idler(api, {"name": trial, "entrypoint": [IDLE], "labels": {_LABEL: host_id}, "host_config": config})
    api.start(engine_id)
    command = api.exec_create(engine_id, [IDLE])["Id"]
    api.exec_start(command, detach=True)
    ends = time.monotonic() + _TRIAL_SECONDS
    while not api.exec_inspect(command)["Running"]:
        if time.monotonic() > ends:
            raise EngineRefused("a command did not run")
        time.sleep(0.01)


def _remove(api: Any, trial: str) -> None:
    try:
        api.remove_container(trial, force=True, v=True)
    except APIError as error:
        if error.status_code != _NOT_FOUND:
            raise

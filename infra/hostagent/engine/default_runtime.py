"""The runtime of containers whose tier names none: what an engine has comes in, and after a trial a name goes out."""

import contextlib
import logging
import time
from typing import Any

from docker.errors import APIError

from infra.hostagent.engine.docker_client import CALL_SECONDS, connect, our_errors
from infra.hostagent.engine.docker_namespaces import IDLE, idler
from infra.hostagent.ports import EngineDown, EngineError, EngineRefused

log = logging.getLogger("berth.agent")

QUICKEST = "crun"
"""It keeps what runc keeps and has a command running in half the time (ADR 0033)."""

_LABEL = "berth.trial"
_MEMORY = 32 * 1024 * 1024
_NOT_FOUND = 404
_TRIAL_SECONDS = 5.0


def default_runtime(url: str, host_id: str, known: tuple[str, ...], asked: str | None) -> str | None:
    """What `asked` names; without that crun, where the engine has it and it works; None = the engine's own default.

    EngineRefused, with what to do, where one is asked for that the engine does not have or that does not work.
    """
    if asked is not None and asked not in known:
        raise EngineRefused(f"the engine has no runtime {asked}, only {', '.join(known)}")
    name = asked or QUICKEST
    if name not in known:
        return None
    try:
        try_runtime(url, host_id, name)
    except EngineDown:
        raise
    except EngineError as error:
        if asked is not None:
            raise EngineRefused(f"the runtime {name} does not work here: {error}") from error
        log.warning("a runtime does not work", extra={"host": host_id, "runtime": name, "reason": str(error)})
        return None
    return name


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

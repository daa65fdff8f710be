"""What a function loads before its first answer, in an interpreter of its own: what it uses, and nothing of others."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from chalicelib import start
from tests.aws import REGION, ROOT
from tests.fakes.world import CONTROL_KEY

HEAVY = {"asyncio", "boto3", "cryptography", "httpx", "jwt", "pydantic"}
"""Packages that take many milliseconds to import."""

MADE = {
    "api_handler": ("api",),
    "websocket_connect": ("doorkeeper",),
    "websocket_message": ("subscriptions",),
    "websocket_disconnect": ("subscriptions",),
    "provision": ("provisioning",),
    "status": ("status_writer",),
    "sweep": ("sweep", "dead_letter_watch", "fleet", "leases"),
}
"""What each function makes before its first answer."""

PACKAGES = {
    "api_handler": {"pydantic"},
    "websocket_connect": set(),
    "websocket_message": set(),
    "websocket_disconnect": set(),
    "provision": {"cryptography", "httpx", "jwt", "pydantic"},
    "status": {"cryptography", "jwt", "pydantic"},
    "sweep": {"pydantic"},
}

SERVICES = {
    "api_handler": {"attended", "execution", "lifecycle", "rates", "reconfiguration", "tokens"},
    "websocket_connect": {"rates", "subscriptions", "tokens"},
    "websocket_message": {"rates", "subscriptions"},
    "websocket_disconnect": {"rates", "subscriptions"},
    "provision": {"inventories", "provisioning", "rates"},
    "status": {"abreast", "fanout", "inventories", "keyring", "rates", "status", "subscriptions"},
    "sweep": {"abreast", "dead_letters", "fleet", "leases", "sweep"},
}

WHOLE = {
    "app.app": "api_handler",
    "app.connect": "websocket_connect",
    "app.message": "websocket_message",
    "app.disconnect": "websocket_disconnect",
    "app.sweep": "sweep",
}
"""Functions that have all of it made when their first event comes."""

PROGRAM = """
import json, sys
import app
for name in sys.argv[2:]:
    getattr(app.wiring, name)()
json.dump(eval(sys.argv[1]), sys.stdout)
"""


@pytest.mark.parametrize("function", MADE)
def test_a_function_loads_what_it_uses(function: str) -> None:
    loaded = _loaded(*MADE[function])

    assert HEAVY & loaded == PACKAGES[function]
    services = {each.removeprefix("chalicelib.services.") for each in loaded if each.startswith("chalicelib.services.")}
    assert services - {"unmeasured"} == SERVICES[function]


@pytest.mark.parametrize("handler", start.MADE)
def test_lambda_has_clients_made_at_the_start_and_asks_nobody(handler: str) -> None:
    assert _run("app.wiring._client.cache_info().currsize", _HANDLER=handler) > 0


@pytest.mark.parametrize(("handler", "function"), WHOLE.items())
def test_what_asks_nobody_is_made_at_the_start(handler: str, function: str) -> None:
    assert _loaded(*MADE[function]) - _loaded(_HANDLER=handler) == set()


@pytest.mark.parametrize("handler", ["app.connect", "app.provision", "app.status"])
def test_what_every_signature_needs_is_loaded_at_the_start(handler: str) -> None:
    assert "chalicelib.contract.signatures" in _loaded(_HANDLER=handler)


def test_elsewhere_nothing_is_made_at_the_start() -> None:
    assert _run("app.wiring._client.cache_info().currsize") == 0


def _loaded(*made: str, **variables: str) -> set[str]:
    """Every module, once these are made."""
    return set(_run("sorted(sys.modules)", *made, **variables))


def _run(value: str, *made: str, **variables: str) -> Any:
    """The value, once these are made; nobody answers what is asked meanwhile."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "BERTH_PREFIX": "berth-test",
        "BERTH_CONTROL_PRIVATE_KEY": CONTROL_KEY,
        "BERTH_CONTROL_PUBLIC_KEY": "a key",
        "BERTH_SOCKETS_ENDPOINT": "http://127.0.0.1:9",
        **variables,
    }
    command = [sys.executable, "-c", PROGRAM, value, *made]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)

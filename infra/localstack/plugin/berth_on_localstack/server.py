"""LocalStack's own server on the address asked for: its listening address comes in, nothing else is bound.

LocalStack 4.13 binds IPv4 addresses on every interface, whatever GATEWAY_LISTEN says.
"""

from typing import Any

from localstack import config
from localstack.runtime.server.core import RuntimeServer, RuntimeServerPlugin


class LoopbackPlugin(RuntimeServerPlugin):
    name = "loopback"

    def load(self, *_args: Any, **_kwargs: Any) -> RuntimeServer:
        from localstack.runtime.server import twisted

        twisted.endpoints = _Endpoints(twisted.endpoints)
        return twisted.TwistedRuntimeServer()


class _Endpoints:
    """Twisted's endpoints as LocalStack's server sees them."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.TCP6ServerEndpoint = real.TCP6ServerEndpoint

    def TCP4ServerEndpoint(self, reactor: Any, port: int, *_args: Any, **_kwargs: Any) -> Any:  # noqa: N802 - Twisted's
        hosts = {each.port: each.host for each in config.GATEWAY_LISTEN}
        return self._real.TCP4ServerEndpoint(reactor, port, interface=hosts.get(port, "127.0.0.1"))

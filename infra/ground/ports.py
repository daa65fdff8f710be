"""A TCP port for a server that is started later: nothing comes in, a number goes out that stays free until then.

The kernel's own choice (port 0) does not: it comes from the range of outgoing connections, and any of those may have
taken it by the time the server binds it.
"""

import contextlib
import random
import socket
from pathlib import Path

ADDRESS = "127.0.0.1"
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_USUAL_LOWEST = 32768
"""The first port of outgoing connections where the kernel does not say."""
_LEAST = 1024
_SPAN = 16384
_given: set[int] = set()


def unclaimed_port() -> int:
    """Below the ports of outgoing connections, free now, and given to no other caller in this process."""
    highest = max(_lowest_outgoing(), _LEAST + _SPAN)
    while True:
        port = random.SystemRandom().randrange(highest - _SPAN, highest)
        if port not in _given and _free(port):
            _given.add(port)
            return port


def _lowest_outgoing() -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(_RANGE.read_text().split()[0])
    return _USUAL_LOWEST


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True

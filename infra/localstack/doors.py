"""Doors of a container without a network: ports come in, and each is reached through its wall, one way.

The wall is crossed by Unix sockets in a folder that both sides see, with one process of `forward` on each side.
"""

import os
import sys
from pathlib import Path
from typing import Any

from infra.local.processes import Child
from infra.localstack.interpreter import RUN

INSIDE = "/run/berth-doors"
"""Where the container has the folder."""
SCRIPT = Path(__file__).with_name("forward.py")
SCRIPT_INSIDE = "/opt/berth/forward.py"


class Doors:
    """Those of one running container."""

    def __init__(self, container: Any, folder: Path, log: Path) -> None:
        self._container = container
        self._folder, self._log = folder.resolve(), log
        self._children: list[Child] = []
        self._leading_out: set[int] = set()

    def let_in(self, port: int) -> None:
        """The container's port, on the machine's loopback."""
        self._inside(f"in-{port}", str(port))
        self._outside(str(port), f"in-{port}")

    def let_out(self, port: int) -> None:
        """The port of the machine's loopback, on the container's."""
        self._outside(f"out-{port}", str(port))
        if port not in self._leading_out:
            self._leading_out.add(port)
            self._inside(str(port), f"out-{port}")

    def close(self) -> None:
        """On the machine; those inside go with the container."""
        for child in self._children:
            child.kill()

    def _inside(self, listen: str, target: str) -> None:
        self._container.exec_run([RUN, SCRIPT_INSIDE, INSIDE, listen, target], detach=True)

    def _outside(self, listen: str, target: str) -> None:
        command = [sys.executable, str(SCRIPT), str(self._folder), listen, target]
        self._children.append(Child(f"door {listen}", command, os.environ, self._log))

"""`python -m infra.aws.hosts.drain`: waits until the group wants this host gone, empties it, and lets it go.

A host that is to go takes no more containers; those it has may end until the patience is over. What is left then is
told as `host_lost` when the host's lease runs out.
"""

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infra.aws.hosts.lifecycle import TERMINATING, Lifecycle, metadata

LOOK_SECONDS = 10
BEAT_SECONDS = 60
TARGET = "autoscaling/target-lifecycle-state"
DRAIN = Path("/run/berth/drain.env")


@dataclass(frozen=True, slots=True)
class Drain:
    """One host's way out."""

    wanted_state: Callable[[], str]
    take_no_more: Callable[[], None]
    left: Callable[[], int]
    more_time: Callable[[], None]
    go: Callable[[], None]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def run(self, patience: float) -> None:
        """Return when the host is let go."""
        while self.wanted_state() != "Terminated":
            self.sleep(LOOK_SECONDS)
        self.take_no_more()
        ends = self.clock() + patience
        while self.left() and self.clock() < ends:
            self.more_time()
            self.sleep(BEAT_SECONDS)
        self.go()


def take_no_more() -> None:
    """Start the agent again as one that drains; containers run on."""
    DRAIN.parent.mkdir(mode=0o755, exist_ok=True)
    DRAIN.write_text("BERTH_DRAIN=--drain\n")
    subprocess.run(["systemctl", "restart", "berth-agent.service"], check=True)


def left() -> int:
    """Containers of ours that run here."""
    command = ["docker", "ps", "--quiet", "--filter", "label=berth.managed"]
    return len(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


def main() -> None:
    lifecycle = Lifecycle.from_env(os.environ)
    Drain(
        wanted_state=lambda: metadata(TARGET),
        take_no_more=take_no_more,
        left=left,
        more_time=lambda: lifecycle.more_time(TERMINATING),
        go=lambda: lifecycle.complete(TERMINATING, "CONTINUE"),
    ).run(float(os.environ["BERTH_DRAIN_SECONDS"]))


if __name__ == "__main__":
    main()

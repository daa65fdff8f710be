"""An agent that kills itself: `Class.method:before|after:n` in the environment comes in, `kill -9` at that call.

Nothing of this is in what is shipped: the calls are wrapped here, and then the agent's own `main` runs.
"""

import itertools
import os
import signal
import sys
from typing import Any

from infra.hostagent.__main__ import main
from infra.hostagent.engine.docker_engine import DockerEngine
from infra.hostagent.journal.journal import Journal
from infra.hostagent.journal.outbox import Outbox
from tests.docker.agents import DIE_AT

KINDS: dict[str, type] = {kind.__name__: kind for kind in (DockerEngine, Journal, Outbox)}


def doom(die_at: str) -> None:
    """Have the nth call of that method be the process's last, undone or done."""
    where, moment, nth = die_at.split(":")
    kind, method = KINDS[where.partition(".")[0]], where.partition(".")[2]
    call = getattr(kind, method)
    numbers = itertools.count(1)

    def last(*arguments: Any, **options: Any) -> Any:
        number = next(numbers)
        if moment == "before" and number == int(nth):
            os.kill(os.getpid(), signal.SIGKILL)
        answer = call(*arguments, **options)
        if moment == "after" and number == int(nth):
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(kind, method, last)


if __name__ == "__main__":
    doom(os.environ[DIE_AT])
    sys.exit(main())

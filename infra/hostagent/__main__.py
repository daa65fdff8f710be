"""`python -m infra.hostagent serve|keygen`: the host agent's process."""

import logging
import signal
import sys

import uvicorn

from chalicelib.contract.logs import log_as_json, log_crashes
from chalicelib.contract.signatures import public_key_of
from infra.hostagent.agent import Agent, CannotStart
from infra.hostagent.http import SOCKETS
from infra.hostagent.keys import host_key
from infra.hostagent.settings import parse, settings_of

log = logging.getLogger("berth.agent")


def main() -> int:
    """0 after a clean stop; 1 with one line on the error output when it cannot start."""
    parsed = parse()
    if parsed.verb == "keygen":
        sys.stdout.write(public_key_of(host_key(parsed.data)))
        return 0
    settings = settings_of(parsed)
    log_as_json("berth-agent", host=settings.host_id)
    log_crashes()
    try:
        agent = Agent(settings)
    except CannotStart as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn stops at a signal and raises it again afterwards: the clean stop below must still run
        signal.signal(number, lambda *_: None)
    agent.start()
    log.info("agent listening", extra={"endpoint": settings.endpoint})
    try:
        uvicorn.run(
            agent.application(),
            host=settings.address,
            port=settings.port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=2,
            **SOCKETS,
        )
    finally:
        agent.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

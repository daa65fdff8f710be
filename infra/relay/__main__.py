"""`python -m infra.relay`: the relay of terminals by itself, for hosts in private subnets."""

import argparse
import logging
import signal
import sys
from pathlib import Path

import uvicorn

from chalicelib.contract.logs import log_as_json, log_crashes
from chalicelib.contract.signatures import BadSignature
from infra.relay.api import Keys
from infra.relay.app import OF_ALL, OF_ONE, Relay, RelaySettings
from infra.relay.line import FRAME_LIMIT, PING_SECONDS

log = logging.getLogger("berth.relay")

STOP_SECONDS = 5
KEEP_ALIVE_SECONDS = 130
"""A load balancer must be the first to close what it keeps open: else it sends an upgrade into what was just closed."""
TALKATIVE = ("uvicorn.error", "httpx", "httpcore", "websockets")
"""Their lines of level INFO have addresses with tokens in them, or say nothing new."""


def main() -> int:
    """0 after a clean stop; 1 with one line on the error output when it cannot start."""
    parsed = _parser().parse_args()
    try:
        keys = Keys(parsed.public_key.read_text(), parsed.relay_key.read_text().strip())
        keys.check()
    except (OSError, BadSignature) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    log_as_json("berth-relay")
    log_crashes()
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    # uvicorn takes every refusal before the upgrade for a fault of the application.
    logging.getLogger("uvicorn.error").addFilter(lambda record: "completing handshake" not in record.getMessage())
    settings = RelaySettings(
        api_url=parsed.api,
        keys=keys,
        origins=tuple(parsed.origins.split()),
        of_one=parsed.per_user,
        of_all=parsed.connections,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn stops at a signal and raises it again afterwards: that is no failure
        signal.signal(number, lambda *_: None)
    log.info("relay listening", extra={"address": parsed.address, "port": parsed.port})
    uvicorn.run(
        Relay(settings).application(),
        host=parsed.address,
        port=parsed.port,
        ws="websockets-sansio",
        ws_max_size=FRAME_LIMIT,
        ws_ping_interval=PING_SECONDS,
        ws_per_message_deflate=False,
        ssl_certfile=parsed.certificate,
        ssl_keyfile=parsed.certificate_key,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    return 0


def _address(text: str) -> str:
    if not text.startswith(("https://", "http://")):
        raise argparse.ArgumentTypeError("must begin with https:// or http://")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.relay",
        description="Carries terminals from clients to the agents of their hosts: WebSockets at /ws/terminal/{id}.",
    )
    parser.add_argument(
        "--api", required=True, type=_address, metavar="URL", help="base of the REST API: https://…/api"
    )
    parser.add_argument(
        "--public-key", required=True, type=Path, metavar="FILE", help="the control plane's public key, PEM"
    )
    parser.add_argument(
        "--relay-key",
        required=True,
        type=Path,
        metavar="FILE",
        help="the key that the control plane wraps tickets with",
    )
    parser.add_argument("--origins", default="", help="origins of browsers' pages that may come, between spaces")
    parser.add_argument("--address", default="0.0.0.0", help="address to listen on, else %(default)s")  # noqa: S104 - what a relay is for
    parser.add_argument("--port", type=int, default=8443, help="port to listen on, else %(default)s")
    parser.add_argument("--certificate", metavar="FILE", help="TLS certificate chain, PEM; without, TLS ends before")
    parser.add_argument("--certificate-key", metavar="FILE", help="its private key, PEM")
    parser.add_argument(
        "--per-user", type=int, default=OF_ONE, help="connections of one user at once, else %(default)s"
    )
    parser.add_argument("--connections", type=int, default=OF_ALL, help="connections at once, else %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""moto's server as a process of its own: a port comes in, DynamoDB, SQS and the rest answer there.

A second port, if there is one, hears of queues that may have something new to give out.

One lock round its DynamoDB handler: moto's transactions put back a copy of whole tables when a condition fails, and
lose what others wrote meanwhile (reliability 0.2).
"""

import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

import waitress
from moto.dynamodb.responses import DynamoHandler
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.sqs.responses import SQSResponse

from infra.local import moto_answers, moto_transactions
from infra.local.wakes import Voice

THREADS = 32
"""Requests at a time; one may wait in a long poll."""

CONNECTIONS = 2000
"""Every client of every function keeps some."""

KEPT_SECONDS = 3600
"""How long a connection may be idle: a client that finds its own closed has to try again."""

_ONE_AT_A_TIME = threading.RLock()


def _locked(call_action: Callable[[DynamoHandler], Any]) -> Callable[[DynamoHandler], Any]:
    """The same, one call at a time."""

    def one_at_a_time(handler: DynamoHandler) -> Any:
        with _ONE_AT_A_TIME:
            return call_action(handler)

    return one_at_a_time


_CHANGES = ("send_message", "send_message_batch", "delete_message", "delete_message_batch", "change_message_visibility")
"""After these a queue may give out what it did not before: a message, or the next of its group."""


def _telling(method: Callable[[SQSResponse], Any], voice: Voice) -> Callable[[SQSResponse], Any]:
    """The same, and then a word about the queue."""

    def told(response: SQSResponse) -> Any:
        done = method(response)
        queue = response._get_queue_name()
        voice.say(queue)
        if hidden := response._get_param("VisibilityTimeout"):
            voice.say_after(int(hidden), queue)
        return done

    return told


def serve(port: int, wakes: int | None = None) -> None:
    """Answer on loopback until the process ends; connections are kept, which moto's own server does not."""
    if wakes is not None:
        voice = Voice(wakes)
        for name in _CHANGES:
            setattr(SQSResponse, name, _telling(getattr(SQSResponse, name), voice))
    moto_transactions.install()
    moto_answers.install()
    handler: Any = DynamoHandler
    handler.call_action = _locked(handler.call_action)
    application = DomainDispatcherApplication(create_backend_app)
    waitress.serve(
        application,
        host="127.0.0.1",
        port=port,
        threads=THREADS,
        connection_limit=CONNECTIONS,
        channel_timeout=KEPT_SECONDS,
        asyncore_use_poll=True,
        clear_untrusted_proxy_headers=True,
        ident=None,
        _quiet=True,
    )


if __name__ == "__main__":
    logging.getLogger("waitress").setLevel(logging.ERROR)
    serve(*(int(port) for port in sys.argv[1:]))

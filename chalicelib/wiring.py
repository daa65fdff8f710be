"""The one place that chooses adapters: settings come in once, services go out, each made when first asked for.

What not every function needs is imported where it is made: a cold start loads what its function uses (`make bench`).
Stores, queues and sockets that most invocations leave alone are made when they are first used.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any, TextIO

from botocore.config import Config

from chalicelib.adapters.aws import new_session
from chalicelib.adapters.emf import EmfMetrics
from chalicelib.adapters.system import SystemClock, SystemIds
from chalicelib.contract.logs import log_as_json
from chalicelib.settings import Settings

if TYPE_CHECKING:
    from botocore.session import Session

    from chalicelib.adapters.agent_http import HttpAgents
    from chalicelib.adapters.apigw_sockets import ApiGatewaySockets
    from chalicelib.adapters.dead_letters import DeadLetterBox
    from chalicelib.adapters.dynamodb.connections import DynamoConnections
    from chalicelib.adapters.dynamodb.containers import DynamoContainers
    from chalicelib.adapters.dynamodb.hosts import DynamoHosts
    from chalicelib.adapters.dynamodb.ledger import DynamoLedger
    from chalicelib.adapters.dynamodb.rates import DynamoRates
    from chalicelib.adapters.sqs import SqsCommands, SqsEvents, SqsRedelivery
    from chalicelib.contract.commands import Command
    from chalicelib.contract.events import SingleEvent
    from chalicelib.domain.container import Container, Frame
    from chalicelib.edge.containers import Api
    from chalicelib.edge.sockets import Doorkeeper
    from chalicelib.ports import Tracer
    from chalicelib.services.attended import Attended
    from chalicelib.services.audit import Audit
    from chalicelib.services.dead_letters import DeadLetterWatch
    from chalicelib.services.enrolment import Enrolments
    from chalicelib.services.files import Files
    from chalicelib.services.fleet import Fleet
    from chalicelib.services.leases import Leases
    from chalicelib.services.provisioning import Provisioning
    from chalicelib.services.rates import Limiter, Rates
    from chalicelib.services.status import StatusWriter
    from chalicelib.services.subscriptions import Subscriptions
    from chalicelib.services.sweep import Sweep
    from chalicelib.services.terminals import Terminals
    from chalicelib.services.tokens import Tokens
    from chalicelib.services.usage import Usage

LEASES_WIDTH, SWEEP_WIDTH = 16, 8
"""Hosts, and records, that the sweeper handles side by side."""
CLIENT_CONFIG = Config(
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 3},
    max_pool_connections=LEASES_WIDTH,
)

STORE_CONFIG = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1})
"""DynamoDB: our own tries are the only ones, so that they are bounded (`dynamodb.transactions`)."""

CLOCK = SystemClock()
IDS = SystemIds()


@cache
def settings() -> Settings:
    """The environment of this function; also sets up its log, since nothing runs without settings."""
    log_as_json("berth")
    return Settings.from_env(os.environ)


@cache
def _session() -> Session:
    """One for all clients: what it has read for one it need not read for the next."""
    return new_session()


@cache
def _client(service: str) -> Any:
    config = STORE_CONFIG if service == "dynamodb" else CLIENT_CONFIG
    return _session().create_client(service, region_name=settings().region, config=config)


@cache
def containers() -> DynamoContainers:
    from chalicelib.adapters.dynamodb.containers import DynamoContainers

    table = settings().table
    return DynamoContainers(_client("dynamodb"), table("containers"), table("events"), table("hosts"))


@cache
def metrics() -> EmfMetrics:
    return EmfMetrics(settings().stage)


@cache
def tracer() -> Tracer | None:
    """None where the deployment traces nothing."""
    if not settings().tracing:
        return None
    from chalicelib.adapters.xray import XrayTracer

    return XrayTracer()


@cache
def dead_letter_watch() -> DeadLetterWatch:
    from chalicelib.adapters.sqs import SqsDeadLetters
    from chalicelib.services.dead_letters import DeadLetterWatch

    return DeadLetterWatch(SqsDeadLetters(_client("sqs"), settings().queue), metrics())


@cache
def hosts() -> DynamoHosts:
    from chalicelib.adapters.dynamodb.hosts import DynamoHosts

    return DynamoHosts(_client("dynamodb"), settings().table("hosts"), settings().host_shards)


@cache
def connections() -> DynamoConnections:
    from chalicelib.adapters.dynamodb.connections import DynamoConnections

    return DynamoConnections(_client("dynamodb"), settings().table("connections"))


@cache
def sockets() -> ApiGatewaySockets:
    from chalicelib.adapters.apigw_sockets import CONFIG, ApiGatewaySockets

    client = _session().create_client(
        "apigatewaymanagementapi",
        region_name=settings().region,
        endpoint_url=_kept(settings().sockets_endpoint, settings().sockets_endpoint_parameter),
        config=CONFIG,
    )
    return ApiGatewaySockets(client)


@cache
def _queue_url(name: str) -> str:
    return str(_client("sqs").get_queue_url(QueueName=settings().queue(name))["QueueUrl"])


@cache
def commands() -> SqsCommands:
    from chalicelib.adapters.sqs import SqsCommands

    return SqsCommands(_client("sqs"), _queue_url("commands"))


@cache
def events() -> SqsEvents:
    from chalicelib.adapters.sqs import SqsEvents

    return SqsEvents(_client("sqs"), _queue_url("events"), _seal)


def _seal(event: SingleEvent) -> str:
    """Signed with the control plane's key; imported here because not every function signs."""
    from chalicelib.contract.signatures import CONTROL_PLANE, seal

    return seal(event, CONTROL_PLANE, control_private_key())


@cache
def control_private_key() -> str:
    """Read when a function first signs: functions that never do have no leave to read it."""
    return _kept(settings().control_private_key, settings().control_key_secret)


def _kept(value: str, parameter: str) -> str:
    """A setting as it stands in the environment or, on AWS, in the parameter named there."""
    if value or not parameter:
        return value
    from chalicelib.adapters.parameters import SsmParameters

    return SsmParameters(_client("ssm")).get(parameter)


@cache
def dead_letter_box(queue: str) -> DeadLetterBox:
    """For the operator's command alone."""
    from chalicelib.adapters.dead_letters import DeadLetterBox

    return DeadLetterBox(_client("sqs"), queue, _queue_url(queue), _queue_url(f"{queue}-dead"))


@cache
def redelivery(queue: str) -> SqsRedelivery:
    from chalicelib.adapters.sqs import SqsRedelivery

    return SqsRedelivery(_client("sqs"), _queue_url(queue))


@cache
def tokens() -> Tokens:
    from chalicelib.adapters.dynamodb.tokens import DynamoTokens
    from chalicelib.services.tokens import Tokens

    store = DynamoTokens(_client("dynamodb"), settings().table("tokens"))
    return Tokens(store, connections(), _LazySockets(), CLOCK, IDS, settings().guests_per_day)


class _LazyContainers:
    """The store made when first used: of a subscriber's frames, those alone that ask for a list read it."""

    def of_user(self, user_id: str) -> list[Container]:
        return containers().of_user(user_id)

    def frames_after(self, container_id: str, seq: int) -> list[Frame]:
        return containers().frames_after(container_id, seq)


class _LazyCommands:
    """The queue found when first used: most requests only read, and most sweeps find nothing due."""

    def send(self, command: Command, attempt: int = 0) -> None:
        commands().send(command, attempt)


class _LazyEvents:
    """The same: of the functions with subscriptions, `$connect` alone sends."""

    def send(self, event: SingleEvent, attempt: int = 0) -> None:
        events().send(event, attempt)


class _LazySockets:
    """Sockets made when first used: most requests push nothing."""

    def send(self, connection_id: str, text: str) -> None:
        sockets().send(connection_id, text)

    def close(self, connection_id: str) -> None:
        sockets().close(connection_id)


@cache
def rate_store() -> DynamoRates:
    from chalicelib.adapters.dynamodb.rates import DynamoRates

    return DynamoRates(_client("dynamodb"), settings().table("tokens"))


def _limiter(kind: str, most: int, seconds: int) -> Limiter:
    from chalicelib.services.rates import Limit, Limiter

    return Limiter(Limit(kind, most, seconds, settings().rate_stride), rate_store(), CLOCK, metrics())


@cache
def rates() -> Rates:
    from chalicelib.services.rates import Rates

    by_token = _limiter("requests", settings().requests_per_minute, 60)
    return Rates(by_token, _limiter("unauthenticated", settings().unauthenticated_per_minute, 60))


@cache
def api() -> Api:
    from chalicelib.edge.containers import Api
    from chalicelib.ports import Rate
    from chalicelib.services.attended import Attended
    from chalicelib.services.execution import Execution
    from chalicelib.services.lifecycle import Lifecycle
    from chalicelib.services.reconfiguration import Reconfiguration

    rate = Rate(settings().creates_per_minute, settings().creates_per_second)
    lifecycle = Lifecycle(containers(), _LazyCommands(), CLOCK, IDS, rate)
    attended = Attended(lifecycle, hosts(), agents)
    reconfiguration = Reconfiguration(lifecycle, hosts())
    execution = Execution(attended)
    return Api(
        lifecycle,
        reconfiguration,
        execution,
        lambda: _files(attended),
        lambda: _terminals(attended),
        lambda: _usage(attended),
        tokens(),
        rates(),
    )


def _files(attended: Attended) -> Files:
    from chalicelib.services.files import Files

    return Files(attended)


def _usage(attended: Attended) -> Usage:
    from chalicelib.services.usage import Usage

    return Usage(attended, CLOCK)


def _terminals(attended: Attended) -> Terminals:
    from chalicelib.services.terminals import Signing, Terminals

    return Terminals(attended, tokens(), Signing(control_private_key, CLOCK, IDS), settings().terminal_url)


@cache
def subscriptions() -> Subscriptions:
    from chalicelib.services.subscriptions import Subscriptions

    frames = _limiter("frames", settings().frames_per_second, 1)
    limit = settings().connections_per_user
    return Subscriptions(connections(), _LazyContainers(), _LazyEvents(), _LazySockets(), CLOCK, limit, frames)


@cache
def doorkeeper() -> Doorkeeper:
    from chalicelib.edge.sockets import Doorkeeper

    return Doorkeeper(tokens(), subscriptions(), settings().allowed_origins, rates())


@cache
def agents() -> HttpAgents:
    """Imported here because not every function calls hosts."""
    import httpx

    from chalicelib.adapters.agent_http import HttpAgents

    return HttpAgents(httpx.Client(), control_private_key(), CLOCK, IDS)


@cache
def provisioning() -> Provisioning:
    from chalicelib.services.provisioning import Provisioning
    from chalicelib.services.rates import Pulls

    pulls = Pulls(rate_store(), CLOCK, settings().pulls_per_hour, metrics())
    return Provisioning(containers(), hosts(), agents(), _LazyEvents(), CLOCK, IDS, pulls, settings().any_disk)


@cache
def ledger() -> DynamoLedger:
    """For the operator alone: it scans (ADR 0008)."""
    from chalicelib.adapters.dynamodb.ledger import DynamoLedger

    tables = {name: settings().table(name) for name in ("containers", "events", "connections", "hosts")}
    return DynamoLedger(_client("dynamodb"), tables)


def metrics_on(stream: TextIO) -> EmfMetrics:
    """For the operator's commands, whose standard output is their answer."""
    return EmfMetrics(settings().stage, stream)


@cache
def audit() -> Audit:
    from chalicelib.services.audit import Audit

    return Audit(ledger(), agents(), CLOCK)


@cache
def status_writer() -> StatusWriter:
    from chalicelib.services.fanout import FanOut
    from chalicelib.services.inventories import Inventories
    from chalicelib.services.keyring import Keyring
    from chalicelib.services.status import StatusWriter

    public_key = _kept(settings().control_public_key, settings().control_public_key_parameter)
    keyring = Keyring(hosts(), public_key)
    fanout = FanOut(connections(), sockets(), CLOCK, metrics=metrics())
    inventories = Inventories(containers(), _LazyCommands(), CLOCK)
    return StatusWriter(containers(), hosts(), keyring, subscriptions(), fanout, inventories, CLOCK, metrics())


@cache
def leases() -> Leases:
    from chalicelib.services.leases import Leases

    return Leases(containers(), hosts(), _LazyEvents(), CLOCK, LEASES_WIDTH, metrics())


@cache
def sweep() -> Sweep:
    from chalicelib.services.sweep import Sweep

    return Sweep(containers(), _LazyCommands(), _LazyEvents(), CLOCK, metrics(), SWEEP_WIDTH)


@cache
def enrolments() -> Enrolments:
    from chalicelib.services.enrolment import Enrolments

    return Enrolments(hosts(), _kept(settings().host_role, settings().host_role_parameter))


@cache
def fleet() -> Fleet:
    from chalicelib.services.fleet import Fleet

    return Fleet(hosts(), CLOCK, metrics())

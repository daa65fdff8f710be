"""A host of the fleet: a machine comes in that has run its user data; calls to its agent, and its events, go out."""

from dataclasses import dataclass, field
from http import HTTPStatus

from chalicelib.contract.enrolment import Enrolment
from tests.aws import Aws
from tests.docker.agents import RunningAgent
from tests.fleet.instances import Booted, Change
from tests.fleet.machine import Machine
from tests.fleet.stage import Stage

AGENT_PORT = 7070
PATIENCE_SECONDS = 240
"""Of an emulated machine, ten times slower than the one that the tests run on."""

BELOW_THE_FLOOR: Change = ("--warm-memory 0'", "--warm-memory 0 --dev'")
"""Debian's own engine is older than those that the agent takes."""


@dataclass
class HostAgent(RunningAgent):
    """The agent that the machine's own unit runs: this side only calls it and hears it."""

    machine: Machine | None = None
    enrolled: list[str] = field(default_factory=list)
    """Public keys, as the control plane was told of them."""

    def __post_init__(self) -> None:
        self.port = self._machine.port
        self.queue_url = self.aws.queue_url("events")
        self.sqs = self.aws.client("sqs")

    @property
    def _machine(self) -> Machine:
        assert self.machine is not None
        return self.machine

    def public_key(self) -> str:
        return self.enrolled[-1]

    def last_words(self) -> str:
        return self._machine.run("journalctl -u berth-agent -n 30 --no-pager").output


@dataclass(frozen=True, slots=True)
class Host:
    """The machine, its agent, and the stage it belongs to."""

    booted: Booted
    agent: HostAgent
    stage: Stage

    @property
    def machine(self) -> Machine:
        return self.booted.machine

    def await_agent(self) -> None:
        """Return when it answers, as it does some time after it has begun to tell of itself."""
        self.agent.wait(self._answers)

    def _answers(self) -> bool:
        health = self.agent.health()
        return health is not None and health.status_code == HTTPStatus.OK


def enrolled(aws: Aws) -> list[str]:
    """Public keys that hosts have told the control plane of, the last one last."""
    sqs, url, keys = aws.client("sqs"), aws.queue_url("enrolments"), []
    while found := sqs.receive_message(QueueUrl=url).get("Messages"):
        for message in found:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            keys.append(Enrolment.model_validate_json(message["Body"]).public_key)
    return keys

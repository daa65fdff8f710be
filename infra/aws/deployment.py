"""A stage on AWS: supporting stack, keys, functions, APIs, alarms, a fleet of hosts; deployed, updated, or deleted."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from infra.aws.bundle import Bundle
from infra.aws.configuration import KEY_FINGERPRINT, TERMINAL_URL, functions_told
from infra.aws.errors import DeployError
from infra.aws.finish import Deployed, Finish, Network
from infra.aws.parameters import StageParameters
from infra.aws.stack import CloudStack
from infra.aws.terminals import Terminals
from infra.aws.wheels import locked_wheels, only_from

PROJECT = Path(__file__).resolve().parents[2]
STACK = PROJECT / "infra/aws/stack.json"
WATCHING = PROJECT / "infra/aws/observability.json"
FLEET = PROJECT / "infra/aws/hosts/fleet.json"
CHALICE = (str(Path(sys.executable).with_name("chalice")),)


def _quiet(_line: str) -> None:
    """Say nothing."""


class Pair(Enum):
    """Which keys the control plane is to have."""

    KEPT = "as they are, made if there are none"
    ANNOUNCED = "the next pair is announced, and signs nothing yet"
    FOLLOWING = "the announced pair is used from now on"
    NEW = "a new pair, and no other is right any more"


_KEYS = {
    Pair.KEPT: StageParameters.ensure_keys,
    Pair.ANNOUNCED: StageParameters.announce_keys,
    Pair.FOLLOWING: StageParameters.use_announced_keys,
    Pair.NEW: StageParameters.new_keys,
}


@dataclass(frozen=True, slots=True)
class Deployment:
    """One stage in one account and region; `session` is boto3's."""

    session: Any
    stage: str
    project: Path = PROJECT
    chalice: Sequence[str] = CHALICE
    say: Callable[[str], None] = field(default=_quiet)

    @property
    def prefix(self) -> str:
        return f"berth-{self.stage}"

    @property
    def state_file(self) -> Path:
        return self.project / ".chalice" / "deployed" / f"{self.stage}.json"

    @property
    def parameters(self) -> StageParameters:
        return StageParameters(self.session.client("ssm"), self.prefix)

    @property
    def stack(self) -> CloudStack:
        return CloudStack(self.session.client("cloudformation"), self.prefix)

    @property
    def hosts_stack(self) -> CloudStack:
        return CloudStack(self.session.client("cloudformation"), f"{self.prefix}-hosts")

    @property
    def terminals(self) -> Terminals:
        relays = CloudStack(self.session.client("cloudformation"), f"{self.prefix}-relays")
        return Terminals(relays, self.hosts_stack, self.prefix)

    @property
    def watching_stack(self) -> CloudStack:
        return CloudStack(self.session.client("cloudformation"), f"{self.prefix}-observability")

    @property
    def alarm_topic(self) -> str:
        """Who is told of the stage's alarms, whichever stack they are in; empty for nobody."""
        stacks = [each for each in (self.watching_stack, self.stack) if each.exists()]
        return next((topic for each in stacks if (topic := each.parameters().get("AlarmTopicArn"))), "")

    def up(self, whom: Mapping[str, str], pair: Pair = Pair.KEPT) -> tuple[Deployed, bool]:
        """Deploy or update everything; what is deployed, and whether it is the first time.

        `whom` to tell of alarms, as the template's parameters; who was told before, when nobody is given.
        """
        self.say(f"stack {self.prefix}: tables, queues, log groups")
        self.stack.put(STACK, {"Prefix": self.prefix})
        self.keys(pair)
        first = not self.parameters.restore_state(self.state_file)
        deployed = self._functions()
        self.say(f"stack {self.watching_stack.name}: alarms, dashboard")
        self.watching_stack.put(WATCHING, {"Prefix": self.prefix, **whom})
        return deployed, first

    def keys(self, pair: Pair = Pair.KEPT) -> str:
        """The control plane's public key, or keys."""
        self.say(f"keys of the control plane: {pair.value}")
        public = _KEYS[pair](self.parameters)
        self.say(f"fingerprint {self.parameters.fingerprint}")
        return public

    def add_hosts(self, bundle: Bundle, bucket: str, parameters: Mapping[str, str]) -> None:
        """Deploy or update the fleet, and take the function that calls agents into its network."""
        self.say(f"bundle {bundle.key}")
        self.session.client("s3").put_object(Bucket=bucket, Key=bundle.key, Body=bundle.content)
        self.say(f"stack {self.hosts_stack.name}: network, launch template, group")
        self.hosts_stack.put(FLEET, {"Prefix": self.prefix, **bundle.parameters(bucket), **parameters})
        if self.parameters.restore_state(self.state_file):
            self._finish().run(self._deployed(), self._network())

    def add_relays(self, bundle: Bundle, wishes: Mapping[str, str]) -> dict[str, str]:
        """Deploy or update the relays of terminals and tell the functions where they are; the stack's outputs.

        `wishes` are parameters of the template. What is not wished stays; image and bucket are the fleet's, the API's
        address is known when it was deployed from here.
        """
        parameters = self.terminals.of_fleet()
        is_ours = self.parameters.restore_state(self.state_file)
        api = {"ApiUrl": self._deployed().rest_url} if is_ours else {}
        self.say("key of the relays")
        self.parameters.put_relay_key()
        of_stage = {"KeyFingerprint": self.parameters.fingerprint, "AlarmTopicArn": self.alarm_topic}
        parameters = {**parameters, **api, **wishes, **of_stage}
        self.say(f"bundle {bundle.key}")
        bucket = parameters["BundleBucket"]
        self.session.client("s3").put_object(Bucket=bucket, Key=bundle.key, Body=bundle.content)
        self.say(f"stack {self.terminals.stack.name}: load balancer, launch template, group")
        outputs = self.terminals.put({**parameters, **bundle.parameters(bucket)})
        if is_ours and outputs["TerminalUrl"] != self._told():
            self._functions()
        return outputs

    def remove_hosts(self) -> None:
        """Delete the fleet without waiting for its containers."""
        group, autoscaling = f"{self.prefix}-hosts", self.session.client("autoscaling")
        for hook in autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=group)["LifecycleHooks"]:
            autoscaling.delete_lifecycle_hook(AutoScalingGroupName=group, LifecycleHookName=hook["LifecycleHookName"])
        self.hosts_stack.delete()

    def down(self) -> None:
        """Delete everything of the stage; functions first, since they hold the network."""
        if self.parameters.restore_state(self.state_file):
            self.say("functions and APIs (chalice delete)")
            self._chalice("delete")
            self.state_file.unlink(missing_ok=True)
        if self.terminals.stack.exists():
            self.say(f"stack {self.terminals.stack.name}")
            self.terminals.stack.delete()
        if self.hosts_stack.exists():
            self.say(f"stack {self.hosts_stack.name}")
            self.remove_hosts()
        for stack in (self.watching_stack, self.stack):
            if stack.exists():
                self.say(f"stack {stack.name}")
                stack.delete()
        self.say("tables, which the stack retains, and parameters")
        self._delete_tables()
        self.parameters.delete_all()

    def first_token(self) -> str:
        """A first user with a token, shown this once."""
        environment = {**os.environ, "BERTH_PREFIX": self.prefix, "AWS_DEFAULT_REGION": self.session.region_name}
        command = [sys.executable, "-m", "infra.aws.operator", "--json", "create-user", "--tier", "pro"]
        made = json.loads(self._run(command, environment, PROJECT))
        return str(made["token"])

    def _functions(self) -> Deployed:
        """Functions and APIs, and all that Chalice cannot say of them."""
        self.say("functions and APIs (chalice deploy)")
        config, network = self.project / ".chalice" / "config.json", self._network()
        told = {TERMINAL_URL: self.terminals.url, KEY_FINGERPRINT: self.parameters.fingerprint}
        with functions_told(config, self.stage, told, network):
            self._chalice("deploy", only_from(locked_wheels(self.project / "requirements.txt")))
        self.parameters.keep_state(self.state_file)
        deployed = self._deployed()
        self.say("gateway responses, throttles, queue mappings")
        self.parameters.put_sockets_endpoint(deployed.socket_url.replace("wss://", "https://", 1))
        self._finish().run(deployed, network)
        return deployed

    def _told(self) -> str | None:
        """Where the API's function has been told that relays are."""
        found = self.session.client("lambda").get_function_configuration(FunctionName=self.prefix)
        url: str | None = found.get("Environment", {}).get("Variables", {}).get(TERMINAL_URL)
        return url

    def _deployed(self) -> Deployed:
        return Deployed(json.loads(self.state_file.read_text())["resources"])

    def _network(self) -> Network | None:
        if not self.hosts_stack.exists():
            return None
        outputs = self.hosts_stack.outputs()
        return Network(outputs["FunctionSubnets"].split(","), outputs["FunctionSecurityGroup"].split(","))

    def _finish(self) -> Finish:
        client = self.session.client
        return Finish(client("apigateway"), client("apigatewayv2"), client("lambda"), self.prefix)

    def _delete_tables(self) -> None:
        dynamodb = self.session.client("dynamodb")
        for name in ("containers", "events", "connections", "hosts", "tokens"):
            table = f"{self.prefix}-{name}"
            try:
                dynamodb.delete_table(TableName=table)
            except dynamodb.exceptions.ResourceNotFoundException:
                continue
            dynamodb.get_waiter("table_not_exists").wait(TableName=table)

    def _chalice(self, verb: str, more: Mapping[str, str] = MappingProxyType({})) -> None:
        environment = {**os.environ, "AWS_DEFAULT_REGION": self.session.region_name, **more}
        self._run([*self.chalice, verb, "--stage", self.stage], environment, self.project)

    @staticmethod
    def _run(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> str:
        done = subprocess.run(command, env=dict(environment), cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise DeployError(f"{' '.join(command[1:])} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

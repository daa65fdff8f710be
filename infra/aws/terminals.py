"""A stage's terminals: the fleet's network and a deployer's wishes come in, relays run and their address goes out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.aws.errors import DeployError
from infra.aws.stack import CloudStack

TEMPLATE = Path(__file__).with_name("relays") / "relays.json"

_OF_FLEET = {
    "Network": "Network",
    "PublicSubnets": "PublicSubnets",
    "PrivateSubnets": "FunctionSubnets",
    "HostsSecurityGroup": "HostsSecurityGroup",
    "EndpointsSecurityGroup": "EndpointsSecurityGroup",
}
"""Parameters of the relays' template, and the outputs of the fleet's that they are."""


@dataclass(frozen=True, slots=True)
class Terminals:
    """The relays of a stage, in the network of its fleet."""

    stack: CloudStack
    fleet: CloudStack
    prefix: str

    @property
    def url(self) -> str:
        """Where clients reach the relays, up to a container's id; empty when there are none."""
        return self.stack.outputs()["TerminalUrl"] if self.stack.exists() else ""

    def of_fleet(self) -> dict[str, str]:
        """Network, image and bucket, as the fleet has them, or DeployError."""
        if not self.fleet.exists():
            raise DeployError("relays are in the network of the hosts: add hosts first")
        outputs, given = self.fleet.outputs(), self.fleet.parameters()
        if not set(_OF_FLEET.values()) <= set(outputs):
            raise DeployError("the fleet is of an older template: update the hosts first")
        network = {name: outputs[output] for name, output in _OF_FLEET.items()}
        return {**network, "ImageId": given["ImageId"], "BundleBucket": given["BundleBucket"]}

    def put(self, parameters: Mapping[str, str]) -> dict[str, str]:
        """Create or update the relays; the stack's outputs."""
        return self.stack.put(TEMPLATE, {"Prefix": self.prefix, **parameters})

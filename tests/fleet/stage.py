"""A stage in moto with its fleet and its relays: moto's AWS comes in, instances' ids and their user data go out."""

import base64
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from chalicelib.contract.signatures import public_key_of
from infra.aws.bundle import AGENT, RELAY
from infra.aws.deployment import Deployment
from infra.aws.parameters import PUBLIC_KEY
from infra.aws.terminals import TEMPLATE
from infra.local.resources import Stack
from tests.aws import REGION, ROOT, Aws
from tests.deploy.templates import template_defaults
from tests.fakes.world import CONTROL_KEY

BUCKET = "bundles"
_RELAYS = {
    "DomainName": "terminals.example.com",
    "ApiUrl": "https://api.example.com/api",
    "Origins": "https://console.example.com",
}


@dataclass(frozen=True, slots=True)
class Instance:
    """One of moto's instances, and what its launch template has it do when it boots."""

    id: str
    user_data: str


@dataclass(frozen=True, slots=True)
class Stage:
    """The stage `dev`; `aws` has its names."""

    aws: Aws
    deployment: Deployment

    def host(self) -> Instance:
        """One of the fleet's."""
        return self._instance("host")

    def relay(self) -> Instance:
        """Deploy relays beside the fleet, with the relay's bundle."""
        certificate = self.aws.client("acm").request_certificate(DomainName=_RELAYS["DomainName"])["CertificateArn"]
        defaults = template_defaults(TEMPLATE)
        self.deployment.add_relays(RELAY.build(), defaults | _RELAYS | {"CertificateArn": str(certificate)})
        return self._instance("relay")

    def publish_key(self, public: str) -> None:
        """Put the control plane's public key where hosts fetch it."""
        name = self.deployment.parameters.name(PUBLIC_KEY)
        self.aws.client("ssm").put_parameter(Name=name, Value=public, Type="String", Overwrite=True)

    def _instance(self, kind: str) -> Instance:
        ec2: Any = self.aws.client("ec2")
        name = [{"Name": "tag:Name", "Values": [f"{self.aws.prefix}-{kind}"]}]
        found = [each for r in ec2.describe_instances(Filters=name)["Reservations"] for each in r["Instances"]]
        return Instance(str(found[0]["InstanceId"]), self._user_data(f"/etc/berth/{kind}.env"))

    def _user_data(self, settings: str) -> str:
        ec2: Any = self.aws.client("ec2")
        for template in ec2.describe_launch_templates()["LaunchTemplates"]:
            versions = ec2.describe_launch_template_versions(LaunchTemplateId=template["LaunchTemplateId"])
            data = versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]["UserData"]
            text = base64.b64decode(data).decode()
            if settings in text:
                return text
        raise LookupError(settings)


def stage_on(aws: Aws, folder: Path) -> Stage:
    """Tables, queues, keys, and a fleet with the agent's bundle; the control plane's key is the tests' own."""
    aws = Aws(aws.endpoint, "berth-dev")
    session = SimpleNamespace(client=aws.client, region_name=REGION)
    stage = Stage(aws, Deployment(session, "dev", folder))
    stack = Stack.read(ROOT / "infra/aws/stack.json", {"Prefix": aws.prefix}, REGION)
    stack.create(aws.client("dynamodb"), aws.client("sqs"))
    stage.deployment.parameters.ensure_keys()
    stage.publish_key(public_key_of(CONTROL_KEY))
    aws.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    image = aws.client("ec2").describe_images()["Images"][0]["ImageId"]
    stage.deployment.add_hosts(AGENT.build(), BUCKET, {"ImageId": image, "WarmMemory": "0"})
    return stage

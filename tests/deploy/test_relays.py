"""The relays of terminals: their template in moto's CloudFormation, their bundle, how a machine comes and goes."""

import base64
import configparser
import json
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from moto.iam.aws_managed_policies import aws_managed_policies_data

from chalicelib.contract.signatures import new_private_key, public_key_of
from chalicelib.contract.terminals import relay_key
from infra.aws.bundle import RELAY, Bundle
from infra.aws.deployment import Deployment
from infra.aws.errors import DeployError
from infra.aws.stack import CloudStack
from infra.aws.terminals import TEMPLATE, Terminals
from infra.ground.ports import unclaimed_port
from infra.relay.__main__ import KEEP_ALIVE_SECONDS, STOP_SECONDS
from infra.relay.api import Keys
from infra.relay.app import PATH, Relay, RelaySettings
from infra.relay.line import PING_SECONDS
from tests.aws import REGION, ROOT, Aws
from tests.deploy.audit import lint_findings, security_findings
from tests.deploy.bundles import program_of, unpacked_to
from tests.deploy.templates import template_defaults, way_out

RELAYS = ROOT / "infra/aws/relays"
KEY = new_private_key()
WISHES = {
    "DomainName": "terminals.example.com",
    "ApiUrl": "https://abc.execute-api.eu-west-1.amazonaws.com/api",
    "Origins": "https://console.example.com",
    "MinRelays": "2",
}

ACCEPTED = {"CKV_AWS_91": "addresses of terminals may carry tokens, which a log would keep"}


@pytest.fixture(scope="module")
def deployment(aws: Aws, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    session = SimpleNamespace(client=aws.client, region_name=REGION)
    made = Deployment(session, "dev", tmp_path_factory.mktemp("project"))
    aws.client("s3").create_bucket(Bucket="bundles", CreateBucketConfiguration={"LocationConstraint": REGION})
    return made


@pytest.fixture(scope="module")
def fleet(aws: Aws, deployment: Deployment) -> dict[str, str]:
    image = aws.client("ec2").describe_images()["Images"][0]["ImageId"]
    deployment.add_hosts(Bundle("agent", b"agent"), "bundles", {"ImageId": image})
    return deployment.hosts_stack.outputs()


@pytest.fixture(scope="module")
def certificate(aws: Aws) -> str:
    return str(aws.client("acm").request_certificate(DomainName=WISHES["DomainName"])["CertificateArn"])


@pytest.fixture(scope="module")
def relays(deployment: Deployment, fleet: dict[str, str], certificate: str) -> dict[str, str]:
    deployment.parameters.ensure_keys()
    wishes = template_defaults(TEMPLATE) | WISHES | {"CertificateArn": certificate}
    return deployment.add_relays(Bundle("relay", b"relay"), wishes)


def test_the_template_lints() -> None:
    assert lint_findings(TEMPLATE) == ""


def test_no_security_finding_but_those_accepted_with_a_reason(audit: Path) -> None:
    assert {rule for rule, _ in security_findings(audit, TEMPLATE)} == set(ACCEPTED)


def test_relays_are_not_made_before_there_is_a_network_for_them(aws: Aws, tmp_path: Path) -> None:
    session = SimpleNamespace(client=aws.client, region_name=REGION)
    without = Deployment(session, "prod", tmp_path)

    with pytest.raises(DeployError, match="add hosts first"):
        without.add_relays(Bundle("relay", b"relay"), WISHES)
    assert without.terminals.url == ""


def test_a_stage_without_keys_has_no_relays(deployment: Deployment, fleet: dict[str, str]) -> None:
    with pytest.raises(DeployError, match="deploy it first"):
        deployment.add_relays(Bundle("relay", b"relay"), WISHES)
    assert deployment.terminals.url == ""


def test_relays_are_not_made_in_a_fleet_of_an_older_template(deployment: Deployment, fleet: dict[str, str]) -> None:
    class Older(CloudStack):
        def outputs(self) -> dict[str, str]:
            return {"FunctionSubnets": "subnet-1", "FunctionSecurityGroup": "sg-1", "HostRoleId": "AROA"}

    older = Older(deployment.hosts_stack.cloudformation, deployment.hosts_stack.name)

    with pytest.raises(DeployError, match="update the hosts first"):
        Terminals(deployment.terminals.stack, older, "berth-dev").of_fleet()


def test_clients_reach_a_load_balancer_by_tls_and_nothing_but_terminals(
    aws: Aws, relays: dict[str, str], certificate: str
) -> None:
    elb = aws.client("elbv2")
    [balancer] = elb.describe_load_balancers()["LoadBalancers"]
    [listener] = elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    rules = elb.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]
    [targets] = elb.describe_target_groups()["TargetGroups"]

    assert balancer["Scheme"] == "internet-facing"
    assert len({each["ZoneName"] for each in balancer["AvailabilityZones"]}) == 2
    assert (listener["Protocol"], listener["Port"]) == ("HTTPS", 443)
    assert listener["SslPolicy"].startswith("ELBSecurityPolicy-TLS13-1-2")
    assert [each["CertificateArn"] for each in listener["Certificates"]] == [certificate]
    assert [each["Type"] for each in listener["DefaultActions"]] == ["fixed-response"]
    [rule] = [each for each in rules if not each["IsDefault"]]
    assert rule["Conditions"][0]["PathPatternConfig"]["Values"] == [f"{PATH}/*"]
    assert [each["TargetGroupArn"] for each in rule["Actions"]] == [targets["TargetGroupArn"]]
    assert relays == {"TerminalUrl": f"wss://terminals.example.com{PATH}", "Balancer": balancer["DNSName"]}


def test_each_public_subnet_leads_to_the_internet(aws: Aws, fleet: dict[str, str]) -> None:
    for subnet in ("PublicSubnet", "PublicSubnetB"):
        assert way_out(aws, subnet)["GatewayId"].startswith("igw-")


def test_the_relays_answer_where_the_load_balancer_asks_how_they_are(aws: Aws, relays: dict[str, str]) -> None:
    [targets] = aws.client("elbv2").describe_target_groups()["TargetGroups"]
    application = Relay(RelaySettings("", Keys(public_key_of(KEY), relay_key(KEY)))).application()

    assert targets["HealthCheckPath"] in {getattr(each, "path", "") for each in application.routes}
    assert (targets["Protocol"], targets["HealthCheckProtocol"], targets["Port"]) == ("HTTPS", "HTTPS", 8443)
    assert targets["Matcher"] == {"HttpCode": "200"}


def test_connections_outlast_pauses_of_a_terminal_and_are_let_go_in_the_right_order() -> None:
    """moto's CloudFormation takes no attributes of load balancers: these are the template's."""
    idle = int(_attributes("Balancer", "LoadBalancerAttributes")["idle_timeout.timeout_seconds"])
    draining = int(_attributes("RelayTargets", "TargetGroupAttributes")["deregistration_delay.timeout_seconds"])

    assert 2 * PING_SECONDS < idle < KEEP_ALIVE_SECONDS
    assert draining >= 2 * (5 + STOP_SECONDS), "leave.sh looks every 5 seconds"
    assert float(_unit("berth-relay.service")["TimeoutStopSec"]) > STOP_SECONDS


def test_headers_that_are_none_are_dropped() -> None:
    attributes = _attributes("Balancer", "LoadBalancerAttributes")

    assert attributes["routing.http.drop_invalid_header_fields.enabled"] == "true"


def test_relays_run_in_private_subnets_behind_the_load_balancer(
    aws: Aws, fleet: dict[str, str], relays: dict[str, str]
) -> None:
    [group] = [
        each
        for each in aws.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        if each["AutoScalingGroupName"] == "berth-dev-relays"
    ]
    [targets] = aws.client("elbv2").describe_target_groups()["TargetGroups"]

    assert (group["MinSize"], group["MaxSize"], len(group["Instances"])) == (2, 4, 2)
    assert set(group["VPCZoneIdentifier"].split(",")) == set(fleet["FunctionSubnets"].split(","))
    assert group["TargetGroupARNs"] == [targets["TargetGroupArn"]]
    assert group["HealthCheckType"] == "ELB"
    [hook] = _resources()["Relays"]["Properties"]["LifecycleHookSpecificationList"]
    assert (hook["LifecycleHookName"], hook["DefaultResult"]) == ("launching", "ABANDON")
    update = _resources()["Relays"]["UpdatePolicy"]["AutoScalingRollingUpdate"]
    assert (update["MaxBatchSize"], update["MinInstancesInService"]) == (1, {"Ref": "MinRelays"})


def test_each_security_group_lets_in_who_it_must_and_nobody_else(
    aws: Aws, fleet: dict[str, str], relays: dict[str, str]
) -> None:
    groups = {each["GroupId"]: each for each in aws.client("ec2").describe_security_groups()["SecurityGroups"]}
    by_start = {each["Description"].partition(":")[0]: name for name, each in groups.items()}
    balancer, relay = by_start["Load balancer of relays"], by_start["Relays"]
    hosts, endpoints = fleet["HostsSecurityGroup"], fleet["EndpointsSecurityGroup"]

    assert _doors(groups[balancer]["IpPermissions"]) == {(443, "0.0.0.0/0")}
    assert _doors(groups[relay]["IpPermissions"]) == {(8443, balancer)}
    assert _doors(groups[hosts]["IpPermissions"]) == {(7070, fleet["FunctionSecurityGroup"]), (7070, relay)}
    assert (443, relay) in _doors(groups[endpoints]["IpPermissions"])
    [interface] = _launch_data()["NetworkInterfaces"]
    assert interface["Groups"] == [{"Fn::GetAtt": ["RelaysSecurityGroup", "GroupId"]}]
    assert interface["AssociatePublicIpAddress"] is False


def test_each_security_group_lets_out_to_whom_it_must_and_to_nobody_else() -> None:
    """moto's CloudFormation takes no rules of this direction: these are the template's."""
    relays = {"Fn::GetAtt": ["RelaysSecurityGroup", "GroupId"]}

    assert _ways_out("BalancerSecurityGroup") == [(8443, relays)]
    assert _ways_out("RelaysSecurityGroup") == [(7070, {"Ref": "HostsSecurityGroup"}), (443, "0.0.0.0/0")]


def test_the_launch_template_asks_for_tokens_hop_one_and_encrypted_disks(aws: Aws, relays: dict[str, str]) -> None:
    data = _launched(aws)

    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert int(data["MetadataOptions"]["HttpPutResponseHopLimit"]) == 1
    assert [each["Ebs"]["Encrypted"] in (True, "true") for each in data["BlockDeviceMappings"]] == [True]


def test_a_relay_may_read_two_keys_and_its_bundle_and_nothing_else_whatever_aws_own_policy_allows() -> None:
    [policy] = _resources()["RelayRole"]["Properties"]["Policies"]
    statements = policy["PolicyDocument"]["Statement"]
    allowed = {each["Action"]: each["Resource"] for each in statements if each["Effect"] == "Allow"}
    [denied] = [each for each in statements if each["Effect"] == "Deny"]

    assert set(allowed) == {"ssm:GetParameter", "s3:GetObject", "autoscaling:CompleteLifecycleAction"}
    keys = [each["Fn::Sub"].partition(":parameter")[2] for each in allowed["ssm:GetParameter"]]
    assert keys == ["/${Prefix}/control-public-key", "/${Prefix}/relay-key"]
    assert allowed["s3:GetObject"]["Fn::Sub"].endswith(":${BundleBucket}/${BundleKey}")
    assert allowed["autoscaling:CompleteLifecycleAction"]["Fn::Sub"].endswith("/${Prefix}-relays")
    own = json.loads(aws_managed_policies_data)["AmazonSSMManagedInstanceCore"]["Document"]["Statement"]
    assert {a for each in own for a in each["Action"] if a.startswith("ssm:GetParameter")} <= set(denied["Action"])
    assert denied["NotResource"] == allowed["ssm:GetParameter"]


def test_operators_sessions_are_off_unless_asked_for(aws: Aws, relays: dict[str, str]) -> None:
    iam = aws.client("iam")
    [role] = [each for each in iam.list_roles()["Roles"] if "RelayRole" in each["RoleName"]]

    assert iam.list_attached_role_policies(RoleName=role["RoleName"])["AttachedPolicies"] == []
    assert _resources()["RelayRole"]["Properties"]["ManagedPolicyArns"]["Fn::If"][0] == "HasSessions"


def test_the_relays_key_is_a_secret_parameter_and_nowhere_else(
    aws: Aws, deployment: Deployment, relays: dict[str, str]
) -> None:
    kept = aws.client("ssm").get_parameter(Name="/berth-dev/relay-key", WithDecryption=True)["Parameter"]
    private = deployment.parameters.get("control-private-key")
    stack = aws.client("cloudformation").describe_stacks(StackName="berth-dev-relays")["Stacks"]

    assert private is not None
    assert (kept["Type"], kept["Value"]) == ("SecureString", relay_key(private))
    for secret in (kept["Value"], private.splitlines()[1]):
        assert secret not in json.dumps(stack, default=str)
        assert secret not in _user_data(aws)


def test_a_machine_is_told_where_everything_is_and_made_for_the_key_in_use(
    aws: Aws, deployment: Deployment, relays: dict[str, str]
) -> None:
    text = _user_data(aws)
    settings = dict(line.split("=", 1) for line in text.splitlines() if line.startswith("BERTH_"))

    assert settings["BERTH_API"] == WISHES["ApiUrl"]
    assert settings["BERTH_ORIGINS"] == f"'{WISHES['Origins']}'"
    assert settings["BERTH_GROUP"] == "berth-dev-relays"
    assert settings["BERTH_KEY_FINGERPRINT"] == deployment.parameters.fingerprint != ""
    assert settings["BERTH_RELAY_KEY_PARAMETER"] == "/berth-dev/relay-key"
    assert settings["BERTH_CONTROL_KEY_PARAMETER"] == "/berth-dev/control-public-key"
    assert f"{Bundle('relay', b'relay').sha256}  /opt/berth.tar.gz" in text
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0


def test_the_alarms_topic_is_the_stages_whether_it_is_deployed_from_here_or_by_a_pipeline(
    aws: Aws, deployment: Deployment, relays: dict[str, str]
) -> None:
    stage = Deployment(deployment.session, "prod", deployment.project)
    client, told = aws.client("cloudformation"), []
    parameter = {"Type": "String", "Default": ""}
    body = {"Parameters": {"AlarmTopicArn": parameter}, "Resources": {"Q": {"Type": "AWS::SQS::Queue"}}}
    for stack, topic in (("berth-prod", ""), ("berth-prod-observability", "arn:from-here")):
        given = [{"ParameterKey": "AlarmTopicArn", "ParameterValue": topic}]
        told.append(stage.alarm_topic)
        client.create_stack(StackName=stack, TemplateBody=json.dumps(body), Parameters=given)
    told.append(stage.alarm_topic)
    client.delete_stack(StackName="berth-prod-observability")
    given = [{"ParameterKey": "AlarmTopicArn", "ParameterValue": "arn:from-a-pipeline"}]
    client.update_stack(StackName="berth-prod", TemplateBody=json.dumps(body), Parameters=given)

    assert [*told, stage.alarm_topic] == ["", "", "arn:from-here", "arn:from-a-pipeline"]
    assert deployment.terminals.stack.parameters()["AlarmTopicArn"] == "", "nobody is told of this stage"
    client.delete_stack(StackName="berth-prod")


def test_an_update_keeps_what_is_not_said_again_and_has_the_new_bundle(
    aws: Aws, deployment: Deployment, relays: dict[str, str]
) -> None:
    again = deployment.add_relays(Bundle("relay", b"newer"), {})

    assert again == relays
    had = deployment.terminals.stack.parameters()
    assert {name: had[name] for name in WISHES} == WISHES
    assert had["ImageId"] == deployment.hosts_stack.parameters()["ImageId"]
    assert had["BundleSha256"] == Bundle("relay", b"newer").sha256
    assert aws.client("s3").get_object(Bucket="bundles", Key=had["BundleKey"])["Body"].read() == b"newer"


def test_a_zone_gets_a_record_for_the_name(
    aws: Aws, deployment: Deployment, relays: dict[str, str], tmp_path: Path
) -> None:
    """moto knows no zone of a load balancer: the template says another in its place."""
    route53 = aws.client("route53")
    zone = route53.create_hosted_zone(Name="example.com", CallerReference="1")["HostedZone"]["Id"].rpartition("/")[2]
    template = json.loads(TEMPLATE.read_text())
    alias = template["Resources"]["Record"]["Properties"]["AliasTarget"]
    assert alias["HostedZoneId"] == {"Fn::GetAtt": ["Balancer", "CanonicalHostedZoneID"]}
    alias["HostedZoneId"] = "Z2P70J7EXAMPLE"
    (tmp_path / "relays.json").write_text(json.dumps(template))

    before = [each["Type"] for each in route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]]
    deployment.terminals.stack.put(tmp_path / "relays.json", {"HostedZoneId": zone})

    assert "A" not in before
    [record] = [
        each
        for each in route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
        if each["Type"] == "A"
    ]
    assert record["Name"].rstrip(".") == "terminals.example.com"
    assert record["AliasTarget"]["DNSName"].rstrip(".").endswith(relays["Balancer"])


def test_destroying_a_stage_takes_relays_before_the_network_they_are_in(
    aws: Aws, deployment: Deployment, relays: dict[str, str]
) -> None:
    """moto cannot delete a network with route tables: the fleet stays, and what is there when it should go is noted."""
    there: list[bool] = []

    class Stage(Deployment):
        def remove_hosts(self) -> None:
            there.append(self.terminals.stack.exists())

    Stage(deployment.session, deployment.stage, deployment.project).down()

    groups = aws.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert there == [False]
    assert aws.client("elbv2").describe_load_balancers()["LoadBalancers"] == []
    assert [each["AutoScalingGroupName"] for each in groups] == ["berth-dev-hosts"]
    assert aws.client("ssm").describe_parameters()["Parameters"] == []


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked_to(tmp_path_factory.mktemp("relay"), RELAY)


class Machine:
    """A machine that has its bundle, with programs of the system that only note what they were asked."""

    def __init__(self, folder: Path, unpacked: Path) -> None:
        self.etc, self.bin, self.log, self.unpacked = folder / "etc", folder / "bin", folder / "log", unpacked
        (self.etc / "systemd/system").mkdir(parents=True)
        (self.etc / "berth").mkdir()
        (self.etc / "berth/relay.env").write_text(
            "BERTH_INSTANCE=i-1\nBERTH_REGION=eu-west-1\nBERTH_GROUP=berth-dev-relays\nBERTH_API=http://127.0.0.1:9\n"
            "BERTH_CONTROL_KEY_PARAMETER=/berth-dev/control-public-key\nBERTH_RELAY_KEY_PARAMETER=/berth-dev/relay-key\n"
            "BERTH_ORIGINS='https://a.example https://b.example'\n"
        )
        self.bin.mkdir()
        for name in ("systemctl", "sleep"):
            self.has(name)

    def has(self, name: str, then: str = "") -> None:
        program = self.bin / name
        program.write_text(f'#!/bin/bash\necho "{name} $*" >> {self.log}\n{then}\n')
        program.chmod(0o755)

    def has_parameters(self, parameters: dict[str, str]) -> None:
        cases = "\n".join(f"*'--name {name} '*) echo {shlex.quote(value)};;" for name, value in parameters.items())
        self.has("aws", f'case "$*" in\n{cases}\nesac')

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", str(self.unpacked / "infra/aws/relays" / script), str(self.etc), str(self.unpacked)]
        environment = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)

    @property
    def noted(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path, unpacked: Path) -> Machine:
    made = Machine(tmp_path, unpacked)
    made.has_parameters({"/berth-dev/control-public-key": public_key_of(KEY), "/berth-dev/relay-key": relay_key(KEY)})
    made.has("curl")
    return made


def test_a_new_machine_is_behind_the_load_balancer_when_its_relay_answers(machine: Machine) -> None:
    done = machine.run("bootstrap.sh")

    assert done.returncode == 0, done.stderr
    keys = {each.name: each for each in (machine.etc / "berth/keys").iterdir()}
    assert set(keys) == {"control-key.pub", "relay.key", "tls.crt", "tls.key"}
    assert {each.stat().st_mode & 0o777 for each in keys.values()} == {0o600}
    assert (machine.etc / "berth/keys").stat().st_mode & 0o777 == 0o700
    assert keys["relay.key"].read_text().strip() == relay_key(KEY)
    assert relay_key(KEY) not in done.stdout + done.stderr + machine.log.read_text()
    units = {each.name for each in (machine.etc / "systemd/system").iterdir()}
    assert units == {"berth-relay.service", "berth-relay-leave.service"}
    asked = [each.split()[0] for each in machine.noted]
    assert asked == ["aws", "aws", "systemctl", "systemctl", "systemctl", "curl", "aws"]
    assert "complete-lifecycle-action" in machine.noted[-1]
    assert "--lifecycle-action-result CONTINUE" in machine.noted[-1]


def test_a_machine_whose_relay_does_not_answer_never_is(machine: Machine) -> None:
    machine.has("curl", "exit 7")

    done = machine.run("bootstrap.sh")

    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "the relay does not answer")
    assert not any("complete-lifecycle-action" in each for each in machine.noted)


def test_a_machine_without_its_keys_starts_nothing(machine: Machine) -> None:
    machine.has("aws", "exit 254")

    assert machine.run("bootstrap.sh").returncode == 254
    assert not any(each.startswith("systemctl") for each in machine.noted)


def test_a_machine_that_is_to_go_stops_its_relay_first(machine: Machine) -> None:
    """The group says so only once; before, it says otherwise, or the metadata are silent."""
    answers = machine.etc / "answers"
    answers.write_text("InService\nsilent\nTerminated\n")
    machine.has(
        "curl",
        f'[[ "$*" == */api/token* ]] && exec echo TOKEN\n'
        f'[[ "$*" == *"aws-ec2-metadata-token: TOKEN"*target-lifecycle-state ]] || exit 22\n'
        f"read -r answer < {answers}; sed -i 1d {answers}\n"
        '[ "$answer" = silent ] && exit 28\necho -n "$answer"',
    )

    done = machine.run("leave.sh")

    assert done.returncode == 0, done.stderr
    assert machine.noted[-1] == "systemctl stop berth-relay.service"
    assert machine.noted.count("sleep 5") == 2
    assert [each for each in machine.noted if each.startswith("systemctl")] == machine.noted[-1:]


def test_the_relay_runs_out_of_its_bundle_alone_as_its_unit_says(machine: Machine, unpacked: Path) -> None:
    assert machine.run("bootstrap.sh").returncode == 0
    port = unclaimed_port()
    command = program_of(unpacked, "infra.relay")
    options = [str(port) if each == "8443" else each for each in _asked(machine.etc / "berth/keys")]

    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        health = _health(f"https://127.0.0.1:{port}/health", process)
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=20)[0]

    assert health == {"status": "ok", "connections": 0}, said
    assert process.returncode == 0, said


def test_the_unit_gives_the_relay_its_options_keys_and_port(unpacked: Path) -> None:
    asked = _asked(Path("/run/keys"))

    options = dict(zip(asked[::2], asked[1::2], strict=True))
    assert options == {
        "--api": "http://127.0.0.1:9",
        "--origins": "https://a.example https://b.example",
        "--port": str(_resources()["RelayTargets"]["Properties"]["Port"]),
        "--public-key": "/run/keys/control-key.pub",
        "--relay-key": "/run/keys/relay.key",
        "--certificate": "/run/keys/tls.crt",
        "--certificate-key": "/run/keys/tls.key",
    }


def test_the_relay_is_nobody_and_cannot_ask_for_the_machines_credentials() -> None:
    service = _unit("berth-relay.service")

    assert service["DynamicUser"] == "yes"
    assert service["CapabilityBoundingSet"] == ""
    assert "169.254.169.254" in service["IPAddressDeny"].split()
    assert "fd00:ec2::254" in service["IPAddressDeny"].split()
    assert service["ProtectSystem"] == "strict"
    assert service["Restart"] == "always"
    hardened = ("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "PrivateUsers", "ProtectHome", "RestrictNamespaces")
    assert all(service[name] == "yes" for name in hardened)


def test_who_stops_it_is_root_without_roots_powers() -> None:
    service = _unit("berth-relay-leave.service")

    assert service["ExecStart"] == "/opt/berth/infra/aws/relays/leave.sh"
    assert service["CapabilityBoundingSet"] == ""
    assert service["ProtectSystem"] == "strict"
    assert os.access(RELAYS / "leave.sh", os.X_OK)
    assert os.access(RELAYS / "bootstrap.sh", os.X_OK)


def test_the_bundle_carries_only_what_a_relay_runs(unpacked: Path) -> None:
    ours = {str(each.relative_to(unpacked)) for each in unpacked.rglob("*.py") if "packages" not in each.parts}

    assert {each.split("/")[1] for each in ours if each.startswith("chalicelib/")} == {"__init__.py", "contract"}
    assert {"/".join(each.split("/")[:2]) for each in ours if each.startswith("infra/")} == {
        "infra/__init__.py",
        "infra/aws",
        "infra/relay",
    }
    assert {each.name for each in (unpacked / "infra/aws").iterdir()} == {"relays"}


def _resources() -> dict[str, Any]:
    return dict(json.loads(TEMPLATE.read_text())["Resources"])


def _launch_data() -> dict[str, Any]:
    return dict(_resources()["RelayTemplate"]["Properties"]["LaunchTemplateData"])


def _attributes(resource: str, kind: str) -> dict[str, str]:
    return {each["Key"]: each["Value"] for each in _resources()[resource]["Properties"][kind]}


def _launched(aws: Aws) -> dict[str, Any]:
    """The newest version of the relays' launch template."""
    ec2 = aws.client("ec2")
    named = aws.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=["berth-dev-relays"])
    [group] = named["AutoScalingGroups"]
    template = group["LaunchTemplate"]["LaunchTemplateId"]
    versions = ec2.describe_launch_template_versions(LaunchTemplateId=template)["LaunchTemplateVersions"]
    newest = max(versions, key=lambda each: int(each["VersionNumber"]))
    return dict(newest["LaunchTemplateData"])


def _user_data(aws: Aws) -> str:
    return base64.b64decode(_launched(aws)["UserData"]).decode()


def _doors(permissions: list[dict[str, Any]]) -> set[tuple[int, str]]:
    """Ports, and who they are open to: a range of addresses or a group."""
    return {
        (each["FromPort"], who)
        for each in permissions
        for who in (
            *(found["CidrIp"] for found in each["IpRanges"]),
            *(found["GroupId"] for found in each["UserIdGroupPairs"]),
        )
    }


def _ways_out(group: str) -> list[tuple[int, Any]]:
    rules = _resources()[group]["Properties"]["SecurityGroupEgress"]
    return [(each["FromPort"], each.get("CidrIp") or each["DestinationSecurityGroupId"]) for each in rules]


def _unit(name: str) -> dict[str, str]:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(RELAYS / name)
    return dict(unit["Service"])


def _asked(keys: Path) -> list[str]:
    """The relay's options in its unit, as systemd would put them together."""
    text = (RELAYS / "berth-relay.service").read_text().replace("\\\n", " ")
    [line] = [each for each in text.splitlines() if each.startswith("ExecStart=")]
    values = {"${BERTH_API}": "http://127.0.0.1:9", "${BERTH_ORIGINS}": "https://a.example https://b.example"}
    return [values.get(each, each.replace("%d", str(keys))) for each in line.partition("infra.relay ")[2].split()]


def _health(url: str, process: subprocess.Popen[str]) -> dict[str, Any]:
    """What it answers once it does; nothing when it ends before."""
    ends = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < ends:
        try:
            return dict(httpx.get(url, verify=False, trust_env=False).json())  # noqa: S501 - its certificate is its own
        except httpx.HTTPError:
            time.sleep(0.1)
    return {}

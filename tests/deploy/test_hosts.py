"""The fleet: its template in moto's CloudFormation, its settings, and how a host comes and goes."""

import configparser
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from moto.iam.aws_managed_policies import aws_managed_policies_data

from chalicelib.contract.signatures import public_key_of, public_keys
from chalicelib.services.enrolment import Enrolments
from infra.aws.bundle import AGENT, Bundle
from infra.aws.deployment import FLEET, Deployment
from infra.aws.errors import DeployError
from infra.aws.hosts import control_key
from infra.aws.hosts.drain import Drain
from infra.aws.hosts.enrol import enrol
from infra.aws.hosts.lifecycle import Lifecycle
from infra.aws.parameters import ANNOUNCED_SECONDS, StageParameters
from infra.hostagent.guard import ControlKey
from infra.hostagent.keys import host_key
from tests.aws import REGION, ROOT, Aws
from tests.deploy.audit import lint_findings, security_findings
from tests.deploy.bundles import program_of, unpacked_to
from tests.deploy.templates import way_out
from tests.fakes.world import World

HOSTS = ROOT / "infra/aws/hosts"


@pytest.fixture(scope="module")
def deployment(aws: Aws, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    session = SimpleNamespace(client=aws.client, region_name=REGION)
    return Deployment(session, "dev", tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def fleet(aws: Aws, deployment: Deployment) -> dict[str, str]:
    aws.client("s3").create_bucket(Bucket="bundles", CreateBucketConfiguration={"LocationConstraint": REGION})
    image = aws.client("ec2").describe_images()["Images"][0]["ImageId"]
    deployment.add_hosts(Bundle("agent", b"bundle"), "bundles", {"ImageId": image, "MinHosts": "2"})
    return deployment.hosts_stack.outputs()


def test_the_template_lints() -> None:
    assert lint_findings(FLEET) == ""


def test_no_security_finding(audit: Path) -> None:
    assert security_findings(audit, FLEET) == set()


def test_hosts_run_where_nobody_reaches_them_from_the_internet(aws: Aws, fleet: dict[str, str]) -> None:
    ec2 = aws.client("ec2")
    instances = [each for r in ec2.describe_instances()["Reservations"] for each in r["Instances"]]
    private = set(fleet["FunctionSubnets"].split(","))

    assert len(instances) == 2
    assert {each["SubnetId"] for each in instances} <= private
    assert not any(_fleet()[name]["Properties"]["MapPublicIpOnLaunch"] for name in ("PrivateSubnetA", "PrivateSubnetB"))
    groups = ec2.describe_security_groups()["SecurityGroups"]
    assert [each["IpRanges"] for group in groups for each in group["IpPermissions"]] == [[], []]
    [rule] = next(group for group in groups if group["Description"].startswith("Hosts:"))["IpPermissions"]
    assert (rule["FromPort"], rule["ToPort"]) == (7070, 7070)
    assert [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] == [fleet["FunctionSecurityGroup"]]
    [interface] = _fleet()["HostTemplate"]["Properties"]["LaunchTemplateData"]["NetworkInterfaces"]
    assert interface["Groups"] == [{"Fn::GetAtt": ["HostsSecurityGroup", "GroupId"]}]
    assert interface["AssociatePublicIpAddress"] is False


def test_the_way_out_is_a_nat_gateway_and_endpoints(aws: Aws, fleet: dict[str, str]) -> None:
    endpoints = aws.client("ec2").describe_vpc_endpoints()["VpcEndpoints"]

    for subnet in ("PrivateSubnetA", "PrivateSubnetB"):
        assert way_out(aws, subnet)["NatGatewayId"].startswith("nat-")
    kinds = {each["ServiceName"].rpartition(".")[2]: each["VpcEndpointType"] for each in endpoints}
    assert kinds == {"dynamodb": "Gateway", "s3": "Gateway", "sqs": "Interface", "ssm": "Interface"}


def test_the_launch_template_asks_for_tokens_hop_one_and_encrypted_disks(aws: Aws, fleet: dict[str, str]) -> None:
    ec2 = aws.client("ec2")
    [template] = ec2.describe_launch_templates()["LaunchTemplates"]
    versions = ec2.describe_launch_template_versions(LaunchTemplateId=template["LaunchTemplateId"])
    data = versions["LaunchTemplateVersions"][-1]["LaunchTemplateData"]

    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert int(data["MetadataOptions"]["HttpPutResponseHopLimit"]) == 1
    assert len(data["BlockDeviceMappings"]) == 2
    assert all(each["Ebs"]["Encrypted"] in (True, "true") for each in data["BlockDeviceMappings"])


def test_a_host_may_tell_events_and_enrol_and_reaches_no_table() -> None:
    statements = [each for each in _statements() if each["Effect"] == "Allow"]

    assert sorted(action for each in statements for action in _list(each["Action"])) == [
        "autoscaling:CompleteLifecycleAction",
        "autoscaling:RecordLifecycleActionHeartbeat",
        "s3:GetObject",
        "sqs:SendMessage",
        "ssm:GetParameter",
    ]
    assert all(each["Resource"] != "*" for each in statements)


def test_a_host_reads_the_public_key_and_no_other_parameter_whatever_aws_own_policy_allows() -> None:
    [allowed] = [each for each in _statements() if each["Effect"] == "Allow" and "ssm" in str(each["Action"])]
    [denied] = [each for each in _statements() if each["Effect"] == "Deny"]

    own = json.loads(aws_managed_policies_data)["AmazonSSMManagedInstanceCore"]["Document"]["Statement"]
    reads = {action for each in own for action in each["Action"] if action.startswith("ssm:GetParameter")}
    assert reads
    assert reads <= set(denied["Action"])
    assert denied["NotResource"] == allowed["Resource"]
    assert allowed["Resource"]["Fn::Sub"].endswith(":parameter/${Prefix}/control-public-key")


def test_the_group_waits_for_hosts_to_be_ready_and_to_be_empty(aws: Aws, fleet: dict[str, str]) -> None:
    autoscaling = aws.client("autoscaling")
    [group] = autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]
    template = json.loads(FLEET.read_text())["Resources"]
    hooks = {h["LifecycleHookName"]: h for h in template["Hosts"]["Properties"]["LifecycleHookSpecificationList"]}

    assert (group["AutoScalingGroupName"], group["MinSize"], group["MaxSize"]) == ("berth-dev-hosts", 2, 10)
    assert hooks["launching"]["DefaultResult"] == "ABANDON"
    assert hooks["terminating"]["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_TERMINATING"
    assert template["KeepRoom"]["Properties"]["PolicyType"] == "TargetTrackingScaling"
    assert template["CommandsWaitForHosts"]["Properties"]["AlarmActions"] == [{"Ref": "MoreHosts"}]


def test_the_control_plane_knows_the_role_that_hosts_have(aws: Aws, fleet: dict[str, str]) -> None:
    kept = aws.client("ssm").get_parameter(Name="/berth-dev/host-role-id")["Parameter"]["Value"]

    assert kept == fleet["HostRoleId"]


def test_a_host_makes_its_key_and_is_known_by_what_the_queue_says_of_it(aws: Aws, tmp_path: Path) -> None:
    sqs, ssm = aws.client("sqs"), aws.client("ssm")
    url = sqs.create_queue(QueueName="enrol.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    ssm.put_parameter(Name="/berth-x/control-public-key", Value="PUBLIC", Type="String")
    settings = {
        "BERTH_HOST_ID": "i-0123456789abcdef0",
        "BERTH_ENROLMENTS_QUEUE": url,
        "BERTH_CONTROL_KEY_PARAMETER": "/berth-x/control-public-key",
    }

    enrol(sqs, ssm, settings, tmp_path / "data", tmp_path / "control-key.pub")

    [message] = sqs.receive_message(QueueUrl=url)["Messages"]
    world = World()
    Enrolments(world.hosts, "AROA").enrol("AROA:i-0123456789abcdef0", message["Body"])
    assert world.hosts.get("i-0123456789abcdef0").public_key == public_key_of(host_key(tmp_path / "data"))
    assert (tmp_path / "control-key.pub").read_text() == "PUBLIC"


def test_an_agent_has_the_key_that_the_parameter_has_now(aws: Aws, tmp_path: Path) -> None:
    ssm, file = aws.client("ssm"), tmp_path / "control-key.pub"
    others = []
    for value in ("OLD", "OLD", "NEW"):
        ssm.put_parameter(Name="/berth-y/control-public-key", Value=value, Type="String", Overwrite=True)
        others.append(control_key.fetch(ssm, "/berth-y/control-public-key", file))

    assert others == [True, False, True]
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("control-key.pub", "NEW")]


def test_an_announced_key_reaches_a_host_before_it_may_be_used(aws: Aws, tmp_path: Path) -> None:
    ssm, file = aws.client("ssm"), tmp_path / "control-key.pub"
    parameters = StageParameters(ssm, "berth-z")
    first = parameters.ensure_keys()
    control_key.fetch(ssm, "/berth-z/control-public-key", file)
    known = ControlKey(file)
    assert known() == first

    both = parameters.announce_keys()
    with pytest.raises(DeployError, match=r"for 7\d\d s more"):
        parameters.use_announced_keys()

    assert control_key.fetch(ssm, "/berth-z/control-public-key", file)
    assert known() == both
    assert public_keys(both)[0] == first
    [every] = [each for each in _lines("berth-control-key.timer") if each.startswith("OnUnitActiveSec=")]
    assert 60 * (int(every.removeprefix("OnUnitActiveSec=").removesuffix("min")) + 2 + 2) <= ANNOUNCED_SECONDS


def test_an_agent_starts_with_the_key_it_had_when_the_parameter_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "control-key.pub"
    file.write_text("OLD")
    nobody = boto3.client(
        "ssm", REGION, endpoint_url="http://127.0.0.1:9", aws_access_key_id="x", aws_secret_access_key="x",
        config=control_key.CONFIG,
    )  # fmt: skip

    with pytest.raises(EndpointConnectionError):
        control_key.fetch(nobody, "/berth-y/control-public-key", file)

    assert file.read_text() == "OLD"
    assert "ExecStartPre=-+/usr/bin/python3 -m infra.aws.hosts.control_key" in _lines("berth-agent.service"), (
        "a failure is let pass, and it may write"
    )
    longest = control_key.CONFIG.retries["total_max_attempts"] * (  # type: ignore[attr-defined]
        control_key.CONFIG.connect_timeout + control_key.CONFIG.read_timeout  # type: ignore[attr-defined]
    )
    assert longest <= 10, "an agent's lease is a minute"


def test_a_host_looks_for_another_key_by_itself_and_all_hosts_do_not_ask_at_once() -> None:
    assert f"ExecStart=/usr/bin/python3 -m {control_key.__name__}" in _lines("berth-control-key.service")
    assert {"OnUnitActiveSec=9min", "RandomizedDelaySec=2min"} <= {*_lines("berth-control-key.timer")}
    agents = next(each for each in _lines("berth-agent.service") if "--control-key" in each)
    assert f"--control-key {control_key.FILE}" in agents


def test_the_page_has_hosts_of_the_fleet_read_the_key_by_names_that_there_are() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    [named] = _fleet()["HostTemplate"]["Properties"]["LaunchTemplateData"]["TagSpecifications"]

    [target] = re.findall(r"--targets Key=tag:(\w+),Values=([\w-]+)", page)
    assert named["Tags"] == [{"Key": target[0], "Value": {"Fn::Sub": target[1].replace("berth-dev", "${Prefix}")}}]
    [unit] = re.findall(r"systemctl start (berth-[\w.-]+)", page)
    assert (HOSTS / unit).exists()
    assert f"sha256sum {control_key.FILE}" in page


def test_every_unit_is_installed_and_started_or_left_to_its_timer() -> None:
    script = (HOSTS / "bootstrap.sh").read_text()
    [started] = [each for each in script.splitlines() if "enable -q --now berth-" in each]

    assert 'install -m 0644 "$HERE"/berth-*.service "$HERE"/berth-*.timer /etc/systemd/system/' in script
    timers = {each.stem for each in HOSTS.glob("*.timer")}
    services = {each.name for each in HOSTS.glob("*.service") if each.stem not in timers}
    assert set(started.split()[4:]) == services | {f"{each}.timer" for each in timers}


class Host:
    """A host that is to go at some time, with containers that end one by one."""

    def __init__(self, containers: int, states: list[str]) -> None:
        self.containers = containers
        self.states = states
        self.did: list[str] = []
        self.now = 0.0

    def drain(self) -> Drain:
        return Drain(
            wanted_state=lambda: self.states.pop(0),
            take_no_more=self._note("takes no more"),
            left=lambda: self.containers,
            more_time=self._note("more time"),
            go=self._note("goes"),
            clock=lambda: self.now,
            sleep=self._sleep,
        )

    def _note(self, what: str) -> Callable[[], None]:
        return lambda: self.did.append(what)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.did:
            self.containers = max(0, self.containers - 1)


def test_a_host_that_is_to_go_takes_no_more_and_waits_until_it_is_empty() -> None:
    host = Host(containers=2, states=["InService", "InService", "Terminated"])

    host.drain().run(patience=3600)

    assert host.did == ["takes no more", "more time", "more time", "goes"]


def test_patience_with_containers_that_never_end_is_bounded() -> None:
    host = Host(containers=10_000, states=["Terminated"])

    host.drain().run(patience=600)

    assert host.did[-1] == "goes"
    assert host.now == 600


def test_the_group_is_told_by_the_names_of_its_hooks() -> None:
    told: list[dict[str, str]] = []
    client = SimpleNamespace(complete_lifecycle_action=lambda **call: told.append(call))

    Lifecycle(client, "berth-dev-hosts", "i-1").complete("launching", "CONTINUE")

    names = {h["LifecycleHookName"] for h in _fleet()["Hosts"]["Properties"]["LifecycleHookSpecificationList"]}
    assert told[0]["LifecycleHookName"] in names
    assert told[0]["InstanceId"] == "i-1"


def test_the_engine_has_the_settings_of_a_host_for_strangers_programs() -> None:
    settings = json.loads((HOSTS / "daemon.json").read_text())

    expected = {"icc": False, "live-restore": True, "userland-proxy": False, "no-new-privileges": True}
    assert {name: settings[name] for name in expected} == expected
    assert settings["userns-remap"] == "default"
    assert settings["runtimes"] == {"crun": {"path": "/usr/bin/crun"}}
    assert settings["hosts"] == ["unix:///var/run/docker.sock"]
    assert "insecure-registries" not in settings
    assert settings["default-address-pools"][0]["size"] >= 28
    assert settings["storage-driver"] == "overlay2"
    assert (settings["default-ulimits"]["nofile"]["Hard"], settings["default-ulimits"]["core"]["Hard"]) == (4096, 0)


def test_the_data_root_is_xfs_with_project_quotas() -> None:
    script = (HOSTS / "bootstrap.sh").read_text()

    assert "mkfs.xfs" in script
    assert "/var/lib/docker xfs defaults,noatime,prjquota 0 2" in script


@pytest.mark.parametrize("script", [HOSTS / "bootstrap.sh"])
def test_scripts_can_be_read_by_the_shell(script: Path) -> None:
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0


def test_the_first_steps_of_a_host_can_be_read_by_the_shell() -> None:
    joined = _fleet()["HostTemplate"]["Properties"]["LaunchTemplateData"]["UserData"]["Fn::Base64"]["Fn::Join"][1]
    text = "\n".join(each if isinstance(each, str) else each["Fn::Sub"].replace("${", "${A") for each in joined)

    assert subprocess.run(["bash", "-n"], input=text.replace("::", ""), text=True, check=False).returncode == 0


def test_the_agents_unit_leaves_it_what_it_needs_of_root_and_no_more() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(HOSTS / "berth-agent.service")
    service = dict(unit["Service"])

    assert service["CapabilityBoundingSet"] == "CAP_NET_ADMIN CAP_NET_RAW CAP_KILL CAP_SYS_ADMIN CAP_SYS_PTRACE"
    assert service["RestrictNamespaces"] == "uts"
    assert "ProtectHostname" not in service, "it would be forbidden to name containers"
    assert {"setns", "sethostname", "quotactl_fd"} <= {*service["SystemCallFilter"].split()}
    assert service["ProtectSystem"] == "strict"
    assert service["KillMode"] == "process"
    hardened = ("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectHome", "ProtectKernelModules")
    assert all(service[name] == "yes" for name in hardened)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked_to(tmp_path_factory.mktemp("host"), AGENT)


def test_the_agent_runs_out_of_its_bundle_alone(unpacked: Path, tmp_path: Path) -> None:
    command = program_of(unpacked, "infra.hostagent")

    done = subprocess.run([*command, "keygen", "--data", str(tmp_path)], capture_output=True, text=True, check=False)

    assert "BEGIN PUBLIC KEY" in done.stdout, done.stderr


def test_every_option_in_the_unit_is_one_of_the_agents(unpacked: Path) -> None:
    from infra.hostagent.settings import parse

    text = (unpacked / "infra/aws/hosts/berth-agent.service").read_text().replace("\\\n", " ")
    line = next(each for each in text.splitlines() if each.startswith("ExecStart="))
    line = line.replace("$BERTH_DRAIN", "--drain").replace("$BERTH_REGISTRIES", "--registry-mirror http://m")
    line = line.replace("$BERTH_AGENT_OPTIONS", "--warm-memory 256")

    parsed = parse(line.partition("infra.hostagent ")[2].split())

    assert parsed.drain
    assert parsed.registry_mirror == ["http://m"]
    assert parsed.warm_memory == 256


def test_the_bundle_carries_only_what_a_host_runs(unpacked: Path) -> None:
    ours = {str(each.relative_to(unpacked)) for each in unpacked.rglob("*.py") if "packages" not in each.parts}

    assert {each.split("/")[1] for each in ours if each.startswith("chalicelib/")} == {"__init__.py", "contract"}
    assert {"/".join(each.split("/")[:2]) for each in ours if each.startswith("infra/")} == {
        "infra/__init__.py",
        "infra/aws",
        "infra/hostagent",
        "infra/images",
    }


def _lines(unit: str) -> list[str]:
    return (HOSTS / unit).read_text().splitlines()


def _fleet() -> dict[str, Any]:
    return dict(json.loads(FLEET.read_text())["Resources"])


def _statements() -> list[dict[str, Any]]:
    [policy] = _fleet()["HostRole"]["Properties"]["Policies"]
    return list(policy["PolicyDocument"]["Statement"])


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value

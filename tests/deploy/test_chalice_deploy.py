"""`make deploy`, again, and `make destroy` on moto: what is there afterwards, and that nothing remains."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.contract.signatures import public_key_of
from infra.aws.bundle import Bundle
from infra.aws.configuration import KEY_FINGERPRINT
from infra.aws.deployment import Deployment, Pair
from infra.aws.finish import Deployed
from infra.aws.parameters import PRIVATE_KEY, PUBLIC_KEY, RELAY_KEY
from infra.aws.template import read
from infra.aws.terminals import TEMPLATE
from tests.aws import REGION, ROOT, Aws, moto_server
from tests.deploy.project import Project
from tests.deploy.templates import template_defaults

ON_MOTO = (sys.executable, str(ROOT / "tests/deploy/chalice_on_moto.py"))
TOPIC = "arn:aws:sns:eu-west-1:123456789012:told"
KEYS = (PRIVATE_KEY, PUBLIC_KEY, RELAY_KEY)
FUNCTIONS = {
    "berth-dev": "app.app",
    "berth-dev-websocket_connect": "app.connect",
    "berth-dev-websocket_message": "app.message",
    "berth-dev-websocket_disconnect": "app.disconnect",
    "berth-dev-provision": "app.provision",
    "berth-dev-status": "app.status",
    "berth-dev-sweep": "app.sweep",
    "berth-dev-enrol": "app.enrol",
}


def _subnet(addresses: str, zone: str) -> dict[str, Any]:
    place = {"VpcId": {"Ref": "Network"}, "CidrBlock": addresses, "AvailabilityZone": zone}
    return {"Type": "AWS::EC2::Subnet", "Properties": place}


FLEETS_NETWORK: dict[str, Any] = {
    "Parameters": {"ImageId": {"Type": "String"}, "BundleBucket": {"Type": "String"}},
    "Resources": {
        "Network": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.64.0.0/16"}},
        "A": _subnet("10.64.0.0/24", "eu-west-1a"),
        "B": _subnet("10.64.1.0/24", "eu-west-1b"),
        "Group": {
            "Type": "AWS::EC2::SecurityGroup",
            "Properties": {"GroupDescription": "All", "VpcId": {"Ref": "Network"}},
        },
    },
    "Outputs": {
        "Network": {"Value": {"Ref": "Network"}},
        **{name: {"Value": {"Fn::Sub": "${A},${B}"}} for name in ("PublicSubnets", "FunctionSubnets")},
        **{f"{name}SecurityGroup": {"Value": {"Ref": "Group"}} for name in ("Hosts", "Endpoints", "Function")},
    },
}
"""What relays need of a fleet, without route tables: moto cannot delete those."""


@dataclass
class Account:
    """moto's server as an account; calls that moto does not know are noted instead of made."""

    aws: Aws
    noted: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def client(self, service: str) -> Any:
        made = self.aws.client(service)
        for unknown in ("CreateDeployment", "UpdateStage") if service == "apigatewayv2" else ():
            made.meta.events.register(f"provide-client-params.apigatewayv2.{unknown}", self._note(unknown))
            made.meta.events.register(f"before-call.apigatewayv2.{unknown}", _done)
        return made

    def session(self) -> Any:
        return SimpleNamespace(client=self.client, region_name=REGION)

    def _note(self, call: str) -> Callable[..., None]:
        return lambda params, **_: self.noted.append((call, dict(params)))


def _done(**_: Any) -> tuple[Any, dict[str, Any]]:
    return SimpleNamespace(status_code=200), {}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with moto_server(tmp_path_factory.mktemp("moto") / "moto.log") as aws:
        yield Account(aws)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project.copy_to(tmp_path_factory.mktemp("deploy") / "project")


@pytest.fixture(scope="module")
def deployment(account: Account, project: Project) -> Iterator[Deployment]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", account.aws.endpoint)
        yield Deployment(account.session(), "dev", project.path, ON_MOTO)


@pytest.fixture(scope="module")
def deployed(deployment: Deployment) -> Deployed:
    made, first = deployment.up({})
    assert first
    return made


def test_every_handler_is_a_function_with_its_memory_time_layer_and_role(account: Account, deployed: Deployed) -> None:
    functions = {each["FunctionName"]: each for each in account.client("lambda").list_functions()["Functions"]}

    assert {name: each["Handler"] for name, each in functions.items()} == FUNCTIONS
    assert {each["Runtime"] for each in functions.values()} == {f"python3.{sys.version_info.minor}"}
    assert functions["berth-dev"]["MemorySize"] == 1024
    assert functions["berth-dev-sweep"]["Timeout"] == 55
    assert all(each["Timeout"] <= 29 for name, each in functions.items() if "websocket" in name or name == "berth-dev")
    assert len({each["Role"] for each in functions.values()}) == len(FUNCTIONS)
    assert len({each["Layers"][0]["Arn"] for each in functions.values()}) == 1


def test_each_role_may_do_what_its_policy_file_says_and_no_more(account: Account, deployed: Deployed) -> None:
    iam = account.client("iam")
    roles = [each["RoleName"] for each in iam.list_roles()["Roles"]]

    assert len(roles) == len(FUNCTIONS)
    for role in roles:
        [policy] = iam.list_role_policies(RoleName=role)["PolicyNames"]
        found = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
        file = ROOT / f".chalice/policy-{role.removeprefix('berth-dev-')}.json"
        assert found == json.loads(file.read_text()), role
        assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []


def test_queues_are_read_one_message_at_a_time_with_failures_reported(account: Account, deployed: Deployed) -> None:
    mappings = account.client("lambda").list_event_source_mappings()["EventSourceMappings"]

    found = {each["FunctionArn"].rpartition(":")[2]: each for each in mappings}
    assert {name: each["EventSourceArn"].rpartition(":")[2] for name, each in found.items()} == {
        "berth-dev-provision": "berth-dev-commands.fifo",
        "berth-dev-status": "berth-dev-events.fifo",
        "berth-dev-enrol": "berth-dev-enrolments.fifo",
    }
    for name, mapping in found.items():
        assert mapping["BatchSize"] == 1
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        most = read("limits.json")["most_at_once"][name.removeprefix("berth-dev-")]
        assert mapping["ScalingConfig"] == {"MaximumConcurrency": most}


def test_every_route_leads_to_the_api_function(account: Account, deployed: Deployed) -> None:
    import app as berth

    gateway = account.client("apigateway")
    [api] = gateway.get_rest_apis()["items"]
    resources = gateway.get_resources(restApiId=api["id"], limit=500)["items"]

    assert {each["path"]: set(each["resourceMethods"]) for each in resources if "resourceMethods" in each} == {
        path: set(methods) for path, methods in berth.app.routes.items()
    }
    for resource in resources:
        for method in resource.get("resourceMethods", {}):
            target = gateway.get_integration(restApiId=api["id"], resourceId=resource["id"], httpMethod=method)
            assert (target["type"], "function:berth-dev/" in target["uri"]) == ("aws_proxy", True)


def test_the_gateway_refuses_in_our_words_and_is_throttled(account: Account, deployed: Deployed) -> None:
    gateway = account.client("apigateway")
    [api] = gateway.get_rest_apis()["items"]
    found = {each["responseType"]: each for each in gateway.get_gateway_responses(restApiId=api["id"])["items"]}

    assert set(found) == set(read("gateway_responses.json"))
    assert found["MISSING_AUTHENTICATION_TOKEN"]["statusCode"] == "404"
    assert all('"error"' in each["responseTemplates"]["application/json"] for each in found.values())
    settings = gateway.get_stage(restApiId=api["id"], stageName="api")["methodSettings"]["*/*"]
    assert (settings["throttlingRateLimit"], settings["throttlingBurstLimit"]) == (2000.0, 1000)


def test_sockets_have_three_routes_a_throttle_and_a_deployment(account: Account, deployed: Deployed) -> None:
    gateway = account.client("apigatewayv2")
    [api] = gateway.get_apis()["Items"]
    routes = gateway.get_routes(ApiId=api["ApiId"])["Items"]
    integrations = gateway.get_integrations(ApiId=api["ApiId"])["Items"]

    assert {each["RouteKey"] for each in routes} == {"$connect", "$default", "$disconnect"}
    assert len(integrations) == 3
    assert ("CreateDeployment", {"ApiId": api["ApiId"], "StageName": "api"}) in account.noted
    [settings] = [params["DefaultRouteSettings"] for call, params in account.noted if call == "UpdateStage"][:1]
    assert settings == {"ThrottlingRateLimit": 1000, "ThrottlingBurstLimit": 500}


def test_the_sweeper_is_called_every_minute(account: Account, deployed: Deployed) -> None:
    events = account.client("events")
    [rule] = events.list_rules()["Rules"]

    assert rule["ScheduleExpression"] == "rate(1 minute)"
    [target] = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    assert target["Arn"].endswith(":function:berth-dev-sweep")


def test_functions_are_told_where_keys_and_sockets_are_and_no_secret(account: Account, deployed: Deployed) -> None:
    awslambda, ssm = account.client("lambda"), account.client("ssm")

    for name in FUNCTIONS:
        variables = awslambda.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        assert not any("BEGIN" in value for value in variables.values())
        assert set(variables) >= {
            "BERTH_STAGE",
            "BERTH_PREFIX",
            "BERTH_CONTROL_KEY_SECRET",
            "BERTH_CONTROL_PUBLIC_KEY_PARAMETER",
            "BERTH_SOCKETS_ENDPOINT_PARAMETER",
            "BERTH_HOST_ROLE_PARAMETER",
        }
    kept = {
        name: ssm.get_parameter(Name=variables[name], WithDecryption=True)["Parameter"]
        for name in variables
        if "/" in variables[name] and name != "BERTH_HOST_ROLE_PARAMETER"  # there is no fleet
    }
    secret = kept["BERTH_CONTROL_KEY_SECRET"]
    assert secret["Type"] == "SecureString"
    assert kept["BERTH_CONTROL_PUBLIC_KEY_PARAMETER"]["Value"] == public_key_of(secret["Value"])
    assert kept["BERTH_SOCKETS_ENDPOINT_PARAMETER"]["Value"].startswith("https://")


def test_the_stage_is_watched(account: Account, deployed: Deployed) -> None:
    stacks = {each["StackName"] for each in account.client("cloudformation").describe_stacks()["Stacks"]}
    [board] = account.client("cloudwatch").list_dashboards()["DashboardEntries"]

    assert stacks == {"berth-dev", "berth-dev-observability"}
    assert board["DashboardName"] == "berth-dev"


def test_the_first_user_has_a_token(deployment: Deployment, deployed: Deployed) -> None:
    assert deployment.first_token().startswith("berth_")


def test_deploying_again_from_another_machine_changes_nothing_and_makes_nothing_anew(
    account: Account, deployment: Deployment, deployed: Deployed, tmp_path: Path
) -> None:
    before = _identities(account)
    elsewhere = Project.copy_to(tmp_path / "project")

    again, first = Deployment(account.session(), "dev", elsewhere.path, ON_MOTO).up({})

    assert not first
    assert _identities(account) == before
    assert (again.rest_url, again.socket_url) == (deployed.rest_url, deployed.socket_url)


def test_functions_are_told_where_the_relays_are_and_stay_told(
    account: Account, deployment: Deployment, deployed: Deployed, project: Project, tmp_path: Path
) -> None:
    config = (project.path / ".chalice/config.json").read_bytes()
    bundles = {"Bucket": "bundles", "CreateBucketConfiguration": {"LocationConstraint": REGION}}
    account.client("s3").create_bucket(**bundles)
    image = account.client("ec2").describe_images()["Images"][0]["ImageId"]
    (tmp_path / "fleet.json").write_text(json.dumps(FLEETS_NETWORK))
    deployment.hosts_stack.put(tmp_path / "fleet.json", {"ImageId": image, "BundleBucket": "bundles"})
    certificate = account.client("acm").request_certificate(DomainName="terminals.example.com")["CertificateArn"]
    wishes = template_defaults(TEMPLATE) | {"DomainName": "terminals.example.com", "CertificateArn": certificate}
    before = _terminal_url(account)

    deployment.add_relays(Bundle("relay", b"relay"), wishes)

    assert (before, _terminal_url(account)) == (None, "wss://terminals.example.com/ws/terminal")
    assert deployment.terminals.stack.parameters()["ApiUrl"] == deployed.rest_url
    deployment.up({"AlarmTopicArn": TOPIC})
    assert _terminal_url(account) == "wss://terminals.example.com/ws/terminal"
    # as after a deployment that ended before the functions were told
    account.client("lambda").update_function_configuration(FunctionName="berth-dev", Environment={"Variables": {}})
    deployment.add_relays(Bundle("relay", b"relay"), {})
    assert _terminal_url(account) == "wss://terminals.example.com/ws/terminal"
    assert (project.path / ".chalice/config.json").read_bytes() == config
    assert deployment.terminals.stack.parameters()["AlarmTopicArn"] == TOPIC


def test_new_keys_change_the_environment_of_every_function_and_a_deployment_without_them_nothing(
    account: Account, deployment: Deployment, deployed: Deployed
) -> None:
    said: list[str] = []
    parameters = deployment.parameters
    stage = Deployment(deployment.session, "dev", deployment.project, deployment.chalice, said.append)
    deployment.up({})
    before, of_relays = _environments(account), deployment.terminals.stack.parameters()
    keys = [parameters.get(each) for each in KEYS]

    deployment.up({})
    deployment.add_relays(Bundle("relay", b"relay"), {})

    assert (_environments(account), deployment.terminals.stack.parameters()) == (before, of_relays)
    assert [parameters.get(each) for each in KEYS] == keys

    stage.up({}, Pair.NEW)
    stage.add_relays(Bundle("relay", b"relay"), {})

    after, new = _environments(account), [str(parameters.get(each)) for each in KEYS]
    assert set(after) == set(FUNCTIONS)
    for name in FUNCTIONS:
        had = before[name].pop(KEY_FINGERPRINT)
        assert (had, after[name].pop(KEY_FINGERPRINT)) == (had, parameters.fingerprint), name
        assert had != parameters.fingerprint, name
    assert after == before
    assert all(one != other for one, other in zip(new, keys, strict=True))
    assert deployment.terminals.stack.parameters() == {**of_relays, "KeyFingerprint": parameters.fingerprint}
    assert f"fingerprint {parameters.fingerprint}" in said
    told = "\n".join([*said, str(parameters.get("chalice-deployed")), json.dumps(_stacks(account), default=str)])
    for secret in (*new[0].splitlines()[1:-1], new[2]):
        assert secret not in told


def test_a_deployment_leaves_functions_that_call_agents_in_the_hosts_network(
    account: Account, deployment: Deployment, deployed: Deployed
) -> None:
    class ChaliceAlone(Deployment):
        """Nothing joins the network afterwards."""

        def _finish(self) -> Any:
            return SimpleNamespace(run=lambda *_: None)

    subnets = deployment.hosts_stack.outputs()["FunctionSubnets"].split(",")

    ChaliceAlone(deployment.session, "dev", deployment.project, deployment.chalice).up({})

    functions = account.client("lambda").list_functions()["Functions"]
    places = {each["FunctionName"]: each.get("VpcConfig", {}).get("SubnetIds") for each in functions}
    assert {name for name, place in places.items() if place} == {"berth-dev", "berth-dev-provision"}
    assert set(places["berth-dev"]) == set(places["berth-dev-provision"]) == set(subnets)


def test_destroying_leaves_nothing(account: Account, deployment: Deployment, deployed: Deployed) -> None:
    deployment.down()

    left = {
        "functions": account.client("lambda").list_functions()["Functions"],
        "mappings": account.client("lambda").list_event_source_mappings()["EventSourceMappings"],
        "layers": account.client("lambda").list_layers()["Layers"],
        "rest": account.client("apigateway").get_rest_apis()["items"],
        "sockets": account.client("apigatewayv2").get_apis()["Items"],
        "rules": account.client("events").list_rules()["Rules"],
        "roles": account.client("iam").list_roles()["Roles"],
        "tables": account.client("dynamodb").list_tables()["TableNames"],
        "queues": account.client("sqs").list_queues().get("QueueUrls", []),
        "logs": account.client("logs").describe_log_groups()["logGroups"],
        "parameters": account.client("ssm").describe_parameters()["Parameters"],
        "dashboards": account.client("cloudwatch").list_dashboards()["DashboardEntries"],
        "stacks": account.client("cloudformation").describe_stacks()["Stacks"],
        "balancers": account.client("elbv2").describe_load_balancers()["LoadBalancers"],
        "groups": account.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"],
        "alarms": account.client("cloudwatch").describe_alarms()["MetricAlarms"],
    }
    assert {name: each for name, each in left.items() if each} == {}


def _terminal_url(account: Account) -> str | None:
    found = account.client("lambda").get_function_configuration(FunctionName="berth-dev")
    url: str | None = found["Environment"]["Variables"].get("BERTH_TERMINAL_URL")
    return url


def _environments(account: Account) -> dict[str, dict[str, str]]:
    functions = account.client("lambda").list_functions()["Functions"]
    return {each["FunctionName"]: dict(each["Environment"]["Variables"]) for each in functions}


def _stacks(account: Account) -> Any:
    return account.client("cloudformation").describe_stacks()["Stacks"]


def _identities(account: Account) -> dict[str, Any]:
    awslambda = account.client("lambda")
    private = account.client("ssm").get_parameter(Name="/berth-dev/control-private-key", WithDecryption=True)
    return {
        "rest": [each["id"] for each in account.client("apigateway").get_rest_apis()["items"]],
        "sockets": [each["ApiId"] for each in account.client("apigatewayv2").get_apis()["Items"]],
        "mappings": sorted(each["UUID"] for each in awslambda.list_event_source_mappings()["EventSourceMappings"]),
        "functions": sorted(each["FunctionName"] for each in awslambda.list_functions()["Functions"]),
        "key": private["Parameter"]["Value"],
    }

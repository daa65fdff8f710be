"""The templates as auditors see them, and what the packaged one promises."""

import json
from pathlib import Path
from typing import Any

import pytest

from chalicelib import start
from infra.aws.configuration import KEY_FINGERPRINT
from infra.aws.template import FUNCTIONS, MERGE, QUEUES, merge_template, read
from tests.aws import ROOT
from tests.deploy.audit import lint_findings, security_findings
from tests.deploy.conftest import Package

STACK = ROOT / "infra/aws/stack.json"

ACCEPTED = {
    "CKV_AWS_111": "network interfaces that Lambda makes for functions that call agents: they have no names before",
    "CKV_AWS_116": "callers wait for the answer, queues have dead letters, a sweep comes again in a minute",
    "CKV_AWS_117": "only functions that call agents have business in the network",
    "CKV_AWS_119": "encrypted with DynamoDB's own key: a key of ours would add a KMS call to requests",
    "CKV_AWS_120": "every answer is one user's own: nothing may be cached",
    "CKV_AWS_158": "encrypted with CloudWatch's own key; log lines carry no secrets",
    "CKV_AWS_173": "the environment holds names of parameters, no secrets",
    "CKV_AWS_27": "encrypted with SQS's own key (SqsManagedSseEnabled), which the rule does not know",
    "CKV_AWS_76": "needs a role of the whole account; the API's function logs every request",
    "CKV_AWS_95": "as CKV_AWS_76; the query may carry a token",
}


@pytest.mark.parametrize("template", ["infra/aws/stack.json"])
def test_the_supporting_stack_lints(template: str) -> None:
    assert lint_findings(ROOT / template) == ""


def test_the_packaged_template_lints_with_and_without_sam(package: Package) -> None:
    assert lint_findings(package.folder / "sam.json") == ""
    assert lint_findings(package.plain_file) == ""


def test_lint_would_tell(package: Package, tmp_path: Path) -> None:
    broken = json.loads(json.dumps(package.plain))
    broken["Resources"]["Commands"]["Properties"]["VisibilityTimeout"] = "soon"
    (tmp_path / "broken.json").write_text(json.dumps(broken))

    assert "E3012" in lint_findings(tmp_path / "broken.json")


def test_no_security_finding_but_those_accepted_with_a_reason(package: Package, audit: Path) -> None:
    found = security_findings(audit, package.plain_file)

    assert {each for each in found if each[0] not in ACCEPTED} == set()
    assert set(ACCEPTED) == {rule for rule, _ in found}
    callers = {f"AWS::IAM::Role.{name}Role" for name in ("ApiHandler", "Provision")}
    assert {resource for rule, resource in found if rule == "CKV_AWS_111"} == callers


def test_the_merge_template_is_what_its_parts_make() -> None:
    assert json.loads(MERGE.read_text()) == merge_template(), "run python -m infra.aws.template"


def test_every_function_is_made_ready_by_the_name_of_its_handler(package: Package) -> None:
    functions = package.of_type("AWS::Lambda::Function").values()

    assert {each["Handler"] for each in functions} == set(start.MADE)


def test_tables_keep_what_is_written_and_forget_what_is_over(package: Package) -> None:
    tables = package.of_type("AWS::DynamoDB::Table")

    assert len(tables) == 5
    for name, table in tables.items():
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}, name
        assert table["BillingMode"] == "PAY_PER_REQUEST", name
    expiring = {name for name, table in tables.items() if table.get("TimeToLiveSpecification", {}).get("Enabled")}
    assert expiring == set(tables) - {"HostsTable"}
    indexes = {name: {each["IndexName"] for each in t.get("GlobalSecondaryIndexes", [])} for name, t in tables.items()}
    assert indexes == {
        "ContainersTable": {"due", "host"},
        "EventsTable": set(),
        "ConnectionsTable": {"by_connection"},
        "HostsTable": {"by_state"},
        "TokensTable": {"by_user"},
    }


def test_a_pipeline_says_which_key_is_in_use_so_that_functions_read_a_new_one(package: Package) -> None:
    for name, function in package.of_type("AWS::Lambda::Function").items():
        assert function["Environment"]["Variables"][KEY_FINGERPRINT] == {"Ref": "KeyFingerprint"}, name


@pytest.mark.parametrize("name", ["Commands", "Events", "Enrolments"])
def test_queues_are_fast_fifo_with_dead_letters(package: Package, name: str) -> None:
    queues = package.of_type("AWS::SQS::Queue")
    queue = queues[name]

    assert queue["FifoQueue"]
    assert (queue["DeduplicationScope"], queue["FifoThroughputLimit"]) == ("messageGroup", "perMessageGroupId")
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": [f"{name}DeadLetters", "Arn"]}
    assert queues[f"{name}DeadLetters"]["FifoQueue"]
    assert queues[f"{name}DeadLetters"]["MessageRetentionPeriod"] == 14 * 24 * 3600


def test_messages_outlast_the_function_that_reads_them(package: Package) -> None:
    """SQS refuses a mapping whose function may run longer than its messages are hidden."""
    functions, queues = package.of_type("AWS::Lambda::Function"), package.of_type("AWS::SQS::Queue")

    for function, queue in QUEUES.items():
        assert queues[queue]["VisibilityTimeout"] >= functions[function]["Timeout"]


def test_queue_functions_report_failures_one_by_one_and_stay_within_their_concurrency(package: Package) -> None:
    functions = package.of_type("AWS::Lambda::Function")
    mappings = package.of_type("AWS::Lambda::EventSourceMapping").values()

    assert len(mappings) == len(QUEUES)
    for mapping in mappings:
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        reserved = functions[mapping["FunctionName"]["Ref"]]["ReservedConcurrentExecutions"]
        assert mapping["ScalingConfig"]["MaximumConcurrency"] <= reserved


def test_reserved_concurrency_leaves_an_account_its_hundred(package: Package) -> None:
    reserved = [each["ReservedConcurrentExecutions"] for each in package.of_type("AWS::Lambda::Function").values()]

    assert len(reserved) == len(FUNCTIONS)
    assert sum(reserved) <= 900


def test_every_function_has_a_role_of_its_own_and_a_log_that_ends(package: Package) -> None:
    functions = package.of_type("AWS::Lambda::Function")
    logs = package.of_type("AWS::Logs::LogGroup").values()

    assert set(functions) == set(FUNCTIONS)
    assert len({json.dumps(each["Role"]) for each in functions.values()}) == len(functions)
    assert {each["FunctionName"]["Fn::Sub"] for each in functions.values()} == {
        each["LogGroupName"]["Fn::Sub"].removeprefix("/aws/lambda/") for each in logs
    }
    assert all(each["RetentionInDays"] == {"Ref": "LogDays"} for each in logs)


def test_no_function_is_given_a_secret(package: Package) -> None:
    for name, function in package.of_type("AWS::Lambda::Function").items():
        variables = function["Environment"]["Variables"]
        assert "BERTH_CONTROL_PRIVATE_KEY" not in variables, name
        assert variables["BERTH_CONTROL_KEY_SECRET"] == {"Fn::Sub": "/${Prefix}/control-private-key"}


def test_a_pipeline_says_where_the_relays_are_or_that_there_are_none(package: Package) -> None:
    assert package.plain["Parameters"]["TerminalUrl"]["Default"] == ""
    for name, function in package.of_type("AWS::Lambda::Function").items():
        assert function["Environment"]["Variables"]["BERTH_TERMINAL_URL"] == {"Ref": "TerminalUrl"}, name


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("MISSING_AUTHENTICATION_TOKEN", "404"),
        ("ACCESS_DENIED", "403"),
        ("REQUEST_TOO_LARGE", "413"),
        ("THROTTLED", "429"),
        ("QUOTA_EXCEEDED", "429"),
        ("INTEGRATION_TIMEOUT", "504"),
        ("DEFAULT_4XX", None),
        ("DEFAULT_5XX", None),
    ],
)
def test_the_gateway_itself_answers_in_our_words(package: Package, kind: str, status: str | None) -> None:
    response = _body(package)["x-amazon-apigateway-gateway-responses"][kind]

    assert response.get("statusCode") == status
    assert response["responseParameters"]["gatewayresponse.header.Access-Control-Allow-Origin"] == "'*'"
    text = response["responseTemplates"]["application/json"].replace("$context.error.messageString", '"said"')
    assert set(json.loads(text)) >= {"error", "code"}


def test_both_apis_are_throttled_and_rest_is_regional(package: Package) -> None:
    limits = read("limits.json")
    [rest] = package.of_type("AWS::ApiGateway::Stage").values()
    [sockets] = package.of_type("AWS::ApiGatewayV2::Stage").values()
    [api] = package.of_type("AWS::ApiGateway::RestApi").values()

    [method] = rest["MethodSettings"]
    assert (method["ThrottlingRateLimit"], method["ThrottlingBurstLimit"]) == (
        limits["rest"]["rate"],
        limits["rest"]["burst"],
    )
    route = sockets["DefaultRouteSettings"]
    assert (route["ThrottlingRateLimit"], route["ThrottlingBurstLimit"]) == (
        limits["sockets"]["rate"],
        limits["sockets"]["burst"],
    )
    assert api["EndpointConfiguration"] == {"Types": ["REGIONAL"]}


def test_every_route_of_the_application_is_in_the_api(package: Package) -> None:
    import app as berth

    paths = _body(package)["paths"]

    assert {path: {m.lower() for m in methods} for path, methods in berth.app.routes.items()} == {
        path: set(methods) - {"options"} for path, methods in paths.items()
    }


def test_someone_is_told_when_messages_die_or_wait_and_when_the_sweeper_stops(package: Package) -> None:
    alarms = package.of_type("AWS::CloudWatch::Alarm")

    simple = [each for each in alarms.values() if each.get("Namespace", "").startswith("AWS/")]
    assert {(each["MetricName"], each["Dimensions"][0]["Value"]["Fn::Sub"]) for each in simple} >= {
        ("ApproximateNumberOfMessagesVisible", "${Prefix}-commands-dead.fifo"),
        ("ApproximateNumberOfMessagesVisible", "${Prefix}-enrolments-dead.fifo"),
        ("ApproximateNumberOfMessagesVisible", "${Prefix}-events-dead.fifo"),
        ("ApproximateAgeOfOldestMessage", "${Prefix}-commands.fifo"),
        ("ApproximateAgeOfOldestMessage", "${Prefix}-events.fifo"),
        ("Invocations", "${Prefix}-sweep"),
    }
    for name, alarm in alarms.items():
        assert alarm["AlarmActions"] == [
            {"Fn::If": ["HasAlarmTopic", {"Ref": "AlarmTopicArn"}, {"Ref": "AWS::NoValue"}]}
        ], name


def _body(package: Package) -> dict[str, Any]:
    [api] = package.of_type("AWS::ApiGateway::RestApi").values()
    return dict(api["Body"])

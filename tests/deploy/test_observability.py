"""Alarms and dashboard: they watch what the code really measures, the cloud takes them, and each alarm has its page."""

import ast
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.contract.statuses import Stage
from infra.aws.alarms import ALARMS, OF_RELAYS, OURS, Alarm, Series
from infra.aws.observability import FILE, template, written
from infra.aws.template import FUNCTIONS, QUEUES, function_name
from infra.aws.terminals import TEMPLATE
from tests.aws import ROOT, Aws, moto_server
from tests.deploy.audit import lint_findings

EVERY = (*ALARMS, OF_RELAYS)
RUNBOOKS = ROOT / "docs/runbooks"
PREFIX = "berth-dev"
SEARCH = re.compile(r"SEARCH\('\{Berth,deployment,(\w+)\} MetricName=\"(\w+)\" deployment=\"\$\{Deployment\}\"'")
VALUES = {"stage": {str(each) for each in Stage}, "queue": {each.lower() for each in QUEUES.values()}}
"""What dimensions may be that the code does not name one by one."""

Emitted = dict[str, dict[str, set[str]]]


@pytest.fixture(scope="module")
def emitted() -> Emitted:
    """Every measurement that the code makes: its dimensions, and the values named where it is made."""
    found: Emitted = defaultdict(lambda: defaultdict(set))
    for path in sorted((ROOT / "chalicelib").rglob("*.py")):
        for call in _measurements(ast.parse(path.read_text())):
            name = call.args[0]
            assert isinstance(name, ast.Constant)
            dimensions = found[name.value]
            for keyword in call.keywords:
                assert keyword.arg
                dimensions[keyword.arg] |= {keyword.value.value} if isinstance(keyword.value, ast.Constant) else set()
    return found


def _measurements(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("count", "measure")
        ):
            owner = ast.unparse(node.func.value)
            if owner.rpartition(".")[2].lstrip("_") == "metrics":
                yield node


def shown() -> list[Any]:
    """What the dashboard's widgets name."""
    body, _names = template()["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    return [line for widget in json.loads(body)["widgets"] for line in widget["properties"].get("metrics", [])]


def drawn() -> Iterator[Series]:
    """The dashboard's lines that name one metric each."""
    for namespace, metric, *rest, how in (line for line in shown() if isinstance(line[0], str)):
        dimensions = dict(zip(rest[::2], rest[1::2], strict=True))
        if namespace == OURS:
            assert dimensions.pop("deployment") == "${Deployment}"
        yield Series(metric, how["stat"], dimensions, namespace)


def searched() -> list[tuple[str, str]]:
    """The dashboard's searches: metric and dimension."""
    expressions = [line[0]["expression"] for line in shown() if isinstance(line[0], dict)]
    return [(match[2], match[1]) for match in map(SEARCH.match, expressions) if match]


def test_the_file_is_what_its_parts_make() -> None:
    assert FILE.read_text() == written(), "run python -m infra.aws.observability, then python -m infra.aws.template"
    assert json.loads(FILE.read_text()) == template()


def test_it_lints_and_is_short_enough_for_one_call() -> None:
    assert lint_findings(FILE) == ""
    assert FILE.stat().st_size < 51_200


def test_the_code_measures_what_alarms_and_dashboard_watch(emitted: Emitted) -> None:
    watched = [*(each for alarm in ALARMS for each in alarm.series), *drawn()]
    ours = [each for each in watched if each.namespace == OURS]

    assert len(ours) > 20
    for series in ours:
        assert series.metric in emitted
        for name, value in series.dimensions.items():
            assert name in emitted[series.metric], series
            assert value in emitted[series.metric][name] | VALUES.get(name, set()), series
    for metric, dimension in searched():
        assert dimension in emitted[metric], metric


def test_every_search_is_understood_here() -> None:
    assert len(searched()) == len([line for line in shown() if isinstance(line[0], dict)])


def test_whatever_the_code_measures_is_on_the_dashboard_and_on_the_page(emitted: Emitted) -> None:
    page = (ROOT / "docs/operations.md").read_text()

    assert set(emitted) == {each.metric for each in drawn() if each.namespace == OURS} | {
        name for name, _ in searched()
    }
    assert {name for name in emitted if f"`{name}`" not in page} == set()


def test_queues_and_functions_that_are_watched_exist() -> None:
    functions = {function_name("${Prefix}", each) for each in FUNCTIONS.values()}
    queues = {f"${{Prefix}}-{queue.lower()}{dead}.fifo" for queue in QUEUES.values() for dead in ("", "-dead")}
    known = {"FunctionName": functions, "QueueName": queues}
    theirs = [each for alarm in ALARMS for each in alarm.series if each.namespace != OURS]

    for series in [*theirs, *(each for each in drawn() if each.namespace != OURS)]:
        [(name, value)] = series.dimensions.items()
        assert value in known[name]


def test_every_function_has_its_errors_watched_and_every_queue_its_age_and_its_dead_letters() -> None:
    watched = {(each.metric, *each.dimensions.values()) for alarm in ALARMS for each in alarm.series}

    assert watched >= {("Errors", function_name("${Prefix}", each)) for each in FUNCTIONS.values()}
    for queue in QUEUES.values():
        assert ("ApproximateAgeOfOldestMessage", f"${{Prefix}}-{queue.lower()}.fifo") in watched
        assert ("ApproximateNumberOfMessagesVisible", f"${{Prefix}}-{queue.lower()}-dead.fifo") in watched
    ended = {Stage.READY, Stage.ERROR}
    assert watched >= {("StageSeconds", str(each)) for each in Stage if each not in ended}


def test_every_alarm_has_one_page_and_every_page_one_alarm() -> None:
    in_fleet = json.loads((ROOT / "infra/aws/hosts/fleet.json").read_text())["Resources"].values()
    names = [each["Properties"]["AlarmName"]["Fn::Sub"] for each in in_fleet if each["Type"].endswith("::Alarm")]
    alarms = {each.name for each in EVERY} | {name.removeprefix("${Prefix}-") for name in names}

    assert {page.stem for page in RUNBOOKS.glob("*.md")} - {"index"} == alarms
    assert len({each.name for each in EVERY}) == len(EVERY)


def test_the_relays_stack_has_its_alarm_as_the_row_says_and_of_its_own_load_balancer() -> None:
    relays = json.loads(TEMPLATE.read_text())
    resources, types = relays["Resources"], {name: each["Type"] for name, each in relays["Resources"].items()}
    alarms = {name: each for name, each in resources.items() if each["Type"] == "AWS::CloudWatch::Alarm"}

    assert alarms == {OF_RELAYS.title: OF_RELAYS.resource()}
    watched = {
        name: types[value.strip("${}").partition(".")[0]] for name, value in OF_RELAYS.series[0].dimensions.items()
    }
    assert watched == {name: f"AWS::ElasticLoadBalancingV2::{name}" for name in ("TargetGroup", "LoadBalancer")}
    assert relays["Parameters"]["AlarmTopicArn"] == template()["Parameters"]["AlarmTopicArn"]
    assert relays["Conditions"].items() >= template()["Conditions"].items()


def test_no_relay_at_all_is_as_bad_as_none_that_is_well_since_a_stage_with_relays_has_one() -> None:
    least = json.loads(TEMPLATE.read_text())["Parameters"]["MinRelays"]["MinValue"]

    assert (OF_RELAYS.missing, OF_RELAYS.below, OF_RELAYS.most) == ("breaching", True, least)


@pytest.mark.parametrize("alarm", EVERY, ids=lambda each: each.name)
def test_an_alarm_says_where_its_page_is_and_the_page_what_to_do(alarm: Alarm) -> None:
    described = alarm.resource()["Properties"]["AlarmDescription"]
    page = ROOT / described.rpartition(" ")[2]
    text = page.read_text()

    assert text.startswith(f"# {alarm.name}\n")
    headings = re.findall(r"^\*\*([^*]+)\*\*", text, re.MULTILINE)
    assert [each for each in headings if each in PARTS] == list(PARTS)
    assert "`" in text.partition("**Look first.**")[2].partition("**Do.**")[0], "a command or a query"
    assert str(alarm.most).removesuffix(".0") in text, "the page names the alarm's threshold"


PARTS = ("It means.", "Who is hurt.", "Look first.", "Do.", "It is over")


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with moto_server(tmp_path_factory.mktemp("moto") / "moto.log") as aws:
        yield aws


def test_cloudformation_makes_the_dashboard(moto: Aws) -> None:
    parameters = [{"ParameterKey": "Prefix", "ParameterValue": PREFIX}]
    moto.client("cloudformation").create_stack(StackName="o", TemplateBody=FILE.read_text(), Parameters=parameters)

    body = json.loads(moto.client("cloudwatch").get_dashboard(DashboardName=PREFIX)["DashboardBody"])

    assert "${" not in json.dumps(body)
    assert body["widgets"][1]["properties"]["metrics"][0] == [
        OURS, "ReadySeconds", "deployment", "dev", {"stat": "p50"}
    ]  # fmt: skip


def test_cloudwatch_takes_every_alarm(moto: Aws) -> None:
    """One by one, since moto's CloudFormation makes no alarms."""
    client = moto.client("cloudwatch")
    for alarm in EVERY:
        client.put_metric_alarm(**_resolved(alarm.resource()["Properties"]) | {"AlarmActions": []})

    described = [each for page in client.get_paginator("describe_alarms").paginate() for each in page["MetricAlarms"]]

    assert {each["AlarmName"] for each in described} == {f"{PREFIX}-{each.name}" for each in EVERY}
    ours = [each for each in described if each.get("Namespace") == OURS]
    assert all({"Name": "deployment", "Value": "dev"} in each["Dimensions"] for each in ours)


def _resolved(value: Any) -> Any:
    """The template's words as CloudFormation would resolve them for stage dev."""
    if isinstance(value, dict):
        if "Fn::Sub" in value:
            return value["Fn::Sub"].replace("${Prefix}", PREFIX)
        return "dev" if "Fn::Select" in value else {name: _resolved(each) for name, each in value.items()}
    return [_resolved(each) for each in value] if isinstance(value, list) else value


def test_expressions_name_their_series_and_no_more_than_an_alarm_may_have() -> None:
    for alarm in ALARMS:
        if not isinstance(alarm.of, Series):
            called = set(re.findall(r"\b[a-z][a-z0-9]*\b", alarm.expression))
            assert called == set(alarm.of), alarm.name
            assert len(alarm.of) <= 10
            assert all(re.fullmatch("[a-z][a-zA-Z0-9_]*", letter) for letter in alarm.of)

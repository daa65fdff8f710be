"""What an operator looks at: CloudWatch's dashboard comes out, with the stage's names left to CloudFormation."""

import json
from collections.abc import Sequence
from typing import Any

from infra.aws.alarms import ALARMS, DEPLOYMENT, OURS, QUEUES, Series, function_series, queue_series
from infra.aws.template import FUNCTIONS

WIDTH, HEIGHT, ROW = 8, 6, 24
_ALARMS_HEIGHT = 5


def dashboard() -> dict[str, Any]:
    """The dashboard in CloudFormation's words."""
    body = json.dumps({"widgets": [_alarms(), *_laid_out(_graphs())]}, separators=(",", ":"))
    properties = {
        "DashboardName": {"Ref": "Prefix"},
        "DashboardBody": {"Fn::Sub": [body, {"Deployment": DEPLOYMENT}]},
    }
    return {"Type": "AWS::CloudWatch::Dashboard", "Properties": properties}


def _alarms() -> dict[str, Any]:
    """Which alarms are on, above everything."""
    place = "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:${Prefix}"
    properties = {"title": "Alarms (docs/runbooks)", "alarms": [f"{place}-{each.name}" for each in ALARMS]}
    return {"type": "alarm", "x": 0, "y": 0, "width": ROW, "height": _ALARMS_HEIGHT, "properties": properties}


def _graphs() -> list[dict[str, Any]]:
    return [*_creations(), *_queues(), *_functions(), *_fleet(), *_roads()]


def _creations() -> list[dict[str, Any]]:
    return [
        _graph("From POST to ready", [Series("ReadySeconds", each) for each in ("p50", "p99")]),
        _search("Stages, p99", "StageSeconds", "stage", "p99"),
        _search("Creations failed, by cause", "CreationsFailed", "code", "Sum"),
    ]


def _queues() -> list[dict[str, Any]]:
    oldest = [queue_series("ApproximateAgeOfOldestMessage", queue) for queue in QUEUES]
    dead = [queue_series("ApproximateNumberOfMessagesVisible", f"{queue}-dead") for queue in QUEUES]
    return [
        _graph("Oldest message, s", oldest),
        _search("Waited for a function, p99", "QueueAge", "queue", "p99"),
        _graph("Given up", [*dead, *(Series("DeadLetters", "Maximum", {"queue": queue}) for queue in QUEUES)]),
    ]


def _functions() -> list[dict[str, Any]]:
    named = FUNCTIONS.values()
    durations = [function_series("Duration", each) for each in named]
    return [
        _graph("Errors", [function_series("Errors", each) for each in named]),
        _graph("Turned away", [function_series("Throttles", each) for each in named]),
        _graph("Duration, p99", [Series(each.metric, "p99", each.dimensions, each.namespace) for each in durations]),
    ]


def _fleet() -> list[dict[str, Any]]:
    lost = [Series(name, "Sum") for name in ("HostsLost", "LeaseEvictions", "LeaseBrake")]
    return [
        _graph("Hosts", [Series("HostsTakingContainers", "Minimum"), Series("ReservedShare", "Maximum")]),
        _graph("Lost", lost),
        _search("Mended by the sweeper, by status", "SweepRepairs", "status", "Sum"),
        _graph("Audits", [Series(name, "Sum") for name in ("Audits", "AuditDefects", "AuditRepairs")]),
    ]


def _roads() -> list[dict[str, Any]]:
    return [
        _search("Events applied", "EventsApplied", "kind", "Sum"),
        _search("Events dropped", "EventsDropped", "reason", "Sum"),
        _search("Frames", "Pushes", "outcome", "Sum"),
        _search("Refused for rate", "RateLimited", "kind", "Sum"),
        _search("Counts not shared", "RateNotShared", "kind", "Sum"),
    ]


def _graph(title: str, series: Sequence[Series]) -> dict[str, Any]:
    return _metric(title, [_line(each) for each in series])


def _line(series: Series) -> list[Any]:
    ours = ["deployment", "${Deployment}"] if series.namespace == OURS else []
    named = [part for pair in series.dimensions.items() for part in pair]
    return [series.namespace, series.metric, *ours, *named, {"stat": series.statistic}]


def _search(title: str, metric: str, by: str, statistic: str) -> dict[str, Any]:
    """One line for each value of a dimension, whichever there are."""
    wanted = f'MetricName="{metric}" deployment="${{Deployment}}"'
    expression = f"SEARCH('{{{OURS},deployment,{by}}} {wanted}', '{statistic}', 300)"
    return _metric(title, [[{"expression": expression, "id": "found"}]])


def _metric(title: str, metrics: Sequence[Any]) -> dict[str, Any]:
    properties = {"title": title, "metrics": metrics, "region": "${AWS::Region}", "period": 300}
    return {"type": "metric", "properties": properties}


def _laid_out(widgets: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """In rows of three, below the alarms."""
    per_row = ROW // WIDTH
    return [
        {
            **widget,
            "x": number % per_row * WIDTH,
            "y": _ALARMS_HEIGHT + number // per_row * HEIGHT,
            "width": WIDTH,
            "height": HEIGHT,
        }
        for number, widget in enumerate(widgets)
    ]

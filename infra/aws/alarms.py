"""Every alarm as a row: what is watched, from when on it is too much, and what that means; CloudFormation goes out.

A row's name is the alarm's name after the prefix and the name of its page in `docs/runbooks`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chalicelib.contract.statuses import Stage
from infra.aws.template import FUNCTIONS, function_name
from infra.aws.template import QUEUES as SOURCES

OURS = "Berth"
DEPLOYMENT = {"Fn::Select": [1, {"Fn::Split": ["-", {"Ref": "Prefix"}]}]}
"""The dimension that every measurement of ours has: `dev` of `berth-dev`."""

MINUTE, FIVE = 60, 300


@dataclass(frozen=True, slots=True)
class Series:
    """One metric as it is put together over a period; dimensions of ours go without `deployment`."""

    metric: str
    statistic: str
    dimensions: Mapping[str, str] = field(default_factory=dict)
    namespace: str = OURS

    def told(self) -> dict[str, Any]:
        """The metric in CloudFormation's words."""
        given = [{"Name": name, "Value": _text(value)} for name, value in self.dimensions.items()]
        ours = [{"Name": "deployment", "Value": DEPLOYMENT}] if self.namespace == OURS else []
        return {"Namespace": self.namespace, "MetricName": self.metric, "Dimensions": [*ours, *given]}


def _text(value: str) -> str | dict[str, str]:
    return {"Fn::Sub": value} if "${" in value else value


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm; `of` is one series, or those of an `expression` by the letters that it calls them."""

    name: str
    meaning: str
    of: Series | Mapping[str, Series]
    most: float
    expression: str = ""
    below: bool = False
    """Too little is wrong, not too much."""
    period: int = FIVE
    periods: int = 1
    missing: str = "notBreaching"

    @property
    def title(self) -> str:
        """Its name in the template."""
        return "".join(part.title() for part in self.name.split("-")) + "Alarm"

    @property
    def series(self) -> list[Series]:
        return [self.of] if isinstance(self.of, Series) else list(self.of.values())

    def resource(self) -> dict[str, Any]:
        """It in CloudFormation's words."""
        properties = {
            "AlarmName": {"Fn::Sub": f"${{Prefix}}-{self.name}"},
            "AlarmDescription": f"{self.meaning}. docs/runbooks/{self.name}.md",
            **self._watched(),
            "EvaluationPeriods": self.periods,
            "Threshold": self.most,
            "ComparisonOperator": "LessThanThreshold" if self.below else "GreaterThanThreshold",
            "TreatMissingData": self.missing,
            "AlarmActions": [{"Fn::If": ["HasAlarmTopic", {"Ref": "AlarmTopicArn"}, {"Ref": "AWS::NoValue"}]}],
        }
        return {"Type": "AWS::CloudWatch::Alarm", "Properties": properties}

    def _watched(self) -> dict[str, Any]:
        if isinstance(self.of, Series):
            return {**self.of.told(), "Period": self.period, **_statistic(self.of.statistic)}
        result = {"Id": "result", "Expression": self.expression, "Label": self.name, "ReturnData": True}
        return {"Metrics": [result, *(self._part(letter, each) for letter, each in self.of.items())]}

    def _part(self, letter: str, series: Series) -> dict[str, Any]:
        stat = {"Metric": series.told(), "Period": self.period, "Stat": series.statistic}
        return {"Id": letter, "MetricStat": stat, "ReturnData": False}


def _statistic(name: str) -> dict[str, Any]:
    """Few samples make no percentile: they say nothing."""
    if name.startswith("p"):
        return {"ExtendedStatistic": name, "EvaluateLowSampleCountPercentile": "ignore"}
    return {"Statistic": name}


def queue_series(metric: str, queue: str) -> Series:
    """What SQS says of a queue."""
    return Series(metric, "Maximum", {"QueueName": f"${{Prefix}}-{queue}.fifo"}, "AWS/SQS")


def function_series(metric: str, function: str) -> Series:
    """What Lambda says of a function."""
    return Series(metric, "Sum", {"FunctionName": function_name("${Prefix}", function)}, "AWS/Lambda")


QUEUES = tuple(sorted(each.lower() for each in SOURCES.values()))
SOCKETS = tuple(each for each in FUNCTIONS.values() if each.startswith("websocket"))


def _dead(queue: str) -> Alarm:
    given_up = queue_series("ApproximateNumberOfMessagesVisible", f"{queue}-dead")
    return Alarm(f"{queue}-dead", f"A message of {queue} was given up", given_up, 0, period=MINUTE)


def _old(queue: str, seconds: int) -> Alarm:
    oldest = queue_series("ApproximateAgeOfOldestMessage", queue)
    meaning = f"The oldest of {queue} waits longer than {seconds} s"
    return Alarm(f"{queue}-old", meaning, oldest, seconds, period=MINUTE, periods=3)


def _errors(name: str, functions: tuple[str, ...], percent: int, periods: int = 1) -> Alarm:
    """At least five errors, and more than this share of all invocations."""
    errors = {f"e{number}": function_series("Errors", each) for number, each in enumerate(functions)}
    calls = {f"i{number}": function_series("Invocations", each) for number, each in enumerate(functions)}
    failed, all_ = "+".join(errors), "+".join(calls)
    meaning = f"More than {percent} % of invocations fail"
    expression = f"IF(({failed})>=5,100*({failed})/({all_}),0)"
    return Alarm(f"{name}-errors", meaning, errors | calls, percent, expression, periods=periods)


def _throttled(name: str, function: str, most: int) -> Alarm:
    meaning = "Invocations are turned away for want of concurrency"
    return Alarm(f"{name}-throttled", meaning, function_series("Throttles", function), most)


def _slow(stage: Stage, seconds: int) -> Alarm:
    spent = Series("StageSeconds", "p99", {"stage": stage.value})
    meaning = f"One creation in a hundred is over {seconds} s in {stage.value}"
    return Alarm(f"{stage.value}-slow", meaning, spent, seconds, periods=3)


SLOW = {
    Stage.VALIDATING: 15,
    Stage.PULLING: 120,
    Stage.CREATING: 10,
    Stage.STARTING: 10,
    Stage.CONFIGURING: 60,
}
"""Seconds of each stage that are too many."""

_LETTERS = {queue[:2]: Series("DeadLetters", "Maximum", {"queue": queue}) for queue in QUEUES}
_FAILED = {"failed": Series("CreationsFailed", "Sum"), "ready": Series("ReadySeconds", "SampleCount")}

ALARMS = (
    *(_dead(queue) for queue in QUEUES),
    Alarm(
        "dead-letters-growing",
        "More than 10 messages were given up within five minutes",
        _LETTERS,
        10,
        f"DIFF({'+'.join(_LETTERS)})",
    ),
    _old("commands", 10),
    _old("events", 10),
    _old("enrolments", 60),
    _errors("api", ("api_handler",), 1),
    _errors("sockets", SOCKETS, 1),
    _errors("provision", ("provision",), 25, periods=3),
    _errors("status", ("status",), 10, periods=2),
    Alarm("sweep-errors", "The sweeper fails", function_series("Errors", "sweep"), 1),
    _errors("enrol", ("enrol",), 25, periods=3),
    Alarm(
        "sweep-missing",
        "The sweeper does not run",
        function_series("Invocations", "sweep"),
        1,
        below=True,
        missing="breaching",
    ),
    _throttled("api", "api_handler", 0),
    _throttled("provision", "provision", 10),
    _throttled("status", "status", 10),
    *(_slow(stage, seconds) for stage, seconds in SLOW.items()),
    Alarm(
        "ready-slow",
        "One creation in a hundred takes over 180 s from POST to ready",
        Series("ReadySeconds", "p99"),
        180,
        periods=3,
    ),
    Alarm(
        "creations-failed",
        "More than 5 % of creations end in error",
        _FAILED,
        5,
        "IF(FILL(failed,0)>=5,100*FILL(failed,0)/(FILL(failed,0)+FILL(ready,0)),0)",
        periods=2,
    ),
    Alarm("hosts-lost", "A host fell silent for over a minute", Series("HostsLost", "Sum"), 0),
    Alarm("containers-lost", "Over 100 containers were lost with hosts", Series("LeaseEvictions", "Sum"), 100),
    Alarm(
        "leases-braked",
        "Many hosts are silent at once: nothing is ended",
        Series("LeaseBrake", "Sum"),
        0,
        period=MINUTE,
        periods=2,
    ),
    Alarm(
        "hosts-too-few",
        "No host takes containers",
        Series("HostsTakingContainers", "Minimum"),
        1,
        below=True,
        period=MINUTE,
        periods=5,
        missing="missing",
    ),
    Alarm(
        "fleet-full",
        "Over nine tenths of the fleet are reserved",
        Series("ReservedShare", "Minimum"),
        0.9,
        periods=3,
    ),
    Alarm("sweep-repairs", "The sweeper has much to mend", Series("SweepRepairs", "Sum"), 50, periods=3),
    Alarm("audit-defects", "An audit found a difference", Series("AuditDefects", "Sum"), 0),
    Alarm("pushes-stuck", "Frames are not pushed", Series("Pushes", "Sum", {"outcome": "stuck"}), 10, periods=2),
    Alarm(
        "events-untrusted",
        "Somebody writes events without a good signature",
        Series("EventsDropped", "Sum", {"reason": "untrusted"}),
        0,
    ),
    Alarm("requests-refused", "Very many requests are refused for rate", Series("RateLimited", "Sum"), 5000),
    Alarm("rates-not-shared", "Counts of requests are not shared", Series("RateNotShared", "Sum"), 10, periods=2),
)

OF_RELAYS = Alarm(
    "relays-too-few",
    "No relay of terminals is well",
    Series(
        "HealthyHostCount",
        "Maximum",
        {"TargetGroup": "${RelayTargets.TargetGroupFullName}", "LoadBalancer": "${Balancer.LoadBalancerFullName}"},
        "AWS/ApplicationELB",
    ),
    1,
    below=True,
    period=MINUTE,
    periods=3,
    missing="breaching",
)
"""In the relays' own stack (`relays/relays.json`), where its load balancer is.

Each part of the load balancer counts the relays that it finds well: with the highest count below one, no client is
served. Of a group without relays nothing is measured, and a stage that has this stack is to have one always.
"""

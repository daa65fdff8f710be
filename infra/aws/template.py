"""`python -m infra.aws.template`: stacks, gateway responses and limits come in, the merge template of Chalice goes out.

`chalice package --merge-template infra/aws/merge.json` then gives one template of everything. The file is kept in the
repository so that Chalice alone is enough; a test says when it is no longer what this makes.
"""

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MERGE = HERE / "merge.json"

FUNCTIONS = {
    "APIHandler": "api_handler",
    "WebsocketConnect": "websocket_connect",
    "WebsocketMessage": "websocket_message",
    "WebsocketDisconnect": "websocket_disconnect",
    "Provision": "provision",
    "Status": "status",
    "Sweep": "sweep",
    "Enrol": "enrol",
}
"""What `chalice package` calls each function, and what Chalice's configuration does."""

QUEUES = {"Provision": "Commands", "Status": "Events", "Enrol": "Enrolments"}
"""Which queue each function reads, by the names of the templates."""

CALL_AGENTS = ("APIHandler", "Provision")
"""The functions that are in the hosts' network, when there is one (ADR 0022)."""


def read(name: str) -> Any:
    """One of the JSON files beside this module."""
    return json.loads((HERE / name).read_text())


def function_name(prefix: str, function: str) -> str:
    """What Chalice names a function: the API's has no name of its own."""
    return prefix if function == "api_handler" else f"{prefix}-{function}"


def merge_template() -> dict[str, Any]:
    """The supporting stack, what watches it, and what Chalice cannot say of functions and APIs."""
    stack, watching, limits = read("stack.json"), read("observability.json"), read("limits.json")
    resources = {name: _function(name, limits["most_at_once"]) for name in FUNCTIONS}
    return {
        "Description": "Berth: functions, APIs, tables, queues, log groups, alarms, a dashboard",
        "Parameters": watching["Parameters"] | stack["Parameters"] | _NETWORK,
        "Conditions": watching["Conditions"] | {"InNetwork": _given("FunctionSubnets")},
        "Resources": {**stack["Resources"], **watching["Resources"], **resources, **_apis(limits)},
    }


_NETWORK = {
    "FunctionSubnets": {
        "Type": "CommaDelimitedList",
        "Default": "",
        "Description": "Subnets of the functions that call agents; empty for none",
    },
    "FunctionSecurityGroups": {
        "Type": "CommaDelimitedList",
        "Default": "",
        "Description": "Their security groups",
    },
    "TerminalUrl": {
        "Type": "String",
        "Default": "",
        "Description": "Where the relays of terminals are, as their stack tells; empty for none",
    },
    "KeyFingerprint": {
        "Type": "String",
        "Default": "",
        "Description": "Of the control plane's key, by `infra.aws.deploy keys`; with another, functions read it anew",
    },
}


def _given(parameter: str) -> dict[str, Any]:
    return {"Fn::Not": [{"Fn::Equals": [{"Fn::Join": ["", {"Ref": parameter}]}, ""]}]}


def _function(name: str, most_at_once: dict[str, int]) -> dict[str, Any]:
    function = FUNCTIONS[name]
    properties: dict[str, Any] = {
        "FunctionName": {"Fn::Sub": function_name("${Prefix}", function)},
        "Environment": {"Variables": _ENVIRONMENT},
    }
    if name in QUEUES:
        source = {
            "Queue": {"Fn::Sub": f"${{{QUEUES[name]}.Arn}}"},
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "ScalingConfig": {"MaximumConcurrency": most_at_once[function]},
        }
        properties["Events"] = {f"{name}SqsEventSource": {"Properties": source}}
    if name in CALL_AGENTS:
        network = {"SubnetIds": {"Ref": "FunctionSubnets"}, "SecurityGroupIds": {"Ref": "FunctionSecurityGroups"}}
        properties["VpcConfig"] = {"Fn::If": ["InNetwork", network, {"Ref": "AWS::NoValue"}]}
    return {"DependsOn": _log_group(function), "Properties": properties}


def _log_group(function: str) -> str:
    return "".join(part.title() for part in function.split("_")) + "Log"


_ENVIRONMENT = {
    "BERTH_PREFIX": {"Ref": "Prefix"},
    "BERTH_SOCKETS_ENDPOINT": {
        "Fn::Sub": "https://${WebsocketAPI}.execute-api.${AWS::Region}.${AWS::URLSuffix}/api",
    },
    "BERTH_TERMINAL_URL": {"Ref": "TerminalUrl"},
    "BERTH_CONTROL_KEY_FINGERPRINT": {"Ref": "KeyFingerprint"},
    "BERTH_CONTROL_KEY_SECRET": {"Fn::Sub": "/${Prefix}/control-private-key"},
    "BERTH_HOST_ROLE_PARAMETER": {"Fn::Sub": "/${Prefix}/host-role-id"},
    "BERTH_CONTROL_PUBLIC_KEY_PARAMETER": {"Fn::Sub": "/${Prefix}/control-public-key"},
}


def _apis(limits: dict[str, Any]) -> dict[str, Any]:
    rest, sockets = limits["rest"], limits["sockets"]
    every_method = {
        "ResourcePath": "/*",
        "HttpMethod": "*",
        "ThrottlingRateLimit": rest["rate"],
        "ThrottlingBurstLimit": rest["burst"],
        "MetricsEnabled": True,
    }
    every_route = {
        "ThrottlingRateLimit": sockets["rate"],
        "ThrottlingBurstLimit": sockets["burst"],
        "DetailedMetricsEnabled": True,
    }
    return {
        "RestAPI": {
            "Properties": {
                "MethodSettings": [every_method],
                "TracingEnabled": True,
                "GatewayResponses": _gateway_responses(),
            }
        },
        "WebsocketAPIStage": {"Properties": {"DefaultRouteSettings": every_route}},
    }


def _gateway_responses() -> dict[str, Any]:
    """As SAM writes them: headers under `Headers` and without their long prefix."""
    return {
        kind: {name: value for name, value in response.items() if name != "ResponseParameters"}
        | {"ResponseParameters": {"Headers": _short(response["ResponseParameters"])}}
        for kind, response in read("gateway_responses.json").items()
    }


def _short(parameters: dict[str, str]) -> dict[str, str]:
    return {name.removeprefix("gatewayresponse.header."): value for name, value in parameters.items()}


if __name__ == "__main__":
    MERGE.write_text(json.dumps(merge_template(), indent=2) + "\n")

"""Least privilege: what the flow suite saw functions call is allowed, and nothing else without a reason.

The flow suite itself refuses a call that no policy allows. `calls.json` is a whole run of it; what a run rarely or
never comes to is listed here.
"""

import json

import pytest

from infra.aws.template import CALL_AGENTS, FUNCTIONS, QUEUES
from tests.deploy.policies import POLICIES, Call, Grant, grants, recorded, refused, unused

RARELY = {
    Call("status", "dynamodb:DeleteItem", "berth-local-containers"): "an expired session gives its name back",
    Call("status", "dynamodb:UpdateItem", "berth-local-containers"): "an expired session gives its quota back",
    Call("status", "sqs:SendMessage", "berth-local-commands.fifo"): "an inventory has something settled",
    Call("status", "sqs:GetQueueUrl", "berth-local-commands.fifo"): "as above",
    Call("status", "dynamodb:Query", "berth-local-containers/index/host"): "a host cannot say whose a container is",
    Call("provision", "dynamodb:Query", "berth-local-containers/index/host"): "as above, when it is settled",
    Call("sweep", "dynamodb:DeleteItem", "berth-local-containers"): "an abandoned record gives its name back",
    Call("sweep", "dynamodb:GetItem", "berth-local-hosts"): "a silent host is looked at before it is given up",
    Call("sweep", "dynamodb:Query", "berth-local-containers/index/host"): "what ran on a lost host",
    Call("sweep", "sqs:SendMessage", "berth-local-events.fifo"): "what ran on a lost host is told of",
    Call("sweep", "sqs:GetQueueUrl", "berth-local-events.fifo"): "as above",
    Call("websocket_message", "dynamodb:UpdateItem", "berth-local-tokens"): "many frames are counted together",
    Call("enrol", "dynamodb:UpdateItem", "berth-local-hosts"): "on AWS alone: hosts that enrol themselves",
    Call("enrol", "sqs:GetQueueUrl", "berth-local-enrolments.fifo"): "as above",
    Call("enrol", "sqs:ChangeMessageVisibility", "berth-local-enrolments.fifo"): "an enrolment that cannot be read",
}

KEPT_ON_AWS = {
    "control-private-key": ("api_handler", "provision", "websocket_connect", "sweep"),
    "control-public-key": ("status",),
    "sockets-endpoint": ("api_handler", "websocket_message", "status"),
    "host-role-id": ("enrol",),
}
"""Parameters, which the local cloud has in the environment (`test_smoke.py` and `test_zip.py` read them)."""

TAKEN = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")


def lambdas_own() -> set[Call]:
    """What Lambda itself does in a function's name."""
    found = {Call(name, f"logs:{verb}", "log-group:/aws/lambda/berth-local") for name in POLICIES for verb in _LOGS}
    for function, queue in QUEUES.items():
        name = FUNCTIONS[function]
        found |= {Call(name, f"sqs:{verb}", f"berth-local-{queue.lower()}.fifo") for verb in TAKEN}
    interface = ("Create", "Delete")
    addresses = ("AssignPrivateIpAddresses", "UnassignPrivateIpAddresses", "DescribeSubnets")
    verbs = (*(f"{verb}NetworkInterface" for verb in interface), *addresses, "DescribeNetworkInterfaces")
    return found | {Call(FUNCTIONS[name], f"ec2:{verb}", "*") for name in CALL_AGENTS for verb in verbs}


_LOGS = ("CreateLogStream", "PutLogEvents")


def parameters() -> set[Call]:
    return {
        Call(function, "ssm:GetParameter", f"/berth-local/{name}")
        for name, functions in KEPT_ON_AWS.items()
        for function in functions
    }


def test_every_function_has_a_policy_of_its_own() -> None:
    assert set(POLICIES) == set(FUNCTIONS.values())


@pytest.mark.parametrize("function", sorted(POLICIES))
def test_no_policy_says_everything(function: str) -> None:
    for grant in grants(function):
        assert "*" not in grant.action
        assert grant.resource != "*" or grant.action.startswith("ec2:"), grant


def test_what_was_called_is_allowed() -> None:
    assert refused(recorded() | set(RARELY) | lambdas_own() | parameters()) == set()


def test_what_is_allowed_is_called() -> None:
    assert unused(recorded() | set(RARELY) | lambdas_own() | parameters()) == set()


def test_a_call_of_another_function_or_table_is_not_allowed() -> None:
    strange = {
        Call("websocket_disconnect", "dynamodb:PutItem", "berth-local-tokens"),
        Call("provision", "dynamodb:Scan", "berth-local-hosts"),
        Call("api_handler", "dynamodb:GetItem", "other-containers"),
        Call("status", "ssm:GetParameter", "/berth-local/control-private-key"),
    }

    assert refused(strange) == strange


def test_a_permission_that_nothing_needs_is_noticed() -> None:
    assert Grant("sweep", "dynamodb:Query", "arn:aws:dynamodb:*:*:table/berth-*-hosts/index/by_state") in unused(
        call for call in recorded() if "hosts" not in call.resource
    )


def test_files_are_written_as_they_are_read() -> None:
    for path in POLICIES.values():
        assert path.read_text() == json.dumps(json.loads(path.read_text()), indent=2) + "\n"

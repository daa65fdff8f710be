"""LocalStack comes up on loopback alone, and its services answer."""

from infra.localstack.server import ACCOUNT, Localstack
from tests.localstack.sockets import listening

NEEDED = {"apigateway", "apigatewayv2", "cloudformation", "dynamodb", "events", "iam", "lambda", "logs", "sqs", "ssm"}
LOOPBACK = "0100007F"


def test_it_listens_on_loopback_alone(localstack: Localstack) -> None:
    assert {address for address, port in listening() if port == localstack.port} == {LOOPBACK}


def test_every_service_that_berth_needs_can_be_asked(localstack: Localstack) -> None:
    health = localstack.health()

    assert {name for name in NEEDED if health.get(name) in ("available", "running")} == NEEDED
    assert localstack.client("sts").get_caller_identity()["Account"] == ACCOUNT

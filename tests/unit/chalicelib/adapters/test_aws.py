"""One session makes the clients of all services that functions use, and of no other."""

import pytest
from botocore.exceptions import UnknownServiceError

from chalicelib.adapters.aws import SERVICES, new_session
from tests.aws import REGION


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_that_is_used_has_a_client(service: str) -> None:
    client = new_session().create_client(service, region_name=REGION)  # type: ignore[call-overload]

    assert client.meta.endpoint_url == f"https://{_host(service)}.{REGION}.amazonaws.com"


def test_a_service_that_is_not_used_has_none() -> None:
    with pytest.raises(UnknownServiceError, match="dynamodb"):
        new_session().create_client("ec2", region_name=REGION)


def _host(service: str) -> str:
    return "execute-api" if service == "apigatewaymanagementapi" else service

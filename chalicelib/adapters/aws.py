"""AWS's clients: what they may take comes in, a session that makes them goes out.

It is botocore's: boto3 makes the same clients, and has besides what nobody uses here and every cold start would load.
"""

from botocore.loaders import Loader
from botocore.session import Session, get_session

SERVICES = ("apigatewaymanagementapi", "dynamodb", "sqs", "ssm")


class _KnownServices(Loader):
    """Models of these services, told without a look into the four hundred folders of all that there are."""

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - what one of them lacks is not found
        return list(SERVICES)


def new_session() -> Session:
    """A session of the process's own credentials, for these services."""
    session = get_session()
    session.register_component("data_loader", _KnownServices())
    return session

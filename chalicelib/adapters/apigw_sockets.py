"""API Gateway's `@connections`: a connection id and text come in, a frame goes out, or who is no longer there."""

from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.domain.errors import ConnectionGone, ConnectionStuck

CONFIG = Config(connect_timeout=2, read_timeout=2, retries={"total_max_attempts": 1}, max_pool_connections=16)
"""A push is a hint: it is tried once and must not hold up the others."""


class ApiGatewaySockets:
    """`ports.Sockets` by the client of `apigatewaymanagementapi`."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def send(self, connection_id: str, text: str) -> None:
        try:
            self._client.post_to_connection(ConnectionId=connection_id, Data=text.encode())
        except self._client.exceptions.GoneException as error:
            raise ConnectionGone(connection_id) from error
        except (ClientError, BotoCoreError) as error:
            raise ConnectionStuck(type(error).__name__) from error

    def close(self, connection_id: str) -> None:
        try:
            self._client.delete_connection(ConnectionId=connection_id)
        except (ClientError, BotoCoreError):
            return

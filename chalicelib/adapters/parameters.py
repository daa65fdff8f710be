"""What a stage keeps in Parameter Store: a name comes in, the value (decrypted) goes out."""

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.domain.errors import Busy


class SsmParameters:
    """Parameters and secrets of AWS Systems Manager."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def get(self, name: str) -> str:
        """The value, or Busy when it cannot be had now; neither name nor value is told to anybody."""
        try:
            found = self._client.get_parameter(Name=name, WithDecryption=True)
        except (ClientError, BotoCoreError) as error:
            raise Busy("a setting cannot be read") from error
        return str(found["Parameter"]["Value"])

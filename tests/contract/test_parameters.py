"""A stage's parameters and secrets, asked of moto's Parameter Store."""

import pytest

from chalicelib.adapters.parameters import SsmParameters
from chalicelib.domain.errors import Busy
from tests.aws import Aws


def test_a_secret_is_read_in_the_clear(server: Aws) -> None:
    ssm = server.client("ssm")
    ssm.put_parameter(Name="/berth-test/secret", Value="two\nlines", Type="SecureString")

    assert SsmParameters(ssm).get("/berth-test/secret") == "two\nlines"


def test_what_cannot_be_read_is_busy_and_its_name_is_not_told(server: Aws) -> None:
    with pytest.raises(Busy) as raised:
        SsmParameters(server.client("ssm")).get("/berth-test/not-there")

    assert "not-there" not in str(raised.value)

"""The contract suites of stores and queues, asked of LocalStack instead of moto's server.

The store's races, two minutes on moto's DynamoDB inside LocalStack, are run where `RACES` is set, as `make
test-localstack` does.
"""

import os
import re
import subprocess
import sys

import pytest

from infra.localstack.server import Localstack
from tests.aws import LOCALSTACK, ROOT

SUITES = {
    "test_fifo": 14,
    "test_dead_letters": 3,
    "test_doors": 20,
    "test_parameters": 2,
    "test_rates": 3,
    "test_other_stores": 15,
    "test_container_store": 30,
}
"""At least so many tests of each; a suite that is not collected is a failure."""

CHOSEN = "not memory" if os.environ.get("RACES") else "not memory and not at_once"


@pytest.mark.parametrize("suite", SUITES)
def test_it_keeps_the_contract(localstack: Localstack, suite: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", f"tests/contract/{suite}.py", "-q", "-k", CHOSEN, "-p", "no:cacheprovider"],
        env={**os.environ, LOCALSTACK: f"127.0.0.1:{localstack.port}"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= SUITES[suite], done.stdout

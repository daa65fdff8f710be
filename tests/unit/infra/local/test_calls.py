"""What a process asks of AWS is in the file, whoever made the session."""

import json
import os
import subprocess
import sys
from pathlib import Path

from infra.local.calls import VARIABLE
from tests.aws import ROOT

ASKS = """
import boto3, botocore.session
from botocore.config import Config
from infra.local.calls import record_from_here

record_from_here("api_handler")
once = Config(retries={"total_max_attempts": 1})
for session in (boto3.Session().client, botocore.session.get_session().create_client):
    client = session("dynamodb", region_name="eu-west-1", endpoint_url="http://127.0.0.1:9", config=once)
    try:
        client.get_item(TableName=session.__name__, Key={"id": {"S": "1"}})
    except Exception:
        pass
"""


def test_calls_of_every_session_are_recorded(tmp_path: Path) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    environment = {**os.environ, **keys, VARIABLE: str(tmp_path / "calls"), "PYTHONPATH": str(ROOT)}

    subprocess.run([sys.executable, "-c", ASKS], env=environment, check=True)

    told = [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]
    assert told == [["api_handler", "dynamodb:GetItem", table] for table in ("client", "create_client")]

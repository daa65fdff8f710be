"""The API is what its OpenAPI document says: to generated requests, right and wrong, in chains and without a token."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.aws import ROOT
from tests.flow.conftest import User

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "response_headers_conformance,negative_data_rejection,ignored_auth,use_after_free,ensure_resource_availability"
)


def test_generated_requests_find_no_server_error_no_schema_violation_and_no_way_past_the_token(
    new_user: Callable[..., User], tmp_path: Path
) -> None:
    user = new_user("enterprise")
    command = [
        str(ROOT / ".venv/bin/schemathesis"), "run", str(ROOT / "chalicelib/edge/published/openapi.json"),
        "--url", user.berth.url, "--header", f"Authorization: Bearer {user.token}", "--checks", CHECKS,
        "--max-examples", "25", "--generation-deterministic", "--no-color", "--warnings", "off",
    ]  # fmt: skip
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "tests.flow.schemathesis_hooks", "PYTHONPATH": str(ROOT)}

    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout[-6000:]
    assert "Stateful" in done.stdout

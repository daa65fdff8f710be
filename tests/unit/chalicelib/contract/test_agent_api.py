"""What a host may be asked to run."""

from typing import Any

import pytest
from pydantic import ValidationError

from chalicelib.contract.agent_api import ExecCall


def a_call(**changes: Any) -> ExecCall:
    return ExecCall(**({"container_id": "c", "user_id": "u", "generation": 1, "timeout_seconds": 1.0} | changes))


@pytest.mark.parametrize("word", ["", "a\nb\n", "\u202e\r", "\\0", "%00"], ids=["empty", "lines", "odd", "0", "00"])
def test_any_text_is_an_argument(word: str) -> None:
    call = a_call(command=["printf", word], environment={"A": word})

    assert (call.command, call.environment) == (["printf", word], {"A": word})


@pytest.mark.parametrize(
    "changes",
    [
        {"command": ["printf", "a\0b"]},
        {"command": ["id"], "workdir": "/tmp\0/x"},  # noqa: S108 - a path in the container
        {"command": ["id"], "environment": {"A\0B": "x"}},
        {"command": ["id"], "environment": {"A": "x\0"}},
    ],
    ids=["argument", "folder", "name", "value"],
)
def test_no_text_has_a_nul_at_which_a_runtime_might_end_it(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        a_call(**changes)

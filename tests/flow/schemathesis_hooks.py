"""Loaded by schemathesis: nobody here waits 25 seconds for a status that does not come."""

from typing import Any

import schemathesis


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """A long poll of no time where it says nothing of its length, or no wrong one."""
    query = case.query or {}
    if "wait" in query and str(query.get("timeout", 25)).isdigit() and int(query.get("timeout", 25)) <= 25:
        query["timeout"] = 0

"""System calls that a container may make: our table comes in, a profile for the engine goes out (reliability §4.3).

Stricter than the engine's own: what the table does not allow is refused, whatever kernel or engine there is. The
table also says what is refused on purpose and why; a name is in one of both lists, or refused as unknown.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("seccomp.json")

_ENOSYS = 38
_NEW_NAMESPACES = 0x7E020000
"""Every CLONE_NEW… flag."""


@cache
def seccomp_option() -> str:
    """What `security_opt` takes."""
    return "seccomp=" + json.dumps(profile(json.loads(TABLE.read_text())), separators=(",", ":"))


def profile(table: dict[str, Any]) -> dict[str, Any]:
    """The table in the engine's words."""
    architectures = table["architectures"].items()
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "archMap": [{"architecture": name, "subArchitectures": below} for name, below in architectures],
        "syscalls": [
            _allow(table["allowed"]),
            *(_allow(["socket"], _equal(family)) for family in table["socket_families"]),
            _allow(["socketpair"], _equal(table["socket_families"][0])),
            *(_allow(["personality"], _equal(each)) for each in table["personalities"]),
            _allow(["clone"], _none_of(_NEW_NAMESPACES)),
            # its flags are in memory, where no filter looks: programs take it for an older kernel and call clone
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS},
        ],
    }


def _allow(names: list[str], *arguments: dict[str, Any]) -> dict[str, Any]:
    return {"names": names, "action": "SCMP_ACT_ALLOW", "args": list(arguments)}


def _equal(value: int) -> dict[str, Any]:
    return {"index": 0, "value": value, "op": "SCMP_CMP_EQ"}


def _none_of(flags: int) -> dict[str, Any]:
    return {"index": 0, "value": flags, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}

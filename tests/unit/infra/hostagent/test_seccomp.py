"""The table of system calls: what it says, and what the engine is told."""

import json
from itertools import chain

from infra.hostagent.seccomp import TABLE, profile, seccomp_option

CONTENT = json.loads(TABLE.read_text())
BY_ARGUMENT = {"clone", "clone3", "socket", "socketpair", "personality"}
ALG, VSOCK, PACKET = 38, 40, 17


def test_a_call_is_allowed_refused_or_looked_at_and_never_two_of_these() -> None:
    denied = list(chain.from_iterable(CONTENT["denied"].values()))
    named = [*CONTENT["allowed"], *denied, *BY_ARGUMENT]

    assert len(named) == len(set(named))


def test_what_the_security_notes_name_is_refused() -> None:
    allowed = set(CONTENT["allowed"])

    for name in (
        "add_key", "bpf", "init_module", "io_uring_setup", "kexec_load", "keyctl", "mount", "open_by_handle_at",
        "perf_event_open", "pivot_root", "request_key", "setns", "socketcall", "unshare", "userfaultfd",
    ):  # fmt: skip
        assert name not in allowed, name
    assert not {ALG, VSOCK, PACKET} & set(CONTENT["socket_families"])


def test_the_engine_refuses_what_no_rule_allows() -> None:
    told = json.loads(seccomp_option().removeprefix("seccomp="))
    rules = {rule["names"][0]: rule for rule in told["syscalls"] if len(rule["names"]) == 1}

    assert told == profile(CONTENT)
    assert told["defaultAction"] == "SCMP_ACT_ERRNO"
    assert rules["clone3"] == {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}
    assert rules["clone"]["args"] == [
        {"index": 0, "value": 0x7E020000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"},
    ]
    families = [rule["args"][0]["value"] for rule in told["syscalls"] if rule["names"] == ["socket"]]
    assert families == [1, 2, 10, 16]

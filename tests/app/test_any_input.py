"""Whatever is sent to `POST /containers`: never a 5xx, and what is refused leaves nothing behind."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib import wiring
from chalicelib.edge import containers
from tests.app.conftest import Api
from tests.fakes.world import World

TEXT = st.text(max_size=40) | st.sampled_from(
    ["", "\0", "debian", "custom", "ünï", "a" * 300, "../../x", "localhost:5000/x"]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**17, max_value=10**40)
    | st.floats(allow_nan=True, allow_infinity=True)
    | TEXT
)
ANYTHING = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))
FIELDS = [
    "image", "custom_image", "name", "role", "shell", "memory_mb", "cpu_shares", "disk_mb", "environment", "labels",
    "network_mode", "allowed_domains",
]  # fmt: skip
GOOD: dict[str, st.SearchStrategy[Any]] = {
    "image": st.sampled_from(["debian", "ubuntu:24.04", "custom"]),
    "custom_image": st.sampled_from(["nginx", "ghcr.io/a/b:1", "10.0.0.1/x", "a" * 260]),
    "name": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9-]{0,70}", fullmatch=True),
    "role": st.sampled_from(["node", "python", "", "pilot"]),
    "shell": st.fixed_dictionaries({}, optional={"theme": TEXT, "enhanced": st.booleans(), "use_tmux": SCALARS}),
    "memory_mb": st.integers(min_value=-(10**20), max_value=10**30),
    "cpu_shares": st.integers(min_value=0, max_value=10**6),
    "disk_mb": st.integers(min_value=0, max_value=10**6),
    "environment": st.dictionaries(TEXT, TEXT, max_size=70),
    "labels": st.dictionaries(TEXT | st.just("berth.host"), TEXT, max_size=5),
    "network_mode": st.sampled_from(["default", "none", "restricted", "host"]),
    "allowed_domains": st.lists(TEXT | st.sampled_from(["example.org", "*.example.org"]), max_size=60),
}
NEARLY = st.fixed_dictionaries(
    {"image": GOOD["image"]},
    optional={field: GOOD[field] | ANYTHING for field in FIELDS if field != "image"},
)
SOUND = st.fixed_dictionaries(
    {"image": st.sampled_from(["debian", "ubuntu:24.04"])},
    optional={
        "memory_mb": st.none() | st.integers(min_value=0, max_value=10**30),
        "cpu_shares": st.integers(min_value=0, max_value=10**6),
        "role": st.sampled_from(["node", "", None]),
        "network_mode": st.sampled_from(["default", "none", "restricted"]),
        "environment": st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True), TEXT, max_size=3),
    },
)
BODIES = (
    SOUND.map(json.dumps).map(str.encode)
    | NEARLY.map(json.dumps).map(str.encode)
    | ANYTHING.map(json.dumps).map(str.encode)
    | st.builds(lambda body, cut: json.dumps(body).encode()[:cut], NEARLY, st.integers(0, 80))
    | st.binary(max_size=200)
    | st.dictionaries(st.sampled_from(FIELDS) | TEXT, ANYTHING, max_size=6).map(json.dumps).map(str.encode)
)
TYPES = st.sampled_from(["application/json"] * 8 + ["text/plain", "", "application/json;charset=utf-8", "\x7f"])
KEYS = st.none() | st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=300)


@pytest.fixture(params=["memory", "moto"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Many examples in memory, and fewer over moto, whose transactions take longer with every row."""
    if request.param == "memory":
        world = World()
        monkeypatch.setattr(
            wiring,
            "api",
            lambda: containers.Api(
                world.lifecycle,
                world.reconfiguration,
                world.execution,
                lambda: world.files,
                lambda: world.terminals,
                lambda: world.usage,
                wiring.tokens(),
                wiring.rates(),
            ),
        )
    return str(request.param)


def test_no_input_breaks_it_and_what_is_refused_leaves_nothing(
    user: Callable[..., Api], store: str, rows: Callable[[], list[dict[str, Any]]]
) -> None:
    api = user("enterprise")
    examples = 2500 if store == "memory" else 300
    seen: Counter[int] = Counter()

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(body=BODIES, content_type=TYPES, key=KEYS)
    def check(body: bytes, content_type: str, key: str | None) -> None:
        headers = {"Content_Type": content_type} | ({"Idempotency_Key": key} if key is not None else {})

        answer = api("POST", "/containers", body or b" ", **headers)

        seen[answer.status_code] += 1
        assert answer.status_code in (202, 400, 413, 415, 422), answer.body
        if answer.status_code == 202:
            assert api("DELETE", f"/containers/{answer.json_body['id']}").status_code in (200, 404)
        else:
            assert isinstance(answer.json_body["error"], str)
            assert isinstance(answer.json_body["code"], str)

    check()

    assert sum(seen.values()) >= examples
    assert seen[202] > examples / 25
    assert seen[400] > examples / 5
    stored = [row for row in rows() if row["sk"]["S"].startswith("container#")]
    assert len(stored) <= seen[202]
    assert all(row["status"]["S"] == "deleting" for row in stored)

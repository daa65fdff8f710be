"""Frames of terminals: whatever is printed arrives whole in small frames, whatever a client sends means one thing."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.contract.agent_api import Used
from infra.hostagent.ports import Size
from infra.hostagent.terminals.frames import (
    FRAME_BYTES,
    Asked,
    Frame,
    Ping,
    Pong,
    Resize,
    Typed,
    asked,
    output_frames,
    read_frame,
    stats_frame,
)
from infra.hostagent.terminals.output import KEPT_BYTES, TRUNCATED, Backlog

WIDE = st.text(alphabet=st.sampled_from('a\x00\x1b"\\\né漢😀\u2028'), max_size=6000)


@given(st.one_of(WIDE, st.text(max_size=6000)), st.booleans())
def test_text_arrives_whole_in_frames_that_are_small_enough(text: str, raw: bool) -> None:
    text = text.encode(errors="replace").decode()

    frames = list(output_frames(text, raw=raw))

    assert all(0 < len(frame.encode()) <= FRAME_BYTES for frame in frames)
    assert "".join(frame if raw else json.loads(frame)["data"] for frame in frames) == text
    assert raw or all(json.loads(frame)["type"] == "output" for frame in frames)


@given(st.integers(0, 2**64), st.none() | st.integers(0, 2**64), st.floats(0, 1e9))
def test_numbers_are_text_in_a_small_frame_and_what_is_not_known_is_left_out(
    number: int, written: int | None, percent: float
) -> None:
    frame = stats_frame(
        Used(
            cpu_percent=percent, memory=number, memory_limit=number, disk_read=number, disk_write=number,
            disk_usage=written, disk_limit=number, net_rx=number, net_tx=number,
        )
    )  # fmt: skip

    message = json.loads(frame)
    told = json.loads(message["data"])
    names = ["cpu_percent", "memory", "memory_limit", "disk_read", "disk_write", "disk_limit", "net_rx", "net_tx"]
    assert len(frame.encode()) <= FRAME_BYTES
    assert message["type"] == "stats"
    assert told.pop("disk_usage", None) == written
    assert told == dict.fromkeys(names, number) | {"cpu_percent": percent}


@given(st.lists(st.binary(max_size=5000), max_size=8))
def test_bytes_in_any_portions_are_the_text_that_they_are_together(pieces: list[bytes]) -> None:
    backlog, text = Backlog(), ""
    for piece in pieces:
        backlog.put(piece)
        text += backlog.take()
    while backlog:
        text += backlog.take()

    assert text + backlog.take(final=True) == b"".join(pieces).decode(errors="replace")


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=20))
def test_what_nobody_takes_is_held_to_its_size_and_the_newest_is_kept(pieces: list[bytes]) -> None:
    backlog, whole = Backlog(size=64), b"".join(pieces)
    for piece in pieces:
        backlog.put(piece)

    assert len(backlog) == min(len(whole), 64)
    if len(whole) > 64:
        assert backlog.take() == TRUNCATED
    assert backlog.take(final=True) == whole[-64:].decode(errors="replace")


def test_a_megabyte_is_kept() -> None:
    backlog = Backlog()

    for _ in range(100):
        backlog.put(b"y\n" * 50_000)

    assert len(backlog) == KEPT_BYTES == 1024 * 1024


MESSAGES: list[tuple[str | bytes, Frame]] = [
    ('{"type":"input","data":"ls\\n"}', Typed(b"ls\n")),
    (b' {"type": "input", "data": "gr\xc3\xbc\xc3\x9fe"}', Typed("grüße".encode())),
    ('{"type":"input","data":""}', Typed(b"")),
    ('{"type":"input","data":"\\ud800"}', Typed(b"?")),
    ('{"type":"resize","cols":120,"rows":40}', Resize(Size(120, 40))),
    ('{"type":"resize","cols":0,"rows":65535}', Resize(Size(1, 1000))),
    ('{"type":"resize","cols":-1,"rows":1e3}', Typed(b'{"type":"resize","cols":-1,"rows":1e3}')),
    ('{"type":"ping"}', Ping()),
    ('{"type":"pong","data":"x"}', Pong()),
]


@pytest.mark.parametrize(("frame", "meaning"), MESSAGES, ids=range(len(MESSAGES)))
def test_a_message_is_what_it_says(frame: str | bytes, meaning: Frame) -> None:
    assert read_frame(frame) == meaning


TYPED = [
    "", "ls\n", "null", "42", '"x"', "[]", "{", "{}", '{"a":1}', '{"type":"output","data":"x"}', '{"type":1}',
    '{"type":"input"}', '{"type":"input","data":1}', '{"type":"resize","cols":"80","rows":24}',
    '{"type":"resize","cols":true,"rows":24}', '{"type":["input"]}', '{"type":"resize","cols":1}', "[" * 100_000,
    '{"a":' * 100_000, '{"type":"resize","cols":1' + "0" * 5000 + ',"rows":1}',
]  # fmt: skip


@pytest.mark.parametrize("frame", TYPED, ids=range(len(TYPED)))
def test_what_is_no_message_is_typed(frame: str) -> None:
    assert read_frame(frame) == read_frame(frame.encode()) == Typed(frame.encode())


@given(st.binary())
def test_bytes_are_typed_as_they_are(frame: bytes) -> None:
    assert read_frame(b"\xff" + frame) == Typed(b"\xff" + frame)


@pytest.mark.parametrize(
    ("query", "meaning"),
    [
        ({}, Asked()),
        (
            {"id": "tab 1", "newSession": "true", "cols": "132", "rows": "43", "raw": "1"},
            Asked("tab 1", True, Size(132, 43), True),
        ),
        ({"cols": "0", "rows": "65535"}, Asked(size=Size(1, 1000))),
        ({"cols": "-1", "rows": "1e3"}, Asked()),
        ({"cols": "٣", "rows": "9" * 21}, Asked()),
        ({"newSession": "1", "raw": "true"}, Asked()),
        *(({"id": junk}, Asked()) for junk in ("", "x" * 65, "a\nb", "\x1b[2J")),
        ({"id": "x" * 64}, Asked("x" * 64)),
    ],
)
def test_what_is_junk_in_the_address_counts_as_not_said(query: dict[str, Any], meaning: Asked) -> None:
    assert asked(query) == meaning

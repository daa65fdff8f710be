"""What commands print: any bytes become text that is right, in order, and no more than fits an answer."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.hostagent.commands.printed import DROPPED_PER_SECOND, TEXT_BYTES, Printed
from infra.hostagent.ports import STDERR, STDOUT

LAMBDA_BYTES = 6_291_556
"""The largest answer that Lambda takes."""

PIECES = st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=40)), max_size=10)


def printed_of(*pieces: tuple[int, bytes]) -> Printed:
    printed = Printed(sleep=lambda _seconds: None)
    for stream, piece in pieces:
        printed.take(stream, piece)
    printed.close()
    return printed


@given(PIECES)
def test_each_output_reads_as_if_it_had_come_in_one_piece(pieces: list[tuple[int, bytes]]) -> None:
    printed = printed_of(*pieces)

    for stream in (STDOUT, STDERR):
        whole = b"".join(piece for each, piece in pieces if each == stream)
        assert printed.of(stream) == whole.decode(errors="replace")
    assert len(printed.of(STDOUT, STDERR)) == len(printed.of(STDOUT)) + len(printed.of(STDERR))
    assert not printed.truncated


def test_a_character_that_comes_in_two_pieces_is_whole() -> None:
    first, second = "ü".encode()[:1], "ü".encode()[1:]

    assert printed_of((STDOUT, first), (STDERR, b"!"), (STDOUT, second)).of(STDOUT) == "ü"
    assert printed_of((STDOUT, first)).of(STDOUT) == "\ufffd"


def test_what_is_too_much_is_cut_between_two_characters_and_said_to_be() -> None:
    endless = "äöü€😀".encode() * 200_000
    for pieces in ([(STDOUT, endless)], [(STDOUT, endless[n : n + 9999]) for n in range(0, len(endless), 9999)]):
        printed = printed_of(*pieces, (STDERR, b"late"))
        text = printed.of(STDOUT)
        assert printed.truncated
        assert printed.of(STDERR) == ""
        assert endless.decode().startswith(text)


def test_a_megabyte_of_plain_text_fits_and_a_byte_more_does_not() -> None:
    whole = printed_of((STDOUT, b"y" * TEXT_BYTES))
    more = printed_of((STDOUT, b"y" * TEXT_BYTES), (STDERR, b"!"))

    assert (len(whole.of(STDOUT)), whole.truncated) == (TEXT_BYTES, False)
    assert (len(more.of(STDOUT, STDERR)), more.truncated) == (TEXT_BYTES, True)


@pytest.mark.parametrize("piece", [b"\0", b'"', b"\\", b"\n", b"\xff", "ü".encode(), "😀".encode(), b"y"])
def test_the_answer_of_a_function_is_never_too_large_for_lambda(piece: bytes) -> None:
    printed = printed_of((STDOUT, piece * (TEXT_BYTES // 2)), (STDERR, piece * TEXT_BYTES))
    body = {"stdout": printed.of(STDOUT), "stderr": printed.of(STDERR), "output": printed.of(STDOUT, STDERR)}

    assert printed.truncated
    assert len(json.dumps({"statusCode": 200, "body": json.dumps(body)})) < LAMBDA_BYTES - 10_000


def test_what_is_dropped_is_taken_slowly() -> None:
    slept: list[float] = []
    printed = Printed(sleep=slept.append)
    for _ in range(3):
        printed.take(STDOUT, b"y" * TEXT_BYTES)

    assert slept == [TEXT_BYTES / DROPPED_PER_SECOND]
    for _ in range(1024):
        printed.take(STDOUT, b"y" * 1024)
    assert (len(slept), sum(slept)) == (3, 2 * TEXT_BYTES / DROPPED_PER_SECOND)

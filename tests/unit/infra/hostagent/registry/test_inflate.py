"""Layers counted as they pass: bombs are noticed long before their end, in little memory."""

import bz2
import gzip
import lzma
import os
import resource
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from infra.hostagent.registry.errors import TooLarge, Unsupported
from infra.hostagent.registry.inflate import WINDOW_BYTES, Budget, Inflation, Packing
from tests.fakes.registry import bomb, zstd, zstd_bomb

CHUNK = 64 * 1024
PACKED = {Packing.PLAIN: bytes, Packing.GZIP: gzip.compress, Packing.ZSTD: zstd}

SKIPPED = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"skip"
"""A frame that holds nothing for whoever unpacks."""


def passed(content: bytes, most: int, packing: Packing = Packing.GZIP) -> int:
    """How many of its bytes pass by."""
    inflation = Inflation(Budget(most), packing)
    for start in range(0, len(content), CHUNK):
        try:
            inflation.pass_by(content[start : start + CHUNK])
        except TooLarge:
            return start
    return len(content)


def flushed_bomb() -> bytes:
    """One member alone, without end: what unpacks to a gigabyte in a thousandth of it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = packer.compress(bytes(10_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + (packer.compress(bytes(10_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)) * 100


@pytest.mark.parametrize("packing", Packing)
def test_what_is_within_the_limit_passes_whole(packing: Packing) -> None:
    content = os.urandom(3_000_000)
    packed = PACKED[packing](content)

    assert passed(packed, 3_000_000, packing) == len(packed)
    assert passed(packed, 2_999_999, packing) < len(packed)
    assert passed(packed * 2, 6_000_000, packing) == len(packed) * 2


@pytest.mark.parametrize(
    ("content", "packing"),
    [
        (bomb(1), Packing.GZIP),
        (flushed_bomb(), Packing.GZIP),
        (zstd_bomb(1), Packing.ZSTD),
        (zstd(bytes(1_000_000_000), level=19), Packing.ZSTD),
    ],
    ids=["members", "one", "frames", "one frame"],
)
def test_a_bomb_is_noticed_long_before_its_end_in_little_memory(content: bytes, packing: Packing) -> None:
    tracemalloc.start()
    try:
        assert passed(content, 200_000_000, packing) < len(content) / 2
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_a_bomb_that_comes_at_once_is_noticed_before_it_is_unpacked() -> None:
    content = zstd(bytes(2_000_000_000), level=19)
    began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    assert len(content) < CHUNK * 2
    with pytest.raises(TooLarge):
        Inflation(Budget(200_000_000), Packing.ZSTD).pass_by(content)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - began < 64 * 1024


def test_the_layers_of_an_image_share_its_limit() -> None:
    budget = Budget(1500)
    Inflation(budget, Packing.GZIP).pass_by(gzip.compress(bytes(1000)))

    with pytest.raises(TooLarge):
        Inflation(budget, Packing.ZSTD).pass_by(zstd(bytes(1000)))


@pytest.mark.parametrize(("content", "packing"), [(bomb(2), Packing.GZIP), (zstd_bomb(2), Packing.ZSTD)])
def test_a_layer_of_a_thousand_times_its_size_is_given_up_long_before_the_limit(
    content: bytes, packing: Packing
) -> None:
    assert passed(content, 6_000_000_000, packing) < len(content) / 2


@pytest.mark.parametrize("packing", [Packing.GZIP, Packing.ZSTD])
def test_what_is_packed_otherwise_is_refused(packing: Packing) -> None:
    for content in (b"nonsense", PACKED[packing](b"x") + b"nonsense"):
        with pytest.raises(Unsupported):
            Inflation(Budget(1000), packing).pass_by(content)


def test_what_may_be_skipped_is_skipped() -> None:
    Inflation(Budget(10), Packing.ZSTD).pass_by(zstd(b"12345") + SKIPPED + zstd(b"67890") + SKIPPED)


def test_a_layer_that_takes_much_memory_to_unpack_is_refused() -> None:
    content = os.urandom(1_000_000)
    usual, wide = zstd(content, window=WINDOW_BYTES), zstd(content, window=WINDOW_BYTES * 2)

    assert passed(usual, 2_000_000, Packing.ZSTD) == len(usual)
    with pytest.raises(Unsupported, match="32 MiB"):
        passed(wide, 2_000_000, Packing.ZSTD)


@pytest.mark.parametrize(
    "pack", [gzip.compress, zstd, bz2.compress, lzma.compress, lambda content: SKIPPED + zstd(content)]
)
@pytest.mark.parametrize("step", [1, 5, 1000])
def test_a_packed_layer_that_is_said_to_be_plain_is_refused(pack: Callable[[bytes], bytes], step: int) -> None:
    inflation, packed = Inflation(Budget(10**9), Packing.PLAIN), pack(bytes(1000))

    with pytest.raises(Unsupported):
        for start in range(0, len(packed), step):
            inflation.pass_by(packed[start : start + step])

"""Limits of an xfs project: what the kernel is told, and folders that have no project."""

import struct
from pathlib import Path

import pytest

from infra.hostagent.quotas.projects import limit, limits


def test_the_kernel_is_told_of_blocks_and_of_nothing_else() -> None:
    told = limits(7, 24 * 1024 * 1024)

    assert len(told) == 112
    version, of_project, which, project, hard, soft = struct.unpack_from("=bbHIQQ", told)
    assert (version, of_project, project) == (1, 2, 7)
    assert which == 0b1100
    assert hard == soft == 24 * 2048
    assert set(told[24:]) == {0}


def test_a_folder_without_a_project_has_no_limit(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"no project|Inappropriate ioctl|not supported"):
        limit(tmp_path, 1024)

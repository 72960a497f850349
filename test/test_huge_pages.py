"""Commands ask the C library for large pages, once, and say no more than that."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vla_ros.huge_pages import asking_for_huge_pages

LARGE = "glibc.malloc.hugetlb=1"
_SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")

IN_A_PROCESS = """
import os, sys
from pathlib import Path
begun = os.getpid()
from vla_ros.huge_pages import use_huge_pages
use_huge_pages()
filled = bytearray(64 * 2**20)
filled[::4096] = b"x" * len(filled[::4096])
print(os.getpid(), sys.argv[1:], os.environ["GLIBC_TUNABLES"])
print(Path("/proc/self/smaps_rollup").read_text())
"""


def run(environment: dict[str, str]) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-c", IN_A_PROCESS, "one", "two words"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    return process, process.communicate(timeout=60)[0]


def test_they_are_asked_for_beside_what_was_asked_for_before():
    told = {"HOME": "/home/eve", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
    assert asking_for_huge_pages({}) == {"GLIBC_TUNABLES": LARGE}
    assert asking_for_huge_pages(told) == {
        "HOME": "/home/eve",
        "GLIBC_TUNABLES": f"glibc.malloc.tcache_count=0:{LARGE}",
    }


def test_who_wants_small_ones_keeps_them():
    assert asking_for_huge_pages({"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has them")
def test_a_process_begins_anew_under_its_id_with_its_arguments():
    process, out = run({**os.environ, "GLIBC_TUNABLES": ""})
    assert out.splitlines()[0] == f"{process.pid} ['one', 'two words'] {LARGE}"


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc"
    or tuple(map(int, platform.libc_ver()[1].split("."))) < (2, 35)
    or not _SETTING.exists()
    or "[madvise]" not in _SETTING.read_text(),
    reason="this C library or kernel does not give large pages to who asks",
)
def test_its_memory_then_is_in_large_pages():
    def large_kb(tunables: str) -> int:
        out = run({**os.environ, "GLIBC_TUNABLES": tunables})[1]
        found = re.search(r"AnonHugePages: +(\d+) kB", out)
        assert found
        return int(found[1])

    assert large_kb("") > 32 * 1024
    assert large_kb("glibc.malloc.hugetlb=0") == 0

"""Memory in pages of 2 MB instead of 4 kB, which Linux gives to who asks for it.

Training allocates large arrays and frees them, over and over, and an inference reads all weights:
with small pages much of the time goes into giving out pages and finding them again. The C library
asks for large ones only if its environment said so when the process began.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

_TUNABLES, _ASK = "GLIBC_TUNABLES", "glibc.malloc.hugetlb"


def use_huge_pages() -> None:
    """Begin this process anew, under its id, where its environment does not ask for large pages.

    Set `GLIBC_TUNABLES=glibc.malloc.hugetlb=0` to have it run with small ones. Other C libraries
    than glibc 2.35 or newer ignore the variable.
    """
    asking = asking_for_huge_pages(os.environ)
    if asking is not None and sys.platform == "linux":
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], asking)


def asking_for_huge_pages(environment: Mapping[str, str]) -> dict[str, str] | None:
    """The environment that asks for large pages; `None` if this one does, or asks for small."""
    told = environment.get(_TUNABLES, "")
    if _ASK in told:
        return None
    return {**environment, _TUNABLES: f"{told}:{_ASK}=1".lstrip(":")}

"""CPU threads of a policy, which shares its machine with control."""

from __future__ import annotations

import os

import torch


def set_threads(asked: int) -> None:
    """Let torch compute in this process with that many threads.

    Args:
        asked: 0 takes torch's own choice, but leaves a core of this process's to control: with all
            of them taken a tick waits for the scheduler to take one away.
    """
    spare = max(1, len(os.sched_getaffinity(0)) - 1)
    torch.set_num_threads(asked or min(torch.get_num_threads(), spare))

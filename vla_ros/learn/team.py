"""Processes that train one model together, each on rows of its own; `torchrun` starts them.

What a step computes is what one process would with a batch as large as all of theirs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn

Result = TypeVar("Result")


class Team:
    """The processes, as one of them sees them.

    Args:
        rank: Number of this process, from 0.
        size: How many there are.
        local_rank: Its number on this machine.
        device: Where numbers are exchanged: the GPU with NCCL, else the CPU.
    """

    def __init__(
        self,
        rank: int = 0,
        size: int = 1,
        local_rank: int = 0,
        device: torch.device | None = None,
    ) -> None:
        self.rank, self.size, self._local_rank = rank, size, local_rank
        self._device = device or torch.device("cpu")

    @property
    def leads(self) -> bool:
        """Whether this is the process that validates, logs and saves."""
        return self.rank == 0

    def factors(self, counts: Sequence[float]) -> list[float]:
        """What to multiply means over `counts` rows here by.

        The average of the products over all processes is then the mean over all their rows. The
        plain average would give a row among few more weight than one among many.
        """
        if self.size == 1:
            return [1.0] * len(counts)
        own = torch.tensor(counts, dtype=torch.float64, device=self._device)
        total = own.clone()
        dist.all_reduce(total)
        shares: list[float] = (own * self.size / total.clamp(min=1)).tolist()
        return shares

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace the gradients by their mean over the processes, all in one exchange."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self.size == 1 or not gradients:
            return
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        parts = torch.split(flat / self.size, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def largest(self, value: float) -> float:
        """The largest `value` of all: what they have to agree on, such as when to stop."""
        if self.size == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=self._device)
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        return float(shared.item())

    def one_first(self, work: Callable[[], Result]) -> Result:
        """Do `work` in one process of each machine, then in the others: it may fill a cache."""
        if self.size == 1:
            return work()
        if self._local_rank == 0:
            result = work()
            dist.barrier()
            return result
        dist.barrier()
        return work()


ALONE = Team()


@contextmanager
def assembled(device: str) -> Iterator[Team]:
    """The team that `torchrun` made, or this process alone.

    Args:
        device: `auto`, `cpu` or `cuda`, as in `TrainOptions`; on CUDA every process takes the GPU
            of its number on the machine.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    local_rank = int(os.environ["LOCAL_RANK"])
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(local_rank)
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        where = torch.device("cuda", local_rank) if on_gpu else None
        yield Team(dist.get_rank(), size, local_rank, where)
        # The first process may still save; whoever ended sooner would take its connections away.
        dist.barrier()
    finally:
        dist.destroy_process_group()

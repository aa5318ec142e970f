"""Several processes that train one network, each on its share of every batch.

    torchrun --nproc-per-node 2 -m -- stream.cli train --log …

(Without the two dashes torchrun takes `--log` for its own.)

Knows nothing of the network. All begin with one seed and take the mean of their gradients at each step (data
parallelism: Li et al. 2020, PyTorch Distributed, section 3), so all hold the same weights; the first one writes.
"""

import os
import sys
from collections.abc import Iterable
from datetime import timedelta
from typing import NoReturn

import torch
from torch import distributed
from torch.nn import Module, Parameter

LONGEST = timedelta(hours=12)
"""That the others wait for the first, which alone chooses on validation. torch's own 10 minutes on GPUs are too few for
a large log."""


def join(device: str, threads: int) -> str:
    """Joins the processes that torchrun has started, if it has; the device of this one. `threads` cores for each."""
    torch.set_num_threads(threads)
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or distributed.is_initialized():
        return device
    on_gpu = device.startswith("cuda")
    distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=LONGEST)
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if on_gpu else device


def leave() -> None:
    """Leaves them again, all at once: whoever still talks to one that has gone is aborted."""
    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()


def end(code: int) -> NoReturn:
    """Ends one of several processes at once.

    The usual end takes apart what gloo's threads may still stand on: on a busy machine 4 of 20 trainings that were done
    and written ended as aborted ("terminate called without an active exception"), and torchrun with them.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def rank() -> int:
    """This process's number; 0 writes."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def size() -> int:
    """How many there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def as_the_first(module: Module) -> None:
    """Gives every process the first one's numbers, learned or not: another machine's encoder differs in last bits."""
    if size() == 1:
        return
    for told in (*module.parameters(), *module.buffers()):
        distributed.broadcast(told.data, src=0)


def said_by_the_first(number: float, device: torch.device) -> float:
    """The first process's number: by it all go on or end together."""
    if size() == 1:
        return number
    told = torch.tensor(number, dtype=torch.float64, device=device)
    distributed.broadcast(told, src=0)
    return float(told)


def share(places: torch.Tensor) -> torch.Tensor:
    """This process's part of a batch; all parts are of one size, so that the mean of their means is the whole's."""
    whole = len(places) // size() * size()
    return places[rank() : whole : size()] if whole else places


def average_gradients(parameters: Iterable[Parameter]) -> None:
    """Makes every process's gradients the mean of all."""
    if size() == 1:
        return
    for parameter in parameters:
        if parameter.grad is not None:
            distributed.all_reduce(parameter.grad)
            parameter.grad /= size()

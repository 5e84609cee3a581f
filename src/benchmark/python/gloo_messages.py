"""Times messages between two processes over Gloo, of the sizes that a synchronised batch normalization has.

    python3 gloo_messages.py

Prints the median microseconds of an all-reduce and of an all-gather of 2C + 5 numbers of 8 bytes, as one step's message of C
channels in clnorm-mpi has them. Needs torch with Gloo; for docs/distributed.md.
"""
import os
import statistics
import time

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

MESSAGES = 2000
WARM = 200


def median(call):
    times = []
    for i in range(WARM + MESSAGES):
        begin = time.perf_counter()
        call()
        if i >= WARM:
            times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1e6


def rank(number, ranks):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29511")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=number, world_size=ranks)
    for channels in (64, 256, 1024, 2048):
        own = torch.zeros(2 * channels + 5, dtype=torch.float64)
        every = [torch.zeros_like(own) for _ in range(ranks)]
        reduce = median(lambda: dist.all_reduce(own))
        gather = median(lambda: dist.all_gather(every, own))
        if number == 0:
            print(f"{channels} channels, {ranks} ranks: all-reduce {reduce:.1f} us, all-gather {gather:.1f} us", flush=True)


if __name__ == "__main__":
    mp.spawn(rank, args=(2,), nprocs=2)

"""Times PyTorch's normalizations on a CUDA (or ROCm) device, on the shapes that `clnorm bench` has.

compare_torch.py --json FILE [--device cuda] [JOB...]

A job is NORM:TYPE:FUSION:N,C,H,W with a norm of batch, layer, rms and group, a type of float32, float16 and bfloat16, and a
fusion (of batch; - for others) of none, relu and add+relu. Without jobs on the command line they are read from standard
input, one a line; each is answered by a line "done" when its figures are in the file, so that another program can measure
in between. cuDNN is on and off in turn for batch normalization; of the others it has none.

Contestants of a shape alternate with a device copy in short blocks, and medians over the rounds are reported: the ratio
to the copy is the median of the rounds' ratios. Tensors rotate through more memory than the cache holds.

  ms         a call's time by events around a block of calls queued one after another, waits for the host included
  kernel_ms  the same with the calls queued behind a delay, so that the device never waits for the host
  gb_per_s   minimal bytes (each input read once, each output written once) over ms
"""

import argparse
import json
import math
import os
import statistics
import sys
import time

import torch
import torch.nn.functional as F

ROTATION_BYTES = 320 << 20
ROUNDS = 9
BLOCK_SECONDS = 0.01
DELAYED_CALLS = 20
EPSILON = 1e-5


class Clock:
    """Times blocks of calls: by events on a GPU; on the processor, where there are none, by the clock."""

    def __init__(self, device):
        self.events = device.type == "cuda"

    def finish(self):
        if self.events:
            torch.cuda.synchronize()

    def block(self, call, calls, delay_cycles=0):
        """Seconds for one call by the device, and by the host to queue it."""
        if not self.events:
            start = time.perf_counter()
            for _ in range(calls):
                call()
            seconds = (time.perf_counter() - start) / calls
            return seconds, seconds
        before, after = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        if delay_cycles:
            torch.cuda._sleep(delay_cycles)
        before.record()
        start = time.perf_counter()
        for _ in range(calls):
            call()
        host = (time.perf_counter() - start) / calls
        after.record()
        after.synchronize()
        return before.elapsed_time(after) * 1e-3 / calls, host


class Contestant:
    """Calls that rotate through sets of tensors.

    What a call returns is kept until the call's turn comes again: else the allocator would hand out the same memory for
    every output, which then stays in the cache.
    """

    def __init__(self, facts, minimal_bytes, calls):
        self.facts = facts
        self.minimal_bytes = minimal_bytes
        self.sets = calls
        self.kept = [None] * len(calls)
        self.next = 0
        self.seconds, self.kernel_seconds, self.of_copy = [], [], []

    def call(self):
        at = self.next % len(self.sets)
        self.kept[at] = self.sets[at]()
        self.next += 1

    def release(self):
        self.sets, self.kept = [], []

    def prepare(self, clock):
        # Twice, so that the allocator has all the memory that it will need.
        for _ in range(2 * len(self.sets)):
            self.call()
        clock.finish()
        one, host = clock.block(self.call, 5)
        self.calls = max(2, min(1000, int(BLOCK_SECONDS / max(one, 1e-6))))
        # Twice the cycles that a clock of 2 GHz counts while the host queues the calls; 0.1 s at most.
        self.delay = int(min(2e8, 4e9 * host * DELAYED_CALLS)) if hasattr(torch.cuda, "_sleep") else 0

    def measure(self, clock):
        seconds, _ = clock.block(self.call, self.calls)
        kernel_seconds, _ = clock.block(self.call, DELAYED_CALLS, self.delay)
        self.seconds.append(seconds)
        self.kernel_seconds.append(kernel_seconds)

    def row(self):
        seconds = statistics.median(self.seconds)
        return dict(
            self.facts,
            ms=seconds * 1e3,
            kernel_ms=statistics.median(self.kernel_seconds) * 1e3,
            gb_per_s=self.minimal_bytes / seconds * 1e-9,
            of_copy=statistics.median(self.of_copy),
        )


def compete(clock, copy, contestants):
    for _ in range(ROUNDS):
        copy.measure(clock)
        copied = copy.minimal_bytes / copy.seconds[-1]
        for contestant in contestants:
            contestant.measure(clock)
            contestant.of_copy.append(contestant.minimal_bytes / contestant.seconds[-1] / copied)


def tensor(shape, layout, device, dtype=torch.float32):
    x = torch.randn(shape, device=device, dtype=dtype)
    if layout == "channels-last":
        x = x.contiguous(memory_format=torch.channels_last)
    return x


def sets_for(elements, dtype):
    return max(2, min(64, ROTATION_BYTES // (2 * dtype.itemsize * elements)))


def under(cudnn, function):
    """The function, run with cuDNN on or off, which PyTorch asks for in each forward call."""

    def run():
        torch.backends.cudnn.enabled = cudnn
        return function()

    return run


def backward_of(function, cudnn, inputs, dy):
    """A call for the gradients of one forward call, which is made here and kept."""
    with torch.enable_grad():
        y = under(cudnn, function)()
    return under(cudnn, lambda: torch.autograd.grad(y, inputs, dy, retain_graph=True))


def batch_norms(job, layout, device):
    """Contestants by pass, cuDNN on and off."""
    shape, dtype, fusion = job.shape, job.dtype, job.fusion
    channels = shape[1]
    elements = math.prod(shape)
    weight = torch.ones(channels, device=device, requires_grad=True)
    bias = torch.full((channels,), 0.1, device=device, requires_grad=True)
    mean, variance = torch.zeros(channels, device=device), torch.ones(channels, device=device)

    def normalize(x, residual, training):
        y = F.batch_norm(x, mean, variance, weight, bias, training, 0.1, EPSILON)
        if residual is not None:
            y = y + residual
        # In place, as models write it, which also spares memory.
        return y if fusion == "none" else torch.relu_(y)

    for direction in ("forward", "backward", "inference"):
        for cudnn in (True, False):
            yield lambda direction=direction, cudnn=cudnn: contestant(direction, cudnn)

    def contestant(direction, cudnn):
        calls = []
        added = fusion == "add+relu"
        for _ in range(sets_for(elements, dtype)):
            x = tensor(shape, layout, device, dtype)
            residual = tensor(shape, layout, device, dtype) if added else None
            if direction == "backward":
                x.requires_grad_(True)
                inputs = [x, weight, bias]
                if added:
                    residual.requires_grad_(True)
                    inputs.append(residual)
                dy = tensor(shape, layout, device, dtype)
                function = lambda x=x, residual=residual: normalize(x, residual, True)
                calls.append(backward_of(function, cudnn, inputs, dy))
            else:
                training = direction == "forward"
                function = lambda x=x, residual=residual: normalize(x, residual, training)
                calls.append(under(cudnn, torch.no_grad()(function)))
        tensors = (3 if direction == "backward" else 2) + (0 if not added else 2 if direction == "backward" else 1)
        facts = dict(job.facts(layout), backend="cudnn" if cudnn else "native")
        facts["pass"] = direction + ("" if fusion == "none" else "+" + fusion)
        return Contestant(facts, tensors * dtype.itemsize * elements, calls)


def others(job, layout, device):
    """Layer and RMS normalization of the last dimension, and group normalization with 32 groups."""
    shape, dtype = job.shape, job.dtype
    elements = math.prod(shape)
    affine = shape[1] if job.norm == "group" else shape[-1]
    weight = torch.ones(affine, device=device, dtype=dtype, requires_grad=True)
    bias = torch.zeros(affine, device=device, dtype=dtype, requires_grad=True)

    def normalize(x):
        if job.norm == "layer":
            return F.layer_norm(x, (affine,), weight, bias, EPSILON)
        if job.norm == "rms":
            return F.rms_norm(x, (affine,), weight, EPSILON)
        return F.group_norm(x, 32, weight, bias, EPSILON)

    parameters = [weight] if job.norm == "rms" else [weight, bias]
    for direction in ("forward", "backward"):
        yield lambda direction=direction: contestant(direction)

    def contestant(direction):
        calls = []
        for _ in range(sets_for(elements, dtype)):
            x = tensor(shape, layout, device, dtype)
            if direction == "backward":
                x.requires_grad_(True)
                function = lambda x=x: normalize(x)
                calls.append(backward_of(function, True, [x] + parameters, tensor(shape, layout, device, dtype)))
            else:
                calls.append(under(True, torch.no_grad()(lambda x=x: normalize(x))))
        facts = dict(job.facts(layout), backend="native")
        facts["pass"] = direction
        return Contestant(facts, (3 if direction == "backward" else 2) * dtype.itemsize * elements, calls)


def copy_of(job, layout, device):
    elements = math.prod(job.shape)
    pairs = [
        (tensor(job.shape, layout, device, job.dtype), tensor(job.shape, layout, device, job.dtype))
        for _ in range(sets_for(elements, job.dtype))
    ]
    calls = [lambda x=x, y=y: y.copy_(x) for x, y in pairs]
    return Contestant(job.facts(layout), 2 * job.dtype.itemsize * elements, calls)


class Job:
    def __init__(self, text):
        try:
            self.norm, self.type, self.fusion, shape = text.strip().split(":")
            self.shape = tuple(int(n) for n in shape.split(","))
        except ValueError:
            sys.exit("a job is NORM:TYPE:FUSION:N,C,H,W, but one is '%s'" % text.strip())
        known = (
            self.norm in ("batch", "layer", "rms", "group")
            and self.type in ("float32", "float16", "bfloat16")
            and self.fusion in (("none", "relu", "add+relu") if self.norm == "batch" else ("-",))
        )
        if not known:
            sys.exit("there is no job '%s'" % text.strip())
        self.dtype = getattr(torch, self.type)

    def layouts(self):
        # Rows have no notion of channels.
        both = len(self.shape) == 4 and self.norm in ("batch", "group")
        return ("channels-first", "channels-last") if both else ("channels-first",)

    def facts(self, layout):
        return {"norm": self.norm, "type": self.type, "shape": list(self.shape), "layout": layout}


def write(path, report):
    with open(path + ".part", "w") as file:
        json.dump(report, file, indent=1)
        file.write("\n")
    os.replace(path + ".part", path)


def measure(job, clock, device, report):
    for layout in job.layouts():
        group = []
        for make in (batch_norms if job.norm == "batch" else others)(job, layout, device):
            try:
                contestant = make()
                contestant.prepare(clock)
                group.append(contestant)
            except (RuntimeError, AttributeError) as e:
                why = str(e).strip().split("\n")[0]
                report["problems"].append("%s, %s, %s, %s: %s" % (job.norm, job.type, job.shape, layout, why))
            contestant = None
        copy = copy_of(job, layout, device)
        copy.prepare(clock)
        compete(clock, copy, group)
        report["copies"].append(
            dict(copy.facts, gb_per_s=copy.minimal_bytes / statistics.median(copy.seconds) * 1e-9)
        )
        for contestant in [copy] + group:
            contestant.release()
        for contestant in group:
            row = contestant.row()
            report["rows"].append(row)
            print(
                "%-6s %-9s %-18s %-14s %-18s %-7s %9.4f ms %9.4f ms %8.1f GB/s %5.2f of copy"
                % (
                    row["norm"],
                    row["type"],
                    ",".join(map(str, row["shape"])),
                    layout,
                    row["pass"],
                    row["backend"],
                    row["ms"],
                    row["kernel_ms"],
                    row["gb_per_s"],
                    row["of_copy"],
                ),
                file=sys.stderr,
                flush=True,
            )
    if device.type == "cuda":
        torch.cuda.empty_cache()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", required=True)
    parser.add_argument("--device", default="cuda", help="cuda; cpu serves to try this program")
    parser.add_argument("jobs", nargs="*")
    given = parser.parse_args()
    device = torch.device(given.device)
    clock = Clock(device)
    report = {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "copies": [],
        "rows": [],
        "problems": [],
    }
    for line in given.jobs or sys.stdin:
        measure(Job(line), clock, device, report)
        write(given.json, report)
        print("done", flush=True)


main()

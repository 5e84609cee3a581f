"""Times PyTorch's normalizations on a CUDA (or ROCm) device, on the shapes that `clnorm bench` has.

compare_torch.py --json FILE [--seconds S] [--device cuda] N,C,H,W...

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


def tensor(shape, layout, device):
    x = torch.randn(shape, device=device)
    if layout == "channels-last":
        x = x.contiguous(memory_format=torch.channels_last)
    return x


def sets_for(elements):
    return max(2, min(64, ROTATION_BYTES // (8 * elements)))


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


def batch_norms(shape, layout, device):
    """Contestants by pass, cuDNN on and off, with and without what follows the normalization."""
    channels = shape[1]
    elements = math.prod(shape)
    weight = torch.ones(channels, device=device, requires_grad=True)
    bias = torch.full((channels,), 0.1, device=device, requires_grad=True)
    mean, variance = torch.zeros(channels, device=device), torch.ones(channels, device=device)

    def normalize(x, residual, fusion, training):
        y = F.batch_norm(x, mean, variance, weight, bias, training, 0.1, EPSILON)
        if residual is not None:
            y = y + residual
        # In place, as models write it, which also spares memory.
        return y if fusion == "" else torch.relu_(y)

    for direction in ("forward", "backward", "inference"):
        for fusion in ("", "+relu", "+add+relu"):
            for cudnn in (True, False):
                yield lambda direction=direction, fusion=fusion, cudnn=cudnn: contestant(direction, fusion, cudnn)

    def contestant(direction, fusion, cudnn):
        calls = []
        added = fusion == "+add+relu"
        for _ in range(sets_for(elements)):
            x = tensor(shape, layout, device)
            residual = tensor(shape, layout, device) if added else None
            if direction == "backward":
                x.requires_grad_(True)
                inputs = [x, weight, bias]
                if added:
                    residual.requires_grad_(True)
                    inputs.append(residual)
                dy = tensor(shape, layout, device)
                function = lambda x=x, residual=residual: normalize(x, residual, fusion, True)
                calls.append(backward_of(function, cudnn, inputs, dy))
            else:
                training = direction == "forward"
                function = lambda x=x, residual=residual: normalize(x, residual, fusion, training)
                calls.append(under(cudnn, torch.no_grad()(function)))
        tensors = (3 if direction == "backward" else 2) + (0 if not added else 2 if direction == "backward" else 1)
        facts = {
            "shape": list(shape),
            "layout": layout,
            "pass": direction + fusion,
            "backend": "cudnn" if cudnn else "native",
        }
        return Contestant(facts, tensors * 4 * elements, calls)


def others(shape, layout, device):
    """Layer and group normalization of the same tensors."""
    channels = shape[1]
    elements = math.prod(shape)
    groups = math.gcd(32, channels)
    normalized = shape[1:]

    def layer_norm(x, weight, bias):
        return F.layer_norm(x, normalized, weight, bias, EPSILON)

    def group_norm(x, weight, bias):
        return F.group_norm(x, groups, weight, bias, EPSILON)

    def contestant(operation, name, affine, direction):
        weight = torch.ones(affine, device=device, requires_grad=True)
        bias = torch.zeros(affine, device=device, requires_grad=True)
        calls = []
        for _ in range(sets_for(elements)):
            x = tensor(shape, layout, device)
            if direction == "backward":
                x.requires_grad_(True)
                function = lambda x=x: operation(x, weight, bias)
                calls.append(backward_of(function, True, [x, weight, bias], tensor(shape, layout, device)))
            else:
                calls.append(under(True, torch.no_grad()(lambda x=x: operation(x, weight, bias))))
        facts = {"operation": name, "shape": list(shape), "layout": layout, "pass": direction}
        return Contestant(facts, (3 if direction == "backward" else 2) * 4 * elements, calls)

    for direction in ("forward", "backward"):
        # Layer normalization has no notion of channels, and makes a contiguous copy of other memory first.
        if layout == "channels-first":
            yield lambda d=direction: contestant(layer_norm, "layer_norm", normalized, d)
        yield lambda d=direction: contestant(group_norm, "group_norm of %d" % groups, channels, d)


def copy_of(shape, layout, device):
    elements = math.prod(shape)
    pairs = [(tensor(shape, layout, device), tensor(shape, layout, device)) for _ in range(sets_for(elements))]
    calls = [lambda x=x, y=y: y.copy_(x) for x, y in pairs]
    return Contestant({"shape": list(shape), "layout": layout}, 8 * elements, calls)


def write(path, report):
    with open(path + ".part", "w") as file:
        json.dump(report, file, indent=1)
        file.write("\n")
    os.replace(path + ".part", path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", required=True)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin nothing new after so long")
    parser.add_argument("--device", default="cuda", help="cuda; cpu serves to try this program")
    parser.add_argument("shapes", nargs="+", type=lambda text: tuple(int(n) for n in text.split(",")))
    given = parser.parse_args()
    end = time.monotonic() + given.seconds
    device = torch.device(given.device)
    clock = Clock(device)
    report = {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "copies": [],
        "batch_norm": [],
        "others": [],
        "problems": [],
    }
    late = False
    for shape in given.shapes:
        for layout in ("channels-first", "channels-last") if len(shape) == 4 else ("channels-first",):
            for kind, makers in (("batch_norm", batch_norms), ("others", others)):
                contestants = []
                # A few at a time, for the memory's sake; the copy is measured anew with each.
                makers = list(makers(shape, layout, device))
                for first in range(0, len(makers), 6):
                    if time.monotonic() > end:
                        late = True
                        break
                    group = []
                    for make in makers[first : first + 6]:
                        try:
                            contestant = make()
                            contestant.prepare(clock)
                            group.append(contestant)
                        except RuntimeError as e:
                            why = str(e).strip().split("\n")[0]
                            report["problems"].append("%s, %s, %s: %s" % (kind, shape, layout, why))
                        contestant = None
                    copy = copy_of(shape, layout, device)
                    copy.prepare(clock)
                    compete(clock, copy, group)
                    contestants += group
                    report["copies"].append(
                        dict(copy.facts, gb_per_s=copy.minimal_bytes / statistics.median(copy.seconds) * 1e-9)
                    )
                    for contestant in [copy] + group:
                        contestant.release()
                for contestant in contestants:
                    row = contestant.row()
                    report[kind].append(row)
                    print(
                        "%-10s %-20s %-14s %-20s %-8s %9.4f ms %9.4f ms %8.1f GB/s %5.2f of copy"
                        % (
                            row.get("operation", "batch_norm")[:10],
                            ",".join(map(str, shape)),
                            layout,
                            row["pass"],
                            row.get("backend", ""),
                            row["ms"],
                            row["kernel_ms"],
                            row["gb_per_s"],
                            row["of_copy"],
                        ),
                        flush=True,
                    )
                write(given.json, report)
    if late:
        sys.exit("the time was up before all shapes were measured")


main()

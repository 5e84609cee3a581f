"""Prints, as Markdown, what run-on-gpu left in a folder: summary.py FOLDER."""

import glob
import json
import os
import sys


def read(folder, name):
    """The JSON of a file, or None where a step did not come to write it."""
    try:
        with open(os.path.join(folder, name)) as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def table(header, rows):
    print("| " + " | ".join(header) + " |")
    print("|" + " --- |" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def number(value, digits):
    return "" if value is None else "%.*f" % (digits, value)


def part(cases):
    """Of a verification that was ended before it could sum up."""
    if not cases:
        print("**Nothing is known**: verify left no report; see verify.txt.\n")
        return
    failed = [case for case in cases if case["failures"]]
    print("**Not finished**: %d cases ran, %d of them failed.\n" % (len(cases), len(failed)))
    for case in failed[:20]:
        print("- under %s: %s, in %s" % (case["strategy"], case["failures"][0]["problem"], case["case"]))
    print()


def builds(cases):
    """What compiling took, and which process of those that verified had the most of it."""
    programs, seconds, of_process = 0, 0.0, {}
    for case in cases:
        programs += case["programs"]
        seconds += case["build_seconds"]
        of_process[case["process"]] = of_process.get(case["process"], 0) + case["programs"]
    if programs:
        print(
            "%d programs were compiled for it, %.3f s each, by %d processes; the most by one are %d.\n"
            % (programs, seconds / programs, len(of_process), max(of_process.values()))
        )


def verify(report, cases):
    print("## Every kernel against the reference\n")
    if report is None:
        part(cases)
        return
    kernels = report.get("kernels", [])
    passed = [k for k in kernels if k.get("verdict") == "pass"]
    device = report.get("device", {})
    print(
        "**%s** on %s, %s: %d of %d kernels under their strategies pass, %s cases under each strategy, %s s.\n"
        % (
            "Passed" if report.get("passed") is True else "FAILED",
            device.get("platform"),
            device.get("name"),
            len(passed),
            len(kernels),
            report.get("cases"),
            number(report.get("seconds"), 1),
        )
    )
    builds(cases)
    if report.get("left"):
        print("%d cases did not run: the time was up.\n" % report["left"])
    bad = [k for k in kernels if k.get("verdict") != "pass"]
    if bad:
        table(
            ["kernel", "strategy", "worst error", "bound", "of", "verdict"],
            [
                [str(k.get(key, "")) for key in ("kernel", "strategy", "worst_error", "bound", "worst_array", "verdict")]
                for k in bad
            ],
        )
    for failure in report.get("failures", [])[:20]:
        print(
            "- under %s, %s: %s, in %s"
            % tuple(failure.get(key, "") for key in ("strategy", "array", "problem", "case"))
        )
    if len(report.get("failures", [])) > 20:
        print("- and %d more, in verify.json" % (len(report["failures"]) - 20))
    if report.get("failures"):
        print()


def key(row):
    return (row["norm"], row["type"], tuple(row["shape"]), row["layout"], row["pass"])


def bench(reports, torch):
    print("## Speed\n")
    if not reports:
        print("bench left no figures; see bench-*.txt.\n")
        return
    print(
        "GB/s counts each input once and each output once. `of copy` is the ratio to a copy on the same device in the"
        " same run: ours to an OpenCL kernel's, the better of plain and streaming stores; PyTorch's to its own `copy_`."
        " `kernel` is the device's time alone, without gaps between calls that wait for the host."
    )
    theirs = {}
    if torch is not None:
        print(
            "PyTorch %s with cuDNN %s on %s; `against` is the better of its times, cuDNN on and off, over ours."
            % (torch.get("torch"), torch.get("cudnn"), torch.get("device"))
        )
        for row in torch.get("rows", []):
            theirs.setdefault(key(row), {})[row["backend"]] = row
    print()
    header = ["norm", "type", "shape", "layout", "pass", "ms", "kernel ms", "GB/s", "of copy"]
    if theirs:
        header += ["cuDNN ms", "kernel ms", "native ms", "kernel ms", "GB/s", "of copy", "against", "kernel against"]
    rows = []
    for report in reports:
        for ours in report.get("measurements", []):
            copies = [ours[name] for name in ("of_copy", "of_streamed_copy") if ours.get(name) is not None]
            row = [
                ours["norm"],
                ours["type"],
                "×".join(str(n) for n in ours["shape"]),
                ours["layout"],
                ours["pass"],
                number(ours.get("ms"), 4),
                number(ours.get("kernel_ms"), 4),
                number(ours.get("gb_per_s"), 0),
                # The faster copy is the one to which the ratio is the smaller.
                number(min(copies) if copies else None, 2),
            ]
            if theirs:
                row += against(ours, theirs.get(key(ours), {}))
            rows.append(row)
    table(header, rows)
    if torch is not None and torch.get("problems"):
        print("PyTorch could not compute:\n")
        for problem in torch["problems"]:
            print("- " + problem)
        print()


def against(ours, theirs):
    cells = []
    for backend in ("cudnn", "native"):
        row = theirs.get(backend, {})
        cells += [number(row.get("ms"), 4), number(row.get("kernel_ms"), 4)]
    if not theirs:
        return cells + [""] * 4
    best = min(theirs.values(), key=lambda row: row["ms"])
    kernel = min(row["kernel_ms"] for row in theirs.values())
    return cells + [
        number(best["gb_per_s"], 0),
        number(best["of_copy"], 2),
        number(best["ms"] / ours["ms"] if ours.get("ms") else None, 2),
        number(kernel / ours["kernel_ms"] if ours.get("kernel_ms") else None, 2),
    ]


def lines(folder, name):
    """The JSON of each line; the last may have been cut off."""
    values = []
    try:
        with open(os.path.join(folder, name)) as file:
            for line in file:
                values.append(json.loads(line))
    except (OSError, ValueError):
        pass
    return values


def main():
    folder = sys.argv[1]
    verify(read(folder, "verify.json"), lines(folder, "verify-cases.jsonl"))
    reports = [read(folder, os.path.basename(path)) for path in glob.glob(os.path.join(folder, "bench-*.json"))]
    reports = sorted((report for report in reports if report), key=lambda report: report["at"])
    bench(reports, read(folder, "torch.json"))


# Markdown is UTF-8, whatever the locale says.
sys.stdout = open(sys.stdout.fileno(), "w", encoding="utf-8", closefd=False)
main()
sys.stdout.flush()

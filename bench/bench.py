"""How fast are we? `make bench`: our engine beside plain markdown-exec and plain Markdown.

One book (workload.py) is built and served by three builders in turn. Prints a Markdown table of
medians and writes every single figure to bench/out/results.json. A benchmark is not a test: it
exits with 0 whatever it finds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal

import measures
import processes
import report
from measures import OUT, Notes
from report import Row

MEASURES = ("cold", "warm", "prose", "snippet", "growth")
MKEXEC = "(a) markdown-exec"
PLAIN = "(b) not executed"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--chapters", type=int, default=20, help="size of the book (20)")
    parser.add_argument("--runs", type=int, default=3, help="how often each build is timed (3)")
    parser.add_argument("--only", default=",".join(MEASURES), help="measures, with commas between")
    parser.add_argument("--quick", action="store_true", help="no book of 200 chapters")
    options = parser.parse_args()
    only = options.only.split(",")
    if unknown := set(only) - set(MEASURES):
        parser.error(f"no such measure: {', '.join(unknown)}; there are {', '.join(MEASURES)}")
    if options.chapters < 2:
        parser.error("the book needs two chapters or more")

    # Started in the background, we were told to ignore Ctrl-C, and our servers would be too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    processes.adopt_orphans()
    facts = report.facts()
    notes = Notes()
    shutil.rmtree(OUT / "books", ignore_errors=True)
    try:
        measure(notes, only, options.chapters, options.runs, sizes(options.quick))
    finally:
        left = processes.end_descendants()
        if left:
            print(f"{left} process(es) were left behind, and have been ended")
        facts["load at the end"] = report.load()
        rows = report_rows(notes, only, options.chapters, sizes(options.quick))
        print("\n" + report.table(rows) + "\n")
        print("; ".join(f"{name} {value}" for name, value in facts.items()))
        for key, failure in notes.failures.items():
            print(f"\n{key} failed: {failure}")
        results = {"facts": facts, "options": vars(options), **vars(notes)}
        results["rows"] = [vars(row) for row in rows]
        OUT.mkdir(exist_ok=True)
        OUT.joinpath("results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")


def sizes(quick: bool) -> tuple[int, ...]:
    """The books whose cold builds show how the time grows."""
    return (5, 20, 60) if quick else (5, 60, 200)


def measure(
    notes: Notes, only: list[str], chapters: int, runs: int, growing: tuple[int, ...]
) -> None:
    """Take the measures asked for."""
    plan = []
    if "cold" in only:
        plan += [("cold", "ours", chapters), ("cold", "mkexec", chapters)]
    if "warm" in only:
        plan += [("warm", "ours", chapters), ("warm", "plain", chapters)]
    measures.builds(notes, plan, runs)
    if "warm" in only:
        measures.torch(notes, chapters)
    if "prose" in only:
        measures.prose(notes, [("ours", chapters), ("plain", chapters), ("ours", 3 * chapters)])
    if "snippet" in only:
        measures.snippet(notes, [("ours", chapters), ("mkexec", chapters)])
    if "growth" in only:
        measures.builds(notes, [("growth", "ours", size) for size in growing], runs)


def report_rows(
    notes: Notes, only: list[str], chapters: int, growing: tuple[int, ...]
) -> list[Row]:
    """The table's rows, and in them what must be reached."""
    rows = []
    n, figures = chapters, notes.seconds
    if "cold" in only:
        pair = figures[f"cold ours {n}"], figures[f"cold mkexec {n}"]
        rows.append(report.compared(f"cold build, {n} chapters", *pair, MKEXEC, factor=0.7))
    if "warm" in only:
        pair = figures[f"warm ours {n}"], figures[f"warm plain {n}"]
        rows.append(report.compared("rebuild, nothing changed", *pair, PLAIN, factor=0.7))
        rows.append(_torch_row(notes.torch))
    if "prose" in only:
        ours = figures[f"prose ours {n}"]
        what = "prose edit under serve, save → page served"
        rows.append(report.compared(what, ours, figures[f"prose plain {n}"], PLAIN, limit=0.7))
        pair = figures[f"prose ours {3 * n}"], ours
        rows.append(report.compared(f"the same, {3 * n} chapters", *pair, f"ours, {n}", factor=1.3))
    if "snippet" in only:
        pair = figures[f"snippet ours {n}"], figures[f"snippet mkexec {n}"]
        what = "snippet edit under serve, save → both pages served, less its own run"
        rows.append(report.compared(what, *pair, MKEXEC, limit=1.2))
    if "growth" in only:
        times = [figures[f"growth ours {size}"] for size in growing]
        rows.append(report.growth(growing, times))
    return rows


def _torch_row(torch: dict[str, bool]) -> Row:
    def said(build: str) -> str:
        return {True: "yes", False: "no"}[torch[build]] if build in torch else "–"

    what = "torch is loaded in that rebuild"
    seen = torch.get("cold", False)  # where it is not, "no" only means that we cannot see it
    met = not torch["warm"] if seen and "warm" in torch else None
    return Row(what, said("warm"), f"{said('cold')} (our cold build)", None, "no", met)


if __name__ == "__main__":
    main()

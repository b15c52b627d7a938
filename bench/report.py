"""The table of results, and the facts that go with it."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

PACKAGES = ("torch", "mkdocs", "mkdocs-material", "markdown-exec", "mkdocs-static-i18n")
NOISE = 1.1  # what a cost per chapter may rise by and still count as constant


@dataclass
class Row:
    """One line of the table.

    Attributes:
        what: what was measured.
        ours: our figure, as text.
        beside: the figure it stands beside, and whose it is.
        ratio: one by the other, where both are known.
        target: what must be reached.
        met: whether it is; None where it could not be measured.
    """

    what: str
    ours: str
    beside: str
    ratio: float | None
    target: str
    met: bool | None


def compared(
    what: str,
    ours: list[float],
    other: list[float],
    name: str,
    *,
    factor: float | None = None,
    limit: float | None = None,
) -> Row:
    """A row of two medians; ours must stay below `factor` × the other, or below `limit` seconds."""
    ratio = median(ours) / median(other) if ours and other else None
    if factor is not None:
        target, met = f"≤ {factor} × {name}", None if ratio is None else ratio <= factor
    else:
        target, met = f"≤ {limit} s", median(ours) <= limit if ours and limit else None
    return Row(what, _seconds(ours), f"{_seconds(other)} {name}", ratio, target, met)


def growth(sizes: tuple[int, ...], seconds: list[list[float]]) -> Row:
    """A row on the cost of one more chapter: it must not rise as the book grows."""
    known = [(n, median(s)) for n, s in zip(sizes, seconds, strict=True) if s]
    whole = ", ".join(f"{n}: {s:.1f} s" for n, s in known)
    what = f"growth of our cold build, s per added chapter ({whole})"
    if len(known) < len(sizes):
        return Row(what, "–", "–", None, "linear or better", None)
    (a, t), (b, u), (c, v) = known
    early, late = (u - t) / (b - a), (v - u) / (c - b)
    ratio = late / early if early > 0 else None  # not positive: the noise was larger than the cost
    return Row(
        what,
        f"{late:.3f} ({b} → {c})",
        f"{early:.3f} ({a} → {b})",
        ratio,
        f"linear or better: ≤ {NOISE}",
        None if ratio is None else ratio <= NOISE,
    )


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| what | ours | beside | ratio | must reach | met |", "|---|--:|--:|--:|---|---|"]
    for row in rows:
        ratio = "–" if row.ratio is None else f"{row.ratio:.2f}"
        met = {True: "yes", False: "**no**", None: "not measured"}[row.met]
        lines.append(f"| {row.what} | {row.ours} | {row.beside} | {ratio} | {row.target} | {met} |")
    return "\n".join(lines)


def facts() -> dict[str, str]:
    """The machine, and the versions of what is measured."""
    found = {
        "cores": str(os.cpu_count()),
        "processor": _processor(),
        "load at the start": load(),
        "python": platform.python_version(),
    }
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def load() -> str:
    """How many processes wanted a core in the last minute: more than our own is noise."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()


def _seconds(values: list[float]) -> str:
    """The median, and from where to where the figures go."""
    if not values:
        return "–"
    spread = f" ({min(values):.2f}–{max(values):.2f})" if len(values) > 1 else ""
    return f"{median(values):.2f} s{spread}"

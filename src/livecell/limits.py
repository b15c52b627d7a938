"""What the operating system does for a worker: memory limit, and an end to stray processes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Container
from pathlib import Path

RESERVE = 64 * 2**20  # bytes kept from the snippet: room for the answer when it took all others


def limit_memory(megabytes: int) -> None:
    """Let this process map `megabytes` MiB more than it does now (Linux only)."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):
        return
    limit = pages * resource.getpagesize() + megabytes * 2**20 + RESERVE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def adopt_orphans() -> None:
    """Become the parent of every process that a descendant leaves behind (Linux only)."""
    if sys.platform == "linux":
        pr_set_child_subreaper = 36
        ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def kill_children(keep: Container[int] = ()) -> int:
    """Kill the processes below this one that still run; how many there were (Linux only)."""
    killed = 0
    for _ in range(100):  # killing a parent hands us its children
        alive = 0
        for pid in _children():
            if pid in keep:
                continue
            with contextlib.suppress(OSError):
                if ") Z " not in Path(f"/proc/{pid}/stat").read_text():
                    os.kill(pid, signal.SIGKILL)
                    alive += 1
                os.waitpid(pid, 0)
        killed += alive
        if not alive:
            break
    return killed


def _children() -> list[int]:
    pids: list[int] = []
    for listing in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread may end while we look
            pids += map(int, listing.read_text().split())
    return pids


def peak_mb() -> float:
    """Peak resident memory of this process, in MiB; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)

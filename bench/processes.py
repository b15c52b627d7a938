"""Builds and servers as processes: timed, watched, and always ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType

ENVIRONMENT = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
MKDOCS = [sys.executable, "-m", "mkdocs"]
POLL = 0.01  # seconds between two requests for a page
PROC = Path("/proc")


class BenchError(Exception):
    """A build, a server or the making of a book failed; the other measures go on."""


def run(command: list[str], folder: Path, log: Path) -> float:
    """Run `command` in `folder`; the seconds it took from start to end."""
    with open(log, "wb") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=ENVIRONMENT, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            process.wait(timeout=900)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{' '.join(command)} took more than 15 minutes") from None
        finally:
            process.kill()
        seconds = time.perf_counter() - start
    if process.returncode:
        raise BenchError(f"exit code {process.returncode}: {tail(log)}")
    return seconds


def build(folder: Path, log: Path, *, cold: bool = False) -> float:
    """Build a book, `cold` without its site and store; the seconds it took."""
    if cold:
        shutil.rmtree(folder / "site", ignore_errors=True)
        shutil.rmtree(folder / ".cache", ignore_errors=True)
    seconds = run([*MKDOCS, "build", "-q"], folder, log)
    for address in ("ch001", "en/ch001"):  # a build that shows no output would be a fast one
        page = folder / "site" / address / "index.html"
        if not page.is_file() or "torch.Size([" not in page.read_text(encoding="utf-8"):
            raise BenchError(f"{page} lacks the output of its first cell")
    return seconds


def loads_torch(folder: Path, log: Path, *, cold: bool) -> bool:
    """Whether a build maps torch's libraries into any process. Linux only, and not timed."""
    if cold:
        shutil.rmtree(folder / ".cache", ignore_errors=True)
    found = False
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [*MKDOCS, "build", "-q"], cwd=folder, env=ENVIRONMENT, stdout=output, stderr=output
        )
        while process.poll() is None:
            for pid in descendants():
                with contextlib.suppress(OSError):
                    found = found or b"/libtorch" in (PROC / str(pid) / "maps").read_bytes()
            time.sleep(POLL)
    if process.returncode:
        raise BenchError(f"exit code {process.returncode}: {tail(log)}")
    return found


class Server:
    """`mkdocs serve` for the book in `folder`, up and idle inside a `with` block."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.folder = folder
        self.log = log
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]

    def __enter__(self) -> Server:
        with open(self.log, "wb") as output:
            self.process = subprocess.Popen(
                [*MKDOCS, "serve", "--dev-addr", f"127.0.0.1:{self.port}"],
                cwd=self.folder,
                env=ENVIRONMENT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            self.wait_for([("/", "bench"), ("/en/", "bench")], timeout=180)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def wait_for(self, seen: list[tuple[str, str]], timeout: float = 60) -> None:
        """Return as soon as every address has been served with its text."""
        deadline = time.perf_counter() + timeout
        for address, text in seen:
            while text not in self._get(address):
                if self.process.poll() is not None:
                    raise BenchError(f"the server ended: {tail(self.log)}")
                if time.perf_counter() > deadline:
                    raise BenchError(f"{address} was not served with {text!r} in {timeout:g} s")
                time.sleep(POLL)

    def _get(self, address: str) -> str:
        # MkDocs holds the request while it rebuilds, hence the long time-out.
        url = f"http://127.0.0.1:{self.port}{address}"
        request = urllib.request.Request(url, headers={"Cache-Control": "no-cache"})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                body: bytes = response.read()
        except OSError:  # not up yet, or a page that is missing while it is replaced
            return ""
        return body.decode("utf-8")

    def close(self) -> None:
        """Stop the server as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def adopt_orphans() -> None:
    """Become the parent of processes whose own parent is gone, so as to find them (Linux only)."""
    if sys.platform == "linux":
        pr_set_child_subreaper = 36
        ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def descendants() -> list[int]:
    """The processes below this one (Linux only; none elsewhere)."""
    children: dict[int, list[int]] = {}
    for stat in PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(stat.parent.name))
    found = children.get(os.getpid(), [])
    for pid in found:  # grows while it is read
        found += children.get(pid, [])
    return found


def end_descendants() -> int:
    """Kill what still runs below this process; how many there were."""
    left = descendants()
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(left)


def tail(log: Path) -> str:
    """The last line of a log file."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "nothing was printed"

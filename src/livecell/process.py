"""The processes snippets run in: started from a fork server, or as interpreters of their own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from livecell.cells import Cell
from livecell.environment import environment
from livecell.errors import LivecellError, relative
from livecell.settings import Settings


@dataclass(frozen=True)
class Ending:
    """How a process ended.

    Attributes:
        status: its exit code, negative for a signal; None if nobody is left who could tell.
        killed_for: "time", "output" or "stop" if we killed it, else "".
    """

    status: int | None
    killed_for: str = ""


class Zygotes:
    """The fork servers of one project, one for each stage of preloaded modules."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        modules = [stage.modules for stage in settings.preload] or [()]
        # The address of a socket has room for about 100 characters.
        base = tempfile.gettempdir() if len(tempfile.gettempdir()) < 70 else "/tmp"
        self.folder = Path(tempfile.mkdtemp(prefix="livecell-", dir=base)).resolve()
        """Removed with the servers, even when they outlive the builder."""
        self._log = open(self.folder / "log", "wb")  # noqa: SIM115 - closed in close()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "livecell.zygote", self.folder, json.dumps(modules)],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            cwd=settings.root,
            env=environment(settings.threads, settings.store),
            start_new_session=True,
        )

    def is_ready(self, source: str) -> bool:
        """Whether the stage that suits the snippet listens already."""
        return (self.folder / str(self._settings.stage(source))).exists()

    def address(self, source: str) -> Path:
        """The socket of the stage that suits the snippet, once it listens.

        Raises:
            LivecellError: the modules to preload could not be imported.
        """
        number = self._settings.stage(source)
        address = self.folder / str(number)
        failed = [self.folder / f"{stage}.failed" for stage in range(number + 1)]
        while not address.exists():
            if self._process.poll() is not None or any(map(Path.exists, failed)):
                log = (self.folder / "log").read_text(errors="replace").strip()
                raise LivecellError(
                    "the fork server could not start",
                    expected="that every module named in `preload` can be imported",
                    todo="install what is missing, or mend [tool.livecell] in pyproject.toml",
                    details=log,
                )
            time.sleep(0.005)
        return address

    def close(self) -> None:
        """End the servers and whatever they still run."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Process:
    """A process that runs one snippet, and its whole process group."""

    status: int | None = None
    pid = 0
    """0 if it never began."""

    def wait(self, seconds: float) -> bool:
        """Wait so long for the end; whether it has ended."""
        raise NotImplementedError

    def kill(self, trace: Path) -> None:
        """Let the process write into the file `trace` where it is, then kill it."""
        if hasattr(signal, "SIGUSR2") and self.pid:
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.SIGUSR2)
            size = -1
            for _ in range(100):  # as short as can be: it may be filling the disk meanwhile
                before, size = size, size_of(trace)
                if size == before > 0 or self.wait(0.005):
                    break
        self.end()
        self.wait(5)

    def end(self) -> None:
        """Kill whatever of the process group still runs."""
        if hasattr(os, "killpg") and self.pid:
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)


class Forked(Process):
    """A snippet in a fork of the server that listens at `address`."""

    def __init__(self, folder: Path, address: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._text = b""
        try:
            self._socket.connect(str(address))
            self._socket.sendall(f"{folder}\n".encode())
            while b"\n" not in self._text:
                data = self._socket.recv(64)
                if not data:
                    raise ConnectionResetError
                self._text += data
            self.pid = int(self._text.split()[1])
        except OSError:  # the server died; `wait` will say that there is nothing to wait for
            self._socket.close()

    def wait(self, seconds: float) -> bool:
        """As in `Process`."""
        while self._text.count(b"\n") < 2 and self._socket.fileno() >= 0:
            self._socket.settimeout(seconds)
            try:
                data = self._socket.recv(64)
            except TimeoutError:
                return False
            except OSError:
                data = b""
            if not data:  # the server died
                self._socket.close()
            self._text += data
        if self._text.count(b"\n") == 2:
            self.status = int(self._text.split()[3])
        self._socket.close()
        return True


class Spawned(Process):
    """A snippet in a new interpreter, for systems where a fork is not to be had."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "livecell.worker", folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(settings.threads, settings.store),
            start_new_session=True,
        )
        self.pid = self._process.pid

    def wait(self, seconds: float) -> bool:
        """As in `Process`."""
        try:
            self.status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self) -> None:
        """As in `Process`."""
        super().end()
        self._process.kill()


def size_of(file: Path) -> int:
    """Size of the file in bytes; 0 where there is none."""
    try:
        return file.stat().st_size
    except OSError:
        return 0


def explain_death(
    ending: Ending, folder: Path, path: Path, cells: list[Cell], settings: Settings
) -> LivecellError:
    """The error for a process that ended without an answer."""
    name = _read(folder / "cell")
    cell = next((cell for cell in cells if cell.name == name), cells[0])
    shown = str(path).encode("ascii", "backslashreplace").decode()  # as faulthandler writes it
    frames = re.findall(rf'File "{re.escape(shown)}", line (\d+)', _read(folder / "trace"))
    printed = _read(folder / "stderr.txt") or _read(folder / "stdout.txt")
    error = LivecellError(
        "",
        path,
        line=int(frames[0]) if frames else cell.line,
        cell=cell.name,
        details="\n".join(printed.strip().splitlines()[-5:]) or None,
    )
    if ending.killed_for == "time":
        error.problem = f"the snippet ran longer than {settings.seconds:g} s"
        error.todo = "look for an endless loop, or raise `seconds` in [tool.livecell]"
    elif ending.killed_for == "output":
        error.problem = f"the snippet printed more than {settings.output_kb} KiB"
        error.todo = "print less, or raise `output_kb` in [tool.livecell]"
        error.details = None
    elif ending.status is None:
        error.problem = "the fork server died while the snippet ran"
        error.todo = "run the build again, or the snippet by itself: python " + relative(path)
    elif crash := _read(folder / "crash"):
        error.problem = "livecell itself failed while the snippet ran"
        error.details = crash
    elif ending.status < 0:
        number = -ending.status
        try:
            what = signal.Signals(number).name
        except ValueError:
            what = f"signal {number}"
        error.problem = f"the process died of {what}"
        error.todo = "run the snippet by itself: python " + relative(path)
        if what == "SIGKILL":
            error.todo = "the system killed it, most likely for want of memory"
    else:
        error.problem = f"the process ended with exit code {ending.status} in mid-run"
        error.todo = "let the program run to its end, without os._exit"
    return error


def _read(file: Path) -> str:
    try:
        with open(file, "rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - 4096))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""

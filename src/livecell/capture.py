"""Everything a process prints, in order, down to the file descriptors. Runs in the worker only.

Python's own writes pass through `_Stream`, which notes where each of them lies. C libraries and
child processes write to the descriptors directly; what they added since the last Python write is
found by the growth of the file. Their order among Python's writes, and the order of one child
process after another, is therefore kept too, as long as they flush (`take` flushes the C library
for them). Only what they write to both descriptors in between has no order that can be known.
"""

from __future__ import annotations

import ctypes
import io
import os
import sys
import threading
from pathlib import Path
from typing import Any

from livecell.results import Output

FILES = {"stdout": "stdout.txt", "stderr": "stderr.txt"}


current: Capture | None = None
"""The capture of this process, for `livecell.figures`."""


class OutputLimit(BaseException):
    """The snippet printed more than it may."""


class NothingToRead(EOFError):
    """The snippet reads standard input, where nobody types."""


class Capture:
    """Redirects the process's standard streams into files below `folder`.

    Args:
        folder: an existing folder; the files in it outlive a crash of the process.
        limit: how many bytes may be printed in all.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        global current
        current = self
        self.limit = limit
        self.label = ""
        """Names the running cell; unique within a page."""
        self._log: list[tuple[str, int, int] | Output] = []
        self._fds: dict[str, int] = {}
        self._readers: dict[str, int] = {}
        self._ends = dict.fromkeys(FILES, 0)
        self._exceeded = False
        self._renew_lock()
        if hasattr(os, "register_at_fork"):  # another thread may hold it while we fork
            os.register_at_fork(after_in_child=self._renew_lock)
        for fd, (name, file) in enumerate(FILES.items(), start=1):
            target = os.open(folder / file, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
            os.dup2(target, fd)
            os.close(target)
            self._fds[name] = fd
            self._readers[name] = os.open(folder / file, os.O_RDONLY)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        sys.stdin = sys.__stdin__ = _NoInput()  # type: ignore[misc, assignment]
        sys.stdout = sys.__stdout__ = self._open("stdout")  # type: ignore[misc]
        sys.stderr = sys.__stderr__ = self._open("stderr")  # type: ignore[misc]

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()

    def _open(self, name: str) -> io.TextIOWrapper:
        return io.TextIOWrapper(
            _Stream(self, name),
            encoding="utf-8",
            errors="backslashreplace",
            newline="",
            write_through=True,
        )

    def fileno(self, name: str) -> int:
        """The descriptor behind the stream `name`."""
        return self._fds[name]

    def write(self, name: str, data: bytes) -> None:
        """Print `data` to the stream `name`."""
        with self._lock:
            self._sync()
            if sum(self._ends.values()) + len(data) > self.limit:
                self._exceeded = True  # a bare `except:` or a thread may swallow what we raise
                raise OutputLimit
            os.write(self._fds[name], data)
            self._sync()

    def display(self, data: dict[str, str], metadata: dict[str, Any] | None = None) -> None:
        """Add a rich output: its representations by MIME type."""
        with self._lock:
            self._sync()
            self._log.append(
                {"output_type": "display_data", "data": data, "metadata": metadata or {}}
            )

    def sync(self) -> None:
        """Note what was written past Python up to now; whatever follows comes after it."""
        with self._lock:
            self._sync()

    def take(self) -> list[Output]:
        """The outputs since the last call; neighbouring writes to one stream are one output.

        Raises:
            OutputLimit: more was printed than may be, whoever printed it.
        """
        if os.name == "posix":
            ctypes.CDLL(None).fflush(None)
        with self._lock:
            self._sync()
            if self._exceeded or sum(self._ends.values()) > self.limit:
                raise OutputLimit
            return self._outputs()

    def _outputs(self) -> list[Output]:
        outputs: list[Output] = []
        raw = b""
        for position, entry in enumerate(self._log):
            if isinstance(entry, dict):
                outputs.append(entry)
                continue
            name, start, end = entry
            raw += os.pread(self._readers[name], end - start, start)
            following = self._log[position + 1 : position + 2]
            if following and not isinstance(following[0], dict) and following[0][0] == name:
                continue
            text = raw.decode("utf-8", errors="backslashreplace")
            outputs.append({"output_type": "stream", "name": name, "text": text})
            raw = b""
        self._log.clear()
        return outputs

    def _sync(self) -> None:
        for name, reader in self._readers.items():  # ours, whatever became of 1 and 2
            start, end = self._ends[name], os.fstat(reader).st_size
            if end > start:
                self._log.append((name, start, end))
                self._ends[name] = end


class _Stream(io.RawIOBase):
    def __init__(self, capture: Capture, name: str) -> None:
        self._capture = capture
        self.name = f"<{name}>"
        self._stream = name

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._capture.fileno(self._stream)

    def write(self, data: Any) -> int:
        view = bytes(data)
        self._capture.write(self._stream, view)
        return len(view)


class _NoInput(io.TextIOBase):
    """Standard input of a snippet: every read says why there is nothing."""

    @property
    def buffer(self) -> _NoInput:
        return self

    def fileno(self) -> int:
        return 0

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> str:
        raise NothingToRead("standard input was read, but nobody types while a site is built")

    def readline(self, size: int = -1) -> str:  # type: ignore[override]
        return self.read()

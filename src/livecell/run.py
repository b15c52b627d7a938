"""Runs snippets, each in a fresh process, several at a time; what is in the store is not run."""

from __future__ import annotations

import functools
import json
import os
import platform
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from livecell import cells
from livecell.errors import LivecellError, nearest
from livecell.process import Ending, Forked, Process, Spawned, Zygotes, explain_death, size_of
from livecell.results import CellResult, Result
from livecell.settings import Settings
from livecell.store import Store, digest
from livecell.versions import versions

ENGINE = (
    "capture.py",
    "cells.py",
    "comments.py",
    "environment.py",
    "figures.py",
    "limits.py",
    "matplotlibrc",
    "present.py",
    "worker.py",
)
POLL = 0.02  # seconds between two looks at a running snippet's output size and age
HAS_FORK = hasattr(os, "fork") and sys.platform != "darwin"  # Apple's libraries die in a fork


class Runner:
    """Runs snippets of one project.

    A runner may live as long as the author's session: it keeps its fork servers warm.

    Args:
        settings: the project's settings.
        use_store: take results from the store; fresh results are stored in any case.
        fork: use fork servers; without, each snippet starts an interpreter of its own.
        done: called with stem and outcome whenever a snippet is finished, from any thread.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        use_store: bool = True,
        fork: bool = HAS_FORK,
        jobs: int = 0,
        done: Callable[[str, Result | LivecellError], None] | None = None,
    ) -> None:
        self.settings = settings
        self.store = Store(settings.store, settings.root)
        self.use_store = use_store
        self._fork = fork
        self._done = done
        self._pool = ThreadPoolExecutor(jobs or settings.workers, "livecell")
        self._zygotes: Zygotes | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._waiting: list[tuple[str, Path, Future[Result]]] = []
        self._futures: dict[str, tuple[str, Future[Result]]] = {}

    def start(self, stems: Iterable[str]) -> None:
        """Begin to run those of the snippets that changed, or failed, since the last call."""
        for stem in stems:
            if stem not in self._futures or not self._is_current(stem):
                self._submit(stem)

    def warm_up(self) -> None:
        """Start the fork servers before a snippet needs them."""
        if self._fork:
            self._pool.submit(self._servers)

    def result(self, stem: str) -> Result:
        """The result of a snippet, as of the last `start`; waits for it if need be.

        Raises:
            LivecellError: there is no such snippet, or it failed.
        """
        if stem not in self._futures:
            self._submit(stem)
        return self._futures[stem][1].result()

    @property
    def is_busy(self) -> bool:
        """Whether a snippet is running, or waits to be run."""
        return any(not future.done() for _, future in self._futures.values())

    def outcome(self, stem: str) -> Result | LivecellError:
        """The result of a snippet, or what was wrong with it."""
        try:
            return self.result(stem)
        except LivecellError as error:
            return error

    def close(self) -> None:
        """Stop what runs, and the fork servers."""
        self._closed.set()  # what runs is killed, what waits is not begun
        self._discard(self._zygotes)
        self._pool.shutdown(wait=True)

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _submit(self, stem: str) -> None:
        path = self.settings.snippet(stem)
        future: Future[Result] = Future()
        self._futures[stem] = (self._stamp(path), future)
        try:
            found = self._find(stem, path)
        except LivecellError as error:
            future.set_exception(error)
            self._tell(stem, error)
            return
        if found is not None:
            future.set_result(found)
            self._tell(stem, found)
        else:
            if self._fork and not self._closed.is_set():
                self._servers()  # they take longer to start than anything before the run
            self._waiting.append((stem, path, future))
            self._pool.submit(self._work_next)

    def _work_next(self) -> None:
        """Run the first snippet in line whose modules are there: no other is held up by a stage."""
        with self._lock:
            ready = (i for i, (_, path, _) in enumerate(self._waiting) if self._is_ready(path))
            job = self._waiting.pop(next(ready, 0))
        self._work(*job)

    def _is_ready(self, path: Path) -> bool:
        if self._zygotes is None:
            return True
        try:
            return self._zygotes.is_ready(path.read_text(errors="replace"))
        except OSError:
            return True  # there is nothing to wait for

    def _is_current(self, stem: str) -> bool:
        stamp, future = self._futures[stem]
        if stamp != self._stamp(self.settings.snippet(stem)):
            return False
        if not future.done():
            return True
        return future.exception() is None and self.store.is_current(future.result())

    def _stamp(self, path: Path) -> str:
        try:
            return digest(path.read_bytes())
        except OSError:
            return ""

    def _find(self, stem: str, path: Path) -> Result | None:
        if not path.is_file():
            raise LivecellError(
                f"there is no snippet {stem!r}",
                expected=f"a file {path}",
                todo=nearest(stem, self.settings.stems()),
            )
        if not self.use_store:
            return None
        source = cells.text(path).encode()
        return self.store.find(self._key(stem, source), versions(source))

    def _key(self, stem: str, source: bytes) -> str:
        s = self.settings
        setup = json.dumps([stem, s.languages, s.threads, platform.machine(), sys.platform])
        return digest(_engine(whole="livecell" in versions(source)), setup, source)

    def _work(self, stem: str, path: Path, future: Future[Result]) -> None:
        try:
            outcome: Result | LivecellError = self._run(stem, path)
        except LivecellError as error:
            outcome = error
        except Exception as error:  # a defect of ours; never leave the builder waiting
            outcome = LivecellError(f"livecell itself failed: {error!r}", path)
        if self._closed.is_set() and isinstance(outcome, LivecellError):
            outcome = LivecellError("the build was stopped before the snippet was done", path)
        if isinstance(outcome, Result):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)
        self._tell(stem, outcome)

    def _tell(self, stem: str, outcome: Result | LivecellError) -> None:
        if self._done is not None:
            self._done(stem, outcome)

    def _run(self, stem: str, path: Path) -> Result:
        text = cells.text(path)  # read once: the author may save again at any moment
        source = text.encode()
        parts = cells.parse(text, path, self.settings.languages)
        request = {
            "stem": stem,
            "path": str(path),
            "root": str(self.settings.root),
            "source": text,
            "cells": [vars(cell) for cell in parts],
            "languages": list(self.settings.languages),
            "memory_mb": self.settings.memory_mb,
            "output_kb": self.settings.output_kb,
        }
        answer = self._ask(request, path, parts)
        if answer["error"] is not None:
            raise LivecellError(**{"file": path} | answer["error"])
        result = Result(
            stem,
            [CellResult(**vars(c), **ran) for c, ran in zip(parts, answer["cells"], strict=True)],
            answer["seconds"],
            answer["peak_mb"],
            versions(source),
            self.store.hashes(os.path.relpath(p, self.settings.root) for p in answer["reads"]),
        )
        self.store.save(self._key(stem, source), result)
        return result

    def _ask(self, request: dict[str, Any], path: Path, parts: list[cells.Cell]) -> dict[str, Any]:
        """Start a fresh process for the request; its answer."""
        servers = self._servers() if self._fork else None
        home = servers.folder if servers else None
        folder = Path(tempfile.mkdtemp(prefix="livecell-run-", dir=home)).resolve()
        try:
            (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
            if servers:
                ending = self._watch(Forked(folder, servers.address(request["source"])), folder)
            else:
                ending = self._watch(Spawned(folder, self.settings), folder)
            answer = None if ending.killed_for else _answer(folder)
            if answer is not None:
                return answer
            error = explain_death(ending, folder, path, parts, self.settings)
            if ending.status is None and not ending.killed_for:
                self._discard(servers)  # the next run gets new ones
            raise error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _servers(self) -> Zygotes:
        with self._lock:
            if self._closed.is_set():
                raise LivecellError("the build was stopped")
            if self._zygotes is None:
                self._zygotes = Zygotes(self.settings)
            return self._zygotes

    def _discard(self, servers: Zygotes | None) -> None:
        with self._lock:
            if servers is not None and servers is self._zygotes:
                servers.close()
                self._zygotes = None

    def _watch(self, process: Process, folder: Path) -> Ending:
        """Wait for the process to end; end it when it breaks a limit."""
        limit = self.settings.output_kb * 1024
        deadline = time.monotonic() + self.settings.seconds
        reason = ""
        while not process.wait(POLL):
            printed = sum(size_of(folder / name) for name in ("stdout.txt", "stderr.txt"))
            if printed > 2 * limit:  # the worker itself stops at the limit, and says it better
                reason = "output"
            elif time.monotonic() > deadline:
                reason = "time"
            elif self._closed.is_set():
                reason = "stop"
            if reason:
                process.kill(folder / "trace")
                break
        process.end()
        return Ending(process.status, reason)


def _answer(folder: Path) -> dict[str, Any] | None:
    try:
        answer: dict[str, Any] = json.loads((folder / "answer.json").read_bytes())
    except FileNotFoundError:
        return None
    return answer


@functools.cache
def _engine(whole: bool) -> str:
    """A hash of the code that decides what a result looks like.

    Args:
        whole: of all of it, for a snippet that calls the engine itself.
    """
    here = Path(__file__).parent
    files = sorted(here.rglob("*.py")) if whole else [here / name for name in ENGINE]
    return digest(*[file.read_bytes() for file in files])

"""What is measured. Builders take turns, so that whatever else the machine does hits all alike."""

from __future__ import annotations

import contextlib
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import processes
import workload
from processes import BenchError, Server

from livecell.errors import LivecellError
from livecell.run import Runner
from livecell.settings import Settings

OUT = Path(__file__).parent / "out"
EDITS = 7


class Notes:
    """The figures in seconds, and the failures, by measure, builder and number of chapters."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)
        self.failures: dict[str, str] = {}
        self.torch: dict[str, bool] = {}

    @contextlib.contextmanager
    def measuring(self, key: str) -> Iterator[None]:
        """Note a failure inside the block, and go on with the others."""
        try:
            yield
        except (BenchError, LivecellError, OSError) as error:
            self.failures[key] = str(error)
            print(f"{key} failed: {error}", file=sys.stderr)


def book(builder: str, chapters: int) -> Path:
    """The folder of a book, written on first use by a process of its own (it may load torch)."""
    folder = OUT / "books" / f"{builder}-{chapters}"
    if not folder.is_dir():
        part = folder.with_suffix(".part")
        script = [sys.executable, workload.__file__, str(part), builder, str(chapters)]
        processes.run(script, OUT, _log(folder, "write"))
        part.rename(folder)
    return folder


def builds(notes: Notes, plan: list[tuple[str, str, int]], runs: int) -> None:
    """Time whole builds. The plan lists measure, builder and chapters; a turn goes through it."""
    for turn in range(runs):
        for measure, builder, chapters in plan:
            key = f"{measure} {builder} {chapters}"
            if key in notes.failures:
                continue
            print(f"{key}: turn {turn + 1} of {runs}", file=sys.stderr)
            with notes.measuring(key):
                folder = book(builder, chapters)
                log = _log(folder, "build")
                if measure == "warm" and not (folder / "site").is_dir():
                    processes.build(folder, log)
                notes.seconds[key].append(processes.build(folder, log, cold=measure != "warm"))


def torch(notes: Notes, chapters: int) -> None:
    """Does a rebuild load torch? That a cold build does shows that we would see it."""
    if processes.PROC.is_dir():
        with notes.measuring("torch"):
            folder = book("ours", chapters)
            for name in ("cold", "warm"):
                log = _log(folder, "torch")
                notes.torch[name] = processes.loads_torch(folder, log, cold=name == "cold")


def prose(notes: Notes, books: list[tuple[str, int]]) -> None:
    """Under `mkdocs serve`, change a sentence of a page; from saving it to its being served."""
    with ExitStack() as stack:
        servers = _serve(notes, "prose", books, stack)
        for number in range(EDITS):
            language = workload.LANGUAGES[number % 2]
            for key, server in servers.items():
                if key in notes.failures:
                    continue
                with notes.measuring(key):
                    chapter = _chapter(key, number)
                    _pause()
                    start = time.perf_counter()
                    seen = workload.edit_prose(server.folder, number + 1, chapter, language)
                    server.wait_for(seen)
                    notes.seconds[key].append(time.perf_counter() - start)


def snippet(notes: Notes, books: list[tuple[str, int]]) -> None:
    """Under `mkdocs serve`, change a cell; from saving it until both languages are served.

    What the snippet itself takes to run, as our engine measured it, is taken off everywhere.
    """
    own: dict[int, float] = {}
    with ExitStack() as stack:
        servers = _serve(notes, "snippet", books, stack)
        for number in range(EDITS):
            for key, server in servers.items():
                if key in notes.failures:
                    continue
                with notes.measuring(key):
                    builder, chapter = key.split()[1], _chapter(key, number)
                    _pause()
                    start = time.perf_counter()
                    seen = workload.edit_code(server.folder, builder, number + 1, chapter)
                    server.wait_for(seen)
                    seconds = time.perf_counter() - start
                    if builder == "ours":
                        own[number] = _run_time(server.folder, workload.stem(chapter))
                        notes.seconds["snippet's own run"].append(own[number])
                    notes.seconds[key].append(seconds - own.get(number, 0.0))


def _serve(
    notes: Notes, measure: str, books: list[tuple[str, int]], stack: ExitStack
) -> dict[str, Server]:
    """The servers that came up; they all run at once, idle but for the one being measured."""
    servers = {}
    for builder, chapters in books:
        key = f"{measure} {builder} {chapters}"
        print(f"{key}: starting the server, then {EDITS} edits", file=sys.stderr)
        with notes.measuring(key):
            folder = book(builder, chapters)
            servers[key] = stack.enter_context(Server(folder, _log(folder, "serve")))
    return servers


def _chapter(key: str, number: int) -> int:
    """Another chapter for every edit: with and without training and figure."""
    return (1 + 3 * number) % int(key.split()[2])


def _pause() -> None:
    """Let the server come to rest, and hit its file watcher at any point of its round."""
    time.sleep(random.uniform(0.8, 1.8))


def _run_time(folder: Path, stem: str) -> float:
    with Runner(Settings.load(folder)) as runner:
        result = runner.result(stem)
    if not result.stored:
        raise BenchError(f"the server did not store the result of {stem}")
    return result.seconds


def _log(folder: Path, what: str) -> Path:
    logs = OUT / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    return logs / f"{folder.name}-{what}.txt"

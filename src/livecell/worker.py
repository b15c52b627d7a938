"""Runs one snippet in this process, cell by cell, and writes down what happened.

Runs in a process of its own, made by `livecell.zygote` (or, where there is no fork, started as
`python -m livecell.worker FOLDER`). The request lies in FOLDER/request.json; the answer goes to
FOLDER/answer.json. FOLDER/cell always names the cell that is running, for whoever finds us dead.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import contextlib
import faulthandler
import json
import linecache
import os
import re
import signal
import sys
import threading
import time
import traceback
import types
from pathlib import Path
from typing import Any, NoReturn

from livecell.capture import Capture, NothingToRead, OutputLimit
from livecell.limits import RESERVE, adopt_orphans, kill_children, limit_memory, peak_mb
from livecell.present import keep_frames, mask, rich
from livecell.results import Output

OUTPUT_LIMIT: dict[str, Any] = {"todo": "print less, or raise `output_kb` in [tool.livecell]"}
NO_MEMORY = ("can't allocate memory", "can't start new thread")  # as libtorch and Python put it
THREAD_GRACE = 2.0  # seconds that a thread may still run after the last cell


class SnippetFailed(Exception):
    """The run ends here; the fields are those of LivecellError."""

    def __init__(self, problem: str, **fields: Any) -> None:
        super().__init__(problem)
        self.fields = {"problem": problem, **fields}


def main(folder: Path) -> None:
    """Carry out the request in `folder` and leave the answer there."""
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    trace = open(folder / "trace", "w")  # noqa: SIM115 - has to stay open until we die
    faulthandler.enable(trace, all_threads=False)
    if hasattr(faulthandler, "register"):
        faulthandler.register(signal.SIGUSR2, trace, all_threads=False)
    limit_memory(request["memory_mb"])
    capture = Capture(folder, request["output_kb"] * 1024)
    work = folder / "cwd"
    work.mkdir()
    os.chdir(work)
    adopt_orphans()
    answer = Run(request, folder, capture).run()
    kill_children()
    part = folder / "answer.part"
    part.write_text(json.dumps(answer, ensure_ascii=False), encoding="utf-8")
    part.rename(folder / "answer.json")


class Run:
    """One snippet's run. `request` is what `livecell.run` wrote."""

    def __init__(self, request: dict[str, Any], folder: Path, capture: Capture) -> None:
        self.path: str = request["path"]
        self.root: str = request["root"]
        self.stem: str = request["stem"]
        self.source: str = request["source"]
        self.languages: list[str] = request["languages"]
        self.cells: list[dict[str, Any]] = request["cells"]
        self.folder = folder
        self.capture = capture
        self.opened: set[str] = set()
        self.pid = os.getpid()
        self.reserve = b""

    def run(self) -> dict[str, Any]:
        """Run every cell; the answer has the cells run so far and the error, if any."""
        namespace = self._main_module()
        tree = ast.parse(self.source, self.path)
        flags = _future_flags(tree)
        error: dict[str, Any] | None = None
        started = time.perf_counter()
        done = []
        for cell in self.cells:
            (self.folder / "cell").write_text(cell["name"])
            last = cell["line"] + cell["source"].count("\n")
            body = [node for node in tree.body if cell["line"] <= node.lineno <= last]
            start = time.perf_counter()
            try:
                outputs = self._run_cell(cell, body, flags, namespace)
            except OutputLimit:
                kilobytes = self.capture.limit // 1024
                error = OUTPUT_LIMIT | {"cell": cell["name"], "line": cell["line"]}
                error["problem"] = f"the snippet printed more than {kilobytes} KiB"
                break
            except SnippetFailed as failure:
                error = {"cell": cell["name"], "line": cell["line"]} | failure.fields
                break
            done.append({"outputs": outputs, "seconds": time.perf_counter() - start})
        return {
            "cells": done,
            "error": error,
            "seconds": time.perf_counter() - started,
            "peak_mb": peak_mb(),
            "reads": sorted(self._reads()),
        }

    def _main_module(self) -> dict[str, Any]:
        """A fresh `__main__`, as `python snippet.py` would have it."""
        module = types.ModuleType("__main__")
        module.__file__ = self.path
        module.__dict__["__builtins__"] = builtins
        sys.modules["__main__"] = module
        sys.argv = [self.path]
        sys.path.insert(0, str(Path(self.path).parent))
        sys.dont_write_bytecode = True
        lines = self.source.splitlines(keepends=True)
        linecache.cache[self.path] = (len(self.source), None, lines, self.path)
        sys.addaudithook(self._audit)
        return module.__dict__

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(args[0], (str, bytes, os.PathLike)):
            writes = os.O_WRONLY | os.O_TRUNC | os.O_CREAT
            if not args[2] & writes:
                self.opened.add(os.path.abspath(os.fsdecode(args[0])))
        elif event in ("subprocess.Popen", "os.system", "os.posix_spawn", "os.fork"):
            self.capture.sync()

    def _reads(self) -> set[str]:
        """Files of the project that the run depends on: local modules, and what it opened."""
        paths = set(self.opened)
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and file.startswith(self.root):
                paths.add(os.path.abspath(file))
        skip = (os.path.dirname(__file__), str(self.folder), sys.prefix)
        return {
            path
            for path in paths
            if path.startswith(self.root + os.sep)
            and not path.startswith(skip)
            and not path.endswith(".pyc")
            and path != self.path
            and not os.path.isdir(path)
        }

    def _run_cell(
        self, cell: dict[str, Any], body: list[ast.stmt], flags: int, namespace: dict[str, Any]
    ) -> list[Output]:
        self.capture.label = re.sub(r"\W+", "-", f"{self.stem}-{cell['name']}")
        caught: BaseException | None = None
        with contextlib.suppress(MemoryError):
            self.reserve = bytes(RESERVE)  # not bytearray: that would touch every page
        try:
            self._show(_execute(body, self.path, flags, namespace))
        except BaseException as error:
            caught = error
        self.reserve = b""
        if os.getpid() != self.pid:
            _end_fork(caught)
        if isinstance(caught, OutputLimit):
            raise caught
        as_declared = caught is None or type(caught).__name__ == cell["raises"]
        if cell is self.cells[-1] and as_declared:
            self._finish()
        outputs = [self._masked(output) for output in self.capture.take()]
        return outputs + self._judge(cell, caught, outputs)

    def _show(self, value: object) -> None:
        """Show the open figures, and the value of the cell's last expression."""
        if "matplotlib.pyplot" in sys.modules:
            from livecell import figures

            figures.show()
        if bundle := rich(value, self.languages):
            self.capture.display({mime: self._mask(text) for mime, text in bundle.items()})

    def _judge(
        self, cell: dict[str, Any], caught: BaseException | None, outputs: list[Output]
    ) -> list[Output]:
        """The error output of a cell that failed as declared; any other ending is a failure."""
        expected = cell["raises"]
        if caught is None:
            if not expected:
                return []
            raise SnippetFailed(
                f"the cell should raise {expected}, but raised nothing",
                expected=f'raises="{expected}"',
                found="".join(o.get("text", "") for o in outputs).strip()[-200:] or "no output",
                todo="mend the code, or take `raises` out of the cell's header",
            )
        name = type(caught).__name__
        message = self._mask(_text(caught))
        lines, own = self._traceback(caught)
        if name == expected:
            return [
                {
                    "output_type": "error",
                    "ename": name,
                    "evalue": message,
                    "traceback": lines,
                }
            ]
        message = message.strip()
        if isinstance(caught, SystemExit):
            problem = f"the cell called sys.exit({message})"
            todo = "let the program run to its end"
        elif isinstance(caught, NothingToRead):
            problem = f"the cell reads standard input: {message}"
            todo = "give the value in the code instead"
        elif expected:
            problem = f"the cell should raise {expected}, but raised {name}"
            todo = "mend the code, or the cell's header"
        else:
            problem = ": ".join([f"the cell raised {name}", *message.splitlines()[:1]])
            todo = f'mend the code; if the error is the lesson, say raises="{name}" in the header'
            if isinstance(caught, MemoryError) or any(hint in message for hint in NO_MEMORY):
                todo = "it met the memory limit (`memory_mb`): use less, or raise the limit"
        raise SnippetFailed(
            problem,
            line=own or cell["line"],
            expected=f'raises="{expected}"' if expected else None,
            todo=todo,
            details="\n".join(lines),
        )

    def _traceback(self, error: BaseException) -> tuple[list[str], int | None]:
        """The traceback's lines and the line number in the snippet, the author's frames only."""
        report = traceback.TracebackException.from_exception(error, compact=True)
        own = keep_frames(report, os.path.dirname(self.path))
        line = next((f.lineno for f in reversed(own) if f.filename == self.path), None)
        if isinstance(error, SyntaxError) and error.filename == self.path:
            line = error.lineno  # what the compiler found, not the parser: `return` by itself, say
        text = self._mask("".join(report.format(chain=True)))
        return text.rstrip("\n").split("\n"), line

    def _finish(self) -> None:
        """What the interpreter does at the end of a program, and what it must not leave."""
        import atexit

        deadline = time.monotonic() + THREAD_GRACE
        # Thread pools end their threads here; a pool that hangs must not take us with it.
        exits = list(reversed(getattr(threading, "_threading_atexits", [])))
        helper = threading.Thread(target=lambda: [call() for call in exits], daemon=True)
        helper.start()
        helper.join(THREAD_GRACE)
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join(max(0.0, deadline - time.monotonic()))
                if thread.is_alive():
                    raise SnippetFailed(
                        f"a thread is still running: {thread.name}",
                        todo="join every thread before the program ends",
                    )
        atexit._run_exitfuncs()
        tracker = sys.modules.get("multiprocessing.resource_tracker")
        if tracker is not None and hasattr(tracker._resource_tracker, "_stop"):
            tracker._resource_tracker._stop()
        if left := kill_children():
            raise SnippetFailed(
                f"{left} child process(es) still running after the last cell",
                todo="wait for every child process, or end it",
            )

    def _masked(self, output: Output) -> Output:
        return {**output, "text": self._mask(output["text"])} if "text" in output else output

    def _mask(self, text: str) -> str:
        return mask(text, self.root, str(self.folder / "cwd"))


def _execute(body: list[ast.stmt], filename: str, flags: int, namespace: dict[str, Any]) -> object:
    """Execute the statements; the value of the last one if it is an expression."""
    last = body[-1] if body and isinstance(body[-1], ast.Expr) else None
    statements = body[:-1] if last is not None else body
    module = ast.Module(statements, type_ignores=[])
    exec(compile(module, filename, "exec", flags, dont_inherit=True), namespace)
    if last is None:
        return None
    expression = ast.Expression(last.value)
    return eval(compile(expression, filename, "eval", flags, dont_inherit=True), namespace)


def _end_fork(error: BaseException | None) -> NoReturn:
    """End a process that the snippet forked and let run on: it must not answer in our place."""
    if isinstance(error, SystemExit):
        os._exit(error.code if isinstance(error.code, int) else bool(error.code))
    if error is not None:
        traceback.print_exception(error)
    os._exit(error is not None)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # the author's own __str__
        return "<its __str__ failed>"


def _future_flags(tree: ast.Module) -> int:
    flags = 0
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            for alias in node.names:
                flags |= getattr(__future__, alias.name).compiler_flag
    return flags


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except BaseException:
        Path(sys.argv[1], "crash").write_text(traceback.format_exc(), encoding="utf-8")
    os._exit(0)  # all is done and written; a thread left over must not hold us

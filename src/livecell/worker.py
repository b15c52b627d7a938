"""Runs one snippet in this process, cell by cell, and writes down what happened.

Runs in a process of its own, made by `livecell.zygote` (or, where there is no fork, started as
`python -m livecell.worker FOLDER`). The request lies in FOLDER/request.json; the answer goes to
FOLDER/answer.json. FOLDER/cell always names the cell that is running, for whoever finds us dead.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import ctypes
import faulthandler
import json
import linecache
import os
import re
import signal
import sys
import sysconfig
import threading
import time
import traceback
import types
from pathlib import Path
from typing import Any

from livecell.capture import Capture, OutputLimit
from livecell.results import Output

OUTPUT_LIMIT: dict[str, Any] = {"todo": "print less, or raise `output_kb` in [tool.livecell]"}
THREAD_GRACE = 2.0  # seconds that a thread may still run after the last cell

ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "MATPLOTLIBRC": str(Path(__file__).with_name("matplotlibrc")),
    "COLUMNS": "80",
    "NO_COLOR": "1",
    "TERM": "dumb",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "CUDA_VISIBLE_DEVICES": "",
}
"""What every snippet sees, so that its output does not depend on who builds the site."""
PASSED_ON = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT", "TEMP", "TMP", "VIRTUAL_ENV")


def environment(threads: int) -> dict[str, str]:
    """The environment of every snippet; the builder's own secrets are not in it."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    numeric = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    return kept | ENVIRONMENT | numeric


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


def limit_memory(megabytes: int) -> None:
    """Let this process map `megabytes` MiB more than it does now (Linux only)."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):
        return
    limit = pages * resource.getpagesize() + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def adopt_orphans() -> None:
    """Become the parent of every process that a child leaves behind (Linux only)."""
    if sys.platform == "linux":
        pr_set_child_subreaper = 36
        ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def kill_children() -> int:
    """Kill the processes below this one that still run; how many there were (Linux only)."""
    killed = 0
    for _ in range(100):  # killing a parent hands us its children
        alive = 0
        for listing in Path("/proc/self/task").glob("*/children"):
            for pid in listing.read_text().split():
                try:
                    if ") Z " not in Path(f"/proc/{pid}/stat").read_text():
                        os.kill(int(pid), signal.SIGKILL)
                        alive += 1
                    os.waitpid(int(pid), 0)
                except OSError:
                    continue
        killed += alive
        if not alive:
            break
    return killed


class Run:
    """One snippet's run. `request` is what `livecell.run` wrote."""

    def __init__(self, request: dict[str, Any], folder: Path, capture: Capture) -> None:
        self.path: str = request["path"]
        self.root: str = request["root"]
        self.stem: str = request["stem"]
        self.source: str = request["source"]
        self.cells: list[dict[str, Any]] = request["cells"]
        self.folder = folder
        self.capture = capture
        self.opened: set[str] = set()

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
            "peak_mb": _peak_mb(),
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
            mode = args[1] if isinstance(args[1], str) else "r"
            if not set("wax") & set(mode):
                self.opened.add(os.path.abspath(os.fsdecode(args[0])))

    def _reads(self) -> set[str]:
        """Files of the project that the run depends on: local modules, and what it opened."""
        paths = set(self.opened)
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str):
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
        try:
            value = _execute(body, self.path, flags, namespace)
            if "matplotlib.pyplot" in sys.modules:
                from livecell import figures

                figures.show()
            if bundle := rich(value):
                self.capture.display(bundle)
            if cell is self.cells[-1]:
                self._finish()
        except (OutputLimit, SnippetFailed):
            raise
        except BaseException as error:
            caught = error
        outputs = [self._masked(output) for output in self.capture.take()]
        return outputs + self._judge(cell, caught, outputs)

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
        lines, own = self._traceback(caught)
        if name == expected:
            return [
                {
                    "output_type": "error",
                    "ename": name,
                    "evalue": self._mask(str(caught)),
                    "traceback": lines,
                }
            ]
        message = self._mask(str(caught)).strip()
        if isinstance(caught, SystemExit):
            problem = f"the cell called sys.exit({message})"
            todo = "let the program run to its end"
        elif expected:
            problem = f"the cell should raise {expected}, but raised {name}"
            todo = "mend the code, or the cell's header"
        else:
            problem = f"the cell raised {name}: {message.splitlines()[0] if message else ''}"
            todo = f'mend the code; if the error is the lesson, say raises="{name}" in the header'
            if isinstance(caught, MemoryError) or "can't allocate memory" in message:
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
        own = _keep_frames(report, os.path.dirname(self.path))
        line = next((f.lineno for f in reversed(own) if f.filename == self.path), None)
        text = self._mask("".join(report.format(chain=True)))
        return text.rstrip("\n").split("\n"), line

    def _finish(self) -> None:
        """What the interpreter does at the end of a program, and what it must not leave."""
        import atexit

        deadline = time.monotonic() + THREAD_GRACE
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


def mask(text: str, root: str, cwd: str) -> str:
    """`text` without what differs from machine to machine: memory addresses and folders."""
    text = re.sub(r"\bat 0x[0-9a-fA-F]{6,16}\b", "at 0x…", text)
    for folder, name in (
        (cwd + os.sep, ""),
        (sysconfig.get_paths()["purelib"] + os.sep, "site-packages/"),
        (sysconfig.get_paths()["stdlib"] + os.sep, "python/"),
        (root + os.sep, ""),
    ):
        text = text.replace(folder, name)
    return text


def rich(value: object) -> dict[str, str]:
    """The representations of a cell's last value that a page can show, by MIME type.

    A plain program prints nothing for it, so a value that has only a repr shows nothing.
    """
    if value is None or isinstance(value, type):
        return {}
    bundle: dict[str, str] = {}
    for method, mime in (("_repr_html_", "text/html"), ("_repr_svg_", "image/svg+xml")):
        if callable(getattr(value, method, None)) and (text := getattr(value, method)()):
            bundle[mime] = text
    return bundle | {"text/plain": repr(value)} if bundle else {}


def _execute(
    body: list[ast.stmt], filename: str, flags: int, namespace: dict[str, Any]
) -> object:
    """Execute the statements; the value of the last one if it is an expression."""
    last = body[-1] if body and isinstance(body[-1], ast.Expr) else None
    statements = body[:-1] if last is not None else body
    module = ast.Module(statements, type_ignores=[])
    exec(compile(module, filename, "exec", flags, dont_inherit=True), namespace)
    if last is None:
        return None
    expression = ast.Expression(last.value)
    return eval(compile(expression, filename, "eval", flags, dont_inherit=True), namespace)


def _future_flags(tree: ast.Module) -> int:
    flags = 0
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            for alias in node.names:
                flags |= getattr(__future__, alias.name).compiler_flag
    return flags


def _keep_frames(
    report: traceback.TracebackException, folder: str
) -> list[traceback.FrameSummary]:
    """Drop every frame outside `folder` from the report and its causes; the frames kept."""
    own = [frame for frame in report.stack if frame.filename.startswith(folder + os.sep)]
    report.stack[:] = own
    for other in (report.__cause__, report.__context__):
        if other is not None:
            _keep_frames(other, folder)
    return own


def _peak_mb() -> float:
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

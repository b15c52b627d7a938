"""The site in another language, built side by side in a process of its own.

A process, not a thread: MkDocs, its plugins and markdown-exec keep state in modules and in cached
plugin objects. The two processes talk over a pipe. The main one owns the runner; the twin asks it
for results, reports its errors before it writes a page, and waits for the word to go on.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from livecell.errors import LivecellError
from livecell.results import Result

log = logging.getLogger("mkdocs.plugins.livecell")

link: Connection | None = None
"""In a twin's process, the pipe to the main one."""

language = ""
"""In a twin's process, the tag that mkdocs.yml has it under."""

_results: dict[str, Result] = {}
"""In a twin's process, the results asked for in this build."""


class Stopped(Exception):
    """The main process gave the build up."""


# ------------------------------------------------------------------ in the main process
class Twin:
    """A twin site's process, seen from the main one.

    Args:
        language: its language, and the folder of the site that it is published in.
        options: how to load its configuration; `config_file`, `site_dir`, `site_url`, …
        serving: whether to build again and again, on demand.
        result: gives the result of a snippet, or raises LivecellError.
    """

    def __init__(
        self,
        language: str,
        options: dict[str, Any],
        *,
        serving: bool,
        result: Callable[[str], Result],
    ) -> None:
        self.language = language
        self.site_dir = Path(options["site_dir"])
        self._result = result
        self._ready = threading.Event()
        self._done = threading.Event()
        self._errors: list[LivecellError] = []
        self._waits = False
        self._failure = ""
        method = "fork" if hasattr(os, "fork") and sys.platform != "darwin" else "spawn"
        context = multiprocessing.get_context(method)
        self._link, far = context.Pipe()
        self._process = context.Process(  # type: ignore[attr-defined]
            target=_main, args=(far, self._link, language, options, serving), daemon=True
        )
        self._process.start()
        far.close()

    def listen(self) -> None:
        """Begin to answer the twin; not before all twins have been forked."""
        threading.Thread(target=self._answer, daemon=True).start()

    def build(self, changed_stems: set[str]) -> None:
        """Under `mkdocs serve`: build what changed."""
        self._ready.clear()
        self._done.clear()
        self._send(("build", changed_stems))

    def errors(self) -> list[LivecellError]:
        """The errors of its pages, once all of them are rendered."""
        self._ready.wait()
        return self._errors

    def proceed(self, go: bool) -> None:
        """Let it write its site, or give up; does nothing if it has failed by itself."""
        if self._waits:
            self._waits = False
            self._send(("go",) if go else ("stop",))

    def finish(self) -> str:
        """Wait until its site is written; what went wrong, if anything did."""
        self._done.wait()
        return self._failure

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.join()
        self._link.close()

    def _send(self, message: tuple[Any, ...]) -> None:
        try:
            self._link.send(message)
        except OSError:
            self._end("its process is gone")

    def _end(self, failure: str) -> None:
        self._errors = [] if failure else self._errors
        self._failure = failure
        self._ready.set()
        self._done.set()

    def _answer(self) -> None:
        while True:
            try:
                kind, content = self._link.recv()
            except (EOFError, OSError):
                if not self._done.is_set():
                    self._end("its process died")
                return
            if kind == "result":
                threading.Thread(target=self._look_up, args=(content,), daemon=True).start()
            elif kind == "errors":
                self._errors = [LivecellError(**fields) for fields in content]
                self._waits = True
                self._ready.set()
            elif kind == "done":
                self._end(content)

    def _look_up(self, stem: str) -> None:
        try:
            self._send(("result", self._result(stem)))
        except LivecellError as error:
            self._send(("failed", error.to_dict()))


# ------------------------------------------------------------------ in the twin's process
def ask(stem: str) -> Result:
    """The result of a snippet, from the main process.

    Raises:
        LivecellError: the snippet failed there.
    """
    assert link is not None
    if stem in _results:
        return _results[stem]
    link.send(("result", stem))
    kind, content = link.recv()
    if kind == "result":
        _results[stem] = result = content
        return result  # type: ignore[no-any-return]
    if kind == "failed":
        raise LivecellError(**content)
    raise Stopped


def report(errors: list[LivecellError]) -> None:
    """Tell the main process of the errors, and wait for the word to go on.

    Raises:
        Stopped: some page of some language is in error; nothing must be written.
    """
    assert link is not None
    link.send(("errors", [error.to_dict() for error in errors]))
    if link.recv() != ("go",):
        raise Stopped


def _main(
    far: Connection, near: Connection, tag: str, options: dict[str, Any], serving: bool
) -> None:
    global link, language
    near.close()  # our copy of it would hide from us that the main process is gone
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    from livecell.mkdocs.refresh import Refresher

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    link, language = far, tag
    refresher: Refresher | None = None

    def full() -> None:
        nonlocal refresher
        config = load_config(**options)
        config.site_url = options["site_url"]
        config.plugins.on_startup(command="serve" if serving else "build", dirty=False)
        build(config, serve_url=options["site_url"] if serving else None)
        refresher = Refresher.of(config)

    changed: set[str] = set()
    while True:
        failure = ""
        _results.clear()
        try:
            if refresher is None or not refresher.refresh(changed):
                full()
        except Stopped:
            failure = "stopped"
            refresher = None
        except (Exception, SystemExit) as error:
            failure = str(error) or repr(error)
            refresher = None
        link.send(("done", failure))
        try:
            if not serving:
                return
            _, changed = link.recv()
        except EOFError:
            return

"""A fork server: imports heavy modules once, then forks a fresh process for every snippet.

`python -P -m livecell.zygote FOLDER STAGES`, where STAGES is a JSON list of lists of module
names. Stage i listens on the Unix socket FOLDER/i as soon as its modules are imported; the later
stages are imported in a fork, so that an early stage serves meanwhile. A client connects, sends
the path of a request folder and a newline, and gets `pid N` and then `status N`, a line each.
A stage whose modules cannot be imported leaves FOLDER/i.failed instead. The server ends when its
standard input closes, that is, when the builder is gone; then it takes FOLDER and everything that
still runs with it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import selectors
import shutil
import signal
import socket
import sys
import traceback
import weakref
from pathlib import Path
from typing import NoReturn

from livecell import limits, worker


def main(folder: Path, stages: list[list[str]]) -> None:
    """Import the stages and serve each of them until the builder is gone."""
    for number, modules in enumerate(stages):
        for name in modules:
            importlib.import_module(name)
        if "matplotlib.pyplot" in sys.modules:
            importlib.import_module("livecell.figures")
        for finalizer in list(weakref.finalize._registry):  # type: ignore[attr-defined]
            finalizer.atexit = False  # torch's hundreds are ours to run, not every child's
        last = number == len(stages) - 1
        later = 0 if last else os.fork()
        if last or later > 0:
            serve(folder / str(number), later)


def serve(address: Path, later: int) -> NoReturn:
    """Fork a worker for every connection to `address`, until the builder is gone.

    Args:
        address: the socket to listen on.
        later: process id of the next stage, which is a child of this one, or 0.
    """
    limits.adopt_orphans()
    listener = socket.socket(socket.AF_UNIX)
    part = address.with_suffix(".part")  # clients take the address to mean "listening"
    listener.bind(str(part))
    listener.listen(64)
    part.rename(address)
    wake_read, wake_write = os.pipe()
    for fd in (wake_read, wake_write):
        os.set_blocking(fd, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write)
    running: dict[int, socket.socket] = {}
    _report(running, later, address)  # the next stage may have failed before we could be told
    with selectors.DefaultSelector() as selector:
        for source in (0, listener, wake_read):
            selector.register(source, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if wake_read in ready:
                os.read(wake_read, 4096)
                _report(running, later, address)
            if listener in ready:
                connection, _ = listener.accept()
                request = connection.makefile().readline().rstrip("\n")
                if not request:  # the builder died in between
                    connection.close()
                    continue
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    selector.close()
                    for open_file in (listener, connection, *running.values()):
                        open_file.close()
                    os.close(wake_read)
                    os.close(wake_write)
                    _child(Path(request))
                running[pid] = connection
                _send(connection, f"pid {pid}\n")
            if 0 in ready and not os.read(0, 4096):
                limits.kill_children(keep=(later,))
                shutil.rmtree(address.parent, ignore_errors=True)
                os._exit(0)  # nothing to clean up, and torch takes a second to unload


def _report(running: dict[int, socket.socket], later: int, address: Path) -> None:
    """Tell the clients which workers have ended, once nothing is left of those workers."""
    ended: dict[int, int] = {}
    with contextlib.suppress(ChildProcessError):
        while (child := os.waitpid(-1, os.WNOHANG))[0]:
            ended[child[0]] = os.waitstatus_to_exitcode(child[1])
    limits.kill_children(keep={*running, later} - ended.keys())  # what they left behind
    if later in ended:
        following = address.with_name(str(int(address.name) + 1))
        following.with_suffix(".failed").touch()
        following.unlink(missing_ok=True)
    for pid in running.keys() & ended.keys():
        connection = running.pop(pid)
        _send(connection, f"status {ended[pid]}\n")
        connection.close()


def _send(connection: socket.socket, line: str) -> None:
    with contextlib.suppress(OSError):  # the client gave up
        connection.sendall(line.encode())


def _child(folder: Path) -> None:
    try:
        os.setsid()
        worker.main(folder)
    except BaseException:
        (folder / "crash").write_text(traceback.format_exc())
        os._exit(70)
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))

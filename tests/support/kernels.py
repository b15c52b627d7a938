"""Jupyter kernels by fork: torch is imported once, and not once for every notebook.

Each kernel is still a process of its own, as fresh as if it had just imported torch. A notebook
client starts what its kernel specification names: here a small program that hands the request to a
fork server, and lives as long as the kernel does. Where it is not safe to fork, notebooks get the
usual kernel.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

NAME = "forked"


@contextlib.contextmanager
def kernel(folder: Path, environment: dict[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The name of a kernel, and the environment in which a notebook client finds and starts it.

    `folder` must be empty; the path of a socket in it must be short enough for the system.
    """
    if sys.platform != "linux":
        yield "python3", environment
        return
    address = str(folder / "socket")
    spec = folder / "kernels" / NAME / "kernel.json"
    spec.parent.mkdir(parents=True)
    ask = [sys.executable, "-S", __file__, address, "{connection_file}"]
    spec.write_text(json.dumps({"argv": ask, "display_name": NAME, "language": "python"}))
    with subprocess.Popen(
        [sys.executable, __file__, address],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        process_group=0,
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n", "the fork server did not start"
        try:
            yield NAME, {**environment, "JUPYTER_PATH": str(folder)}
        finally:
            os.killpg(server.pid, signal.SIGKILL)  # and kernels that somebody has left behind


def ask(address: str, connection_file: str) -> None:
    """Have a kernel started in this folder, and stay until it has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # comes before the request to end
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        server.sendall(json.dumps([connection_file, os.getcwd()]).encode())
        server.recv(1)  # nothing is sent: the other end is closed when the kernel ends


def serve(address: str) -> None:
    """Import what notebooks import, and fork a kernel for each one that asks.

    Not Matplotlib: it decides where figures go when it is imported, and a kernel has its say then.
    """
    import torch._dynamo  # noqa: F401
    from ipykernel.kernelapp import IPKernelApp

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the kernels
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        os.write(1, b"ready\n")
        while True:
            client, _ = server.accept()
            connection_file, folder = json.loads(client.recv(1 << 16))
            if os.fork() == 0:
                break
            client.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.chdir(folder)
    IPKernelApp.launch_instance(["-f", connection_file])


if __name__ == "__main__":
    (ask if len(sys.argv) > 2 else serve)(*sys.argv[1:])

"""Serves a built site as a host would that was set up as docs/*/publish.md says."""

from __future__ import annotations

import contextlib
import functools
import gzip
import http.server
import threading
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

from livecell.headers import Headers

COMPRESSED = {".html", ".css", ".js", ".json", ".svg", ".xml", ".txt", ".ipynb", ".py"}


class _Host(http.server.SimpleHTTPRequestHandler):
    """Compresses, sends the headers, and has a page for what does not exist."""

    headers_sent: Headers

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        path = path / "index.html" if path.is_dir() else path
        status = HTTPStatus.OK if path.is_file() else HTTPStatus.NOT_FOUND
        path = path if path.is_file() else Path(self.directory) / "404.html"
        body = path.read_bytes()
        self.send_response(status)
        self.send_header("Content-Type", self.guess_type(str(path)))
        for name, value in self.headers_sent.of(self.path.partition("?")[0]).items():
            self.send_header(name, value)
        if path.suffix in COMPRESSED:
            body = gzip.compress(body, mtime=0)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def host(site: Path, headers: Headers) -> Iterator[str]:
    """The address of the site, without the closing slash, while it is being served."""
    kind = type("Host", (_Host,), {"headers_sent": headers})
    handler = functools.partial(kind, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()

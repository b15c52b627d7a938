"""The content-addressed store of results: a folder that may be merged, truncated or deleted.

An entry's file name is a hash of everything known before the run (`key`) and of the local files
the run then turned out to read. Its content is checked by its own hash. Whatever cannot be read
is no entry; whatever cannot be written is not kept: the store never makes a build fail.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from livecell.results import Result

FORMAT = 1


def digest(*parts: bytes | str) -> str:
    """A hash of the parts in their order; where one ends and the next begins counts."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big") + data)
    return total.hexdigest()


def write_atomically(path: Path, data: bytes) -> bool:
    """Write `data` to `path` whole or not at all; whether it could be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, part = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    except OSError:
        return False
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        os.replace(part, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(part)
        return False
    return True


class Store:
    """Results below `folder`.

    Args:
        folder: created when the first result is stored.
        root: the project's folder; files a result depends on are named relative to it.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder / "results"
        self.root = root
        self.writable = True

    def find(self, key: str, versions: dict[str, str]) -> Result | None:
        """The result stored under `key` whose files and packages are as they are now."""
        for path in sorted(self.folder.glob(f"{key[:2]}/{key}-*.json")):
            result = _read(path)
            if result and result.versions == versions and self.is_current(result):
                result.stored = True
                return result
        return None

    def is_current(self, result: Result) -> bool:
        """Whether every file that the run read still has the content it had."""
        return self.hashes(result.reads) == result.reads

    def save(self, key: str, result: Result) -> None:
        """Store `result` under `key`."""
        body = json.dumps(result.to_dict(), ensure_ascii=False, sort_keys=True).encode()
        depends = json.dumps([result.reads, result.versions], sort_keys=True)
        name = f"{key}-{digest(depends)[:16]}.json"
        self.writable = write_atomically(
            self.folder / key[:2] / name, f"{FORMAT} {digest(body)}\n".encode() + body
        )

    def hashes(self, names: Iterable[str]) -> dict[str, str | None]:
        """Hashes of files by their path relative to the root; None where there is none."""
        return {name: _hash(self.root / name) for name in sorted(names)}


def _hash(path: Path) -> str | None:
    try:
        return digest(path.read_bytes())
    except OSError:
        return None  # that a file is absent is something a run can depend on too


def _read(path: Path) -> Result | None:
    try:
        head, _, body = path.read_bytes().partition(b"\n")
        if head.decode() != f"{FORMAT} {digest(body)}":
            return None
        return Result.from_dict(json.loads(body))
    except (OSError, ValueError, TypeError, KeyError):
        return None

"""Values of pure functions, kept from one build to the next.

Highlighting code and cutting Chinese text into words take longer than the rest of a page, and
their outcome depends on nothing but their arguments. What a build did not ask for is forgotten
when it ends, so that the file stays as small as the site.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from livecell.store import digest, write_atomically


class Memo:
    """Remembered values, as JSON in one file.

    Args:
        file: where they are kept; None keeps them for the life of this object only.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._known = _load(file) if file is not None else {}
        self._used: dict[str, Any] = {}

    def get(self, key: tuple[str, ...], compute: Callable[[], Any]) -> Any:
        """The value for `key`; computed if it is not known. It must be plain JSON data.

        Args:
            key: everything the value depends on, the version of the library that
                computes it included.
            compute: computes the value.
        """
        name = digest(*key)
        if name not in self._used:
            self._used[name] = self._known[name] if name in self._known else compute()
        return self._used[name]

    def save(self) -> None:
        """Keep the values asked for since the object was made."""
        if self._file is not None and self._used != self._known:
            data = json.dumps(self._used, ensure_ascii=False).encode()
            write_atomically(self._file, digest(data).encode() + b"\n" + data)


def _load(file: Path) -> dict[str, Any]:
    try:
        checksum, _, data = file.read_bytes().partition(b"\n")
        values: dict[str, Any] = json.loads(data) if checksum.decode() == digest(data) else {}
    except (OSError, ValueError):
        return {}
    return values

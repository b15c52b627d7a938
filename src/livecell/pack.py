"""A built site as one archive: the same bytes whenever it is packed."""

from __future__ import annotations

import zipfile
from pathlib import Path

LEFT_OUT = {"sitemap.xml", "sitemap.xml.gz", "404.html", "search_index.json"}
"""What only a server has a use for; from a disk, the search reads search_index.js."""
MAPS = ".map"
"""For those who debug Material's scripts."""
_BEGINNING = (1980, 1, 1, 0, 0, 0)
_FILE = 0o644 << 16


def pack(site: Path, archive: Path) -> int:
    """Write the site into `archive`, in a folder of the archive's name; the bytes it has.

    Args:
        site: the built site, all languages.
        archive: the file to write; an older one is replaced when the new one is whole.
    """
    archive.parent.mkdir(parents=True, exist_ok=True)
    part = archive.with_suffix(".part")
    with zipfile.ZipFile(part, "w") as made:
        for path in sorted(site.rglob("*")):
            if not path.is_file() or path.name in LEFT_OUT or path.suffix == MAPS:
                continue
            name = f"{archive.stem}/{path.relative_to(site).as_posix()}"
            entry = zipfile.ZipInfo(name, _BEGINNING)
            entry.external_attr = _FILE
            made.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, 9)
    part.replace(archive)
    return archive.stat().st_size

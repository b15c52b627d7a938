"""The folders a site is built in, and how it takes the place of the published one."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path


def staging(store: Path) -> Path:
    """A new folder, on the disk of the site; what killed builds left there is removed."""
    folder = store / "staging"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            if not _alive(old.name.partition("-")[0]):
                shutil.rmtree(old, ignore_errors=True)
        return Path(tempfile.mkdtemp(dir=folder, prefix=f"{os.getpid()}-"))
    except OSError:
        return Path(tempfile.mkdtemp(prefix="livecell-site-"))


def _alive(pid: str) -> bool:
    if os.name == "nt":
        return True  # signal 0 would be Ctrl-C there
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except OSError:
        return True
    return True


def place(source: Path, target: Path, *, link: bool) -> None:
    """Make the site in `source` appear in `target`.

    Args:
        source: a twin's site.
        target: its folder in the site that is published.
        link: rather by a link, so that what the twin renders later appears at once.
    """
    if target.is_symlink() or not source.is_dir():
        return
    if not link:
        shutil.move(source, target)
        return
    try:
        os.symlink(source, target, target_is_directory=True)
    except OSError:  # Windows lets only some accounts make links
        shutil.copytree(source, target, dirs_exist_ok=True)


def replace(new: Path, published: Path, spare: Path) -> None:
    """Put `new` in the place of `published`, which readers see whole, old or new."""
    old = spare / "old"
    published.parent.mkdir(parents=True, exist_ok=True)
    if published.exists():
        shutil.move(published, old)
    shutil.move(new, published)

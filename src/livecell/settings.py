"""What a project may set, in `[tool.livecell]` of its pyproject.toml."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from livecell.errors import LivecellError, nearest

PATHS = {
    "snippets": "snippets",
    "docs": "docs",
    "transcripts": "tests/transcripts",
    "terms": "docs/terms.yml",
    "atlas": "docs/atlas",
    "api": "docs/api.yml",
    "twins": "docs/twins",
    "store": ".cache/livecell",
}


@dataclass(frozen=True)
class Preload:
    """Modules that a fork server imports once, for the snippets whose source matches `when`.

    A snippet is run with the last stage whose regular expression `when` it matches;
    the first stage takes the rest. What the stages are changes speed only, never output.
    """

    modules: tuple[str, ...]
    when: str = ""


@dataclass(frozen=True)
class Settings:
    """The settings of one project; every path is absolute.

    Attributes:
        root: the folder of pyproject.toml; the other paths are given relative to it.
        snippets: folder of the snippet files.
        docs: folder that holds one folder of pages per language.
        transcripts: folder of the approved outputs.
        terms: file of the terms that the glossary explains; need not exist.
        atlas: folder of the lists of errors that the site explains; need not exist.
        api: file of the names of a library that pages show the use of; need not exist.
        twins: folder of the records of accepted twin passages; need not exist.
        store: folder of results and rendered pages; may be deleted at any time.
        languages: language tags of comments and pages; the first is the default language.
        preload: stages of modules to import once, in the fork server.
        seconds: time limit of one snippet, in seconds.
        memory_mb: memory one snippet may take beyond the preloaded modules, in MiB.
        output_kb: how much one snippet may print, in KiB.
        threads: number of threads numeric libraries may use in one snippet.
        jobs: how many snippets run at a time; 0 stands for the number of cores.
    """

    root: Path
    snippets: Path
    docs: Path
    transcripts: Path
    terms: Path
    atlas: Path
    api: Path
    twins: Path
    store: Path
    languages: tuple[str, ...] = ()
    preload: tuple[Preload, ...] = ()
    seconds: float = 60.0
    memory_mb: int = 4096
    output_kb: int = 256
    threads: int = 1
    jobs: int = 0

    @classmethod
    def load(cls, start: Path | None = None) -> Settings:
        """Read the settings of the project that `start` (default: here) lies in.

        Raises:
            LivecellError: pyproject.toml is not TOML, or sets something unknown.
        """
        here = (start or Path.cwd()).resolve()
        for folder in (here, *here.parents):
            file = folder / "pyproject.toml"
            if file.is_file():
                return cls.from_table(folder, _table(file))
        return cls.from_table(here, {})

    @classmethod
    def from_table(cls, root: Path, table: dict[str, Any]) -> Settings:
        """Settings from the table `[tool.livecell]`; what it leaves out has a default.

        Raises:
            LivecellError: the table sets something unknown, or a value of the wrong kind.
        """
        file = root / "pyproject.toml"
        if not isinstance(table, dict):
            raise LivecellError("[tool.livecell] is not a table", file, found=repr(table))
        known = [f.name for f in fields(cls) if f.name != "root"]
        for key in table:
            if key not in known:
                raise LivecellError(
                    f"[tool.livecell] has no setting {key!r}", file, todo=nearest(key, known)
                )
        values = dict(table)
        try:
            for name, default in PATHS.items():
                values[name] = root / table.get(name, default)
            values["languages"] = _strings(table.get("languages", []))
            values["preload"] = tuple(
                Preload(_strings(stage["modules"]), re.compile(stage.get("when", "")).pattern)
                for stage in table.get("preload", ())
            )
            for name in ("seconds", "memory_mb", "output_kb", "threads", "jobs"):
                if name in table:
                    values[name] = type(getattr(cls, name))(table[name])
                    if values[name] < 0:
                        raise ValueError(f"{name} is less than 0")
        except (TypeError, ValueError, KeyError, AttributeError, re.error) as error:
            raise LivecellError(
                "[tool.livecell] has a value of the wrong kind", file, found=repr(error)
            ) from error
        return cls(root=root, **values)

    @property
    def folders(self) -> dict[str, Path]:
        """The folder of pages of each language, the default one first; a site may have just one."""
        return {tag: self.docs / tag for tag in self.languages} or {"en": self.docs}

    @property
    def workers(self) -> int:
        """How many snippets run at a time."""
        return self.jobs or os.cpu_count() or 1

    def stage(self, source: str) -> int:
        """Number of the stage of preloaded modules that suits a snippet with this source."""
        suits = (i for i, stage in enumerate(self.preload) if re.search(stage.when, source))
        return max(suits, default=0)

    def snippet(self, stem: str) -> Path:
        """The file of the snippet called `stem`, such as `errors/leaf`."""
        return self.snippets / f"{stem}.py"

    def stems(self) -> list[str]:
        """Every snippet's stem, sorted; files and folders starting with `_` are modules."""
        paths = (p.relative_to(self.snippets) for p in self.snippets.rglob("*.py"))
        return sorted(
            p.with_suffix("").as_posix()
            for p in paths
            if not any(part.startswith(("_", ".")) for part in p.parts)
        )


def _strings(value: object) -> tuple[str, ...]:
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise TypeError(f"a list of strings is needed, not {value!r}")


def _table(file: Path) -> dict[str, Any]:
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LivecellError("is not valid TOML", file, found=str(error)) from error
    table: dict[str, Any] = data.get("tool", {}).get("livecell", {})
    return table

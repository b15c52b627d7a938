"""`make compare`: the site as other generators build it, beside MkDocs' own.

Builds both languages with MkDocs, with ProperDocs and with Zensical, and compares what a reader
sees of every page. What a generator cannot do yet is listed in `GENERATORS`, and said aloud; any
other difference, and anything listed that it can do by now, is an error.
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
import subprocess
import sys
import venv
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import visible

ROOT = Path(__file__).parents[1]
OUT = ROOT / ".cache" / "compare"
PINS = dict(
    line.strip().split("==")
    for line in (Path(__file__).parent / "requirements.txt").read_text("utf-8").splitlines()
    if line and not line.startswith("#")
)


@dataclass(frozen=True)
class Generator:
    """A site generator.

    Attributes:
        name: its name, and that of its package and its module.
        builds: arguments of the commands that build the site, one after the other.
        within: the element of a page that is compared: `body` where the theme is the same.
        missing: what it cannot show yet, in words, by a class of elements, or by a folder of pages.
    """

    name: str
    builds: tuple[tuple[str, ...], ...]
    within: str = "body"
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def site(self) -> Path:
        """Where its site is."""
        return OUT / self.name


MKDOCS = Generator("mkdocs", (("build", "--site-dir", str(OUT / "mkdocs")),))
GENERATORS = [
    Generator(
        "properdocs", (("build", "-f", "mkdocs.yml", "--site-dir", str(OUT / "properdocs")),)
    ),
    Generator(
        "zensical",
        (
            ("build", "--strict", "-f", "zensical.yml"),
            ("build", "--strict", "-f", "zensical.en.yml"),
        ),
        within="article",  # the frame is Zensical's own theme
        missing={
            "site-home": "the foot of a lesson: notebook, program, versions, commit",
            "site-paths": "the learning paths: the time of a lesson comes from the plugin",
            "lc-lag": "the note that a page has not kept up with its twin",
            "labs/": "the labs: pages that mkdocs-jupyter makes of notebooks",
        },
    ),
]


def main() -> int:
    """Build, compare, tell; the exit code."""
    build(MKDOCS, Path(sys.executable))
    wrong = 0
    for generator in GENERATORS:
        build(generator, environment(generator.name))
        lines = list(differences(MKDOCS.site, generator.site, generator.within, generator.missing))
        for line in lines:
            print(line)
        count = len(list(MKDOCS.site.rglob("*.html")))
        print(f"{generator.name} {PINS[generator.name]}: {count} pages, {len(lines)} difference(s)")
        for said in generator.missing.values():
            print(f"  cannot show yet: {said}")
        wrong += len(lines)
    return int(bool(wrong))


def environment(name: str) -> Path:
    """The Python of a generator's own environment, which sees the project's packages behind it."""
    folder = OUT / "venvs" / f"{name}-{PINS[name]}"
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    ready = folder / ".ready"
    if not ready.is_file():
        venv.create(folder, clear=True, with_pip=True)
        lock = str(ROOT / "requirements.lock")
        call(python, "-m", "pip", "install", "--quiet", f"{name}=={PINS[name]}", "-c", lock)
        show = "import sysconfig; print(sysconfig.get_path('purelib'))"
        own = subprocess.run([python, "-c", show], capture_output=True, text=True, check=True)
        ours = dict.fromkeys(_folder(package) for package in ("livecell", "mkdocs"))
        link = "".join(f"import site; site.addsitedir({path!r})\n" for path in ours)
        Path(own.stdout.strip(), "project.pth").write_text(link, encoding="utf-8")
        ready.touch()
    return python


def _folder(package: str) -> str:
    """The folder that a package of the project is imported from."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).parents[1])


def build(generator: Generator, python: Path) -> None:
    """Build the site of both languages."""
    shutil.rmtree(generator.site, ignore_errors=True)
    _forget()
    for arguments in generator.builds:
        call(python, "-m", generator.name, *arguments)
    _forget()
    if generator.name == "zensical":
        dress(generator.site)


def call(python: Path, *arguments: str) -> None:
    """Run Python; end the program if it fails."""
    # The templates that mkdocs-jupyter needs are no package: they lie in the project's environment.
    where = {"JUPYTER_PATH": str(Path(sys.prefix, "share", "jupyter"))}
    done = subprocess.run(
        [python, *arguments],
        cwd=ROOT,
        env=os.environ | where,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"python {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")


def _forget() -> None:
    """Remove what Zensical keeps of its last build: it does not know that a snippet changed."""
    for path in (ROOT / ".cache").glob("*"):
        if re.fullmatch(r"\d+", path.name) and path.is_file():
            path.unlink()


def dress(site: Path) -> None:
    """Put the engine's styles and scripts where zensical.yml looks for them; a plugin's task."""
    for language in ("", "en"):
        target = site / language / "assets"
        shutil.copytree(ROOT / "src/livecell/assets", target, dirs_exist_ok=True)
        shutil.copytree(ROOT / "src/gradgraph/assets", target / "gradgraph", dirs_exist_ok=True)


def differences(
    reference: Path, other: Path, within: str, missing: dict[str, str]
) -> Iterator[str]:
    """In what the pages of two sites differ, one line each.

    Args:
        reference: the one site.
        other: the other one.
        within: the element of a page that is compared.
        missing: classes of elements, and folders (ending in `/`), that the other one lacks.
    """
    names = [{p.relative_to(s) for p in s.rglob("*.html")} for s in (reference, other)]
    for name in sorted(names[0] ^ names[1]):
        if name in names[1] or not _in(name, missing):
            yield f"{name}: only in {reference.name if name in names[0] else other.name}"
    left_out: Counter[str] = Counter()
    seen = 0
    for name in sorted(names[0] & names[1]):
        if _in(name, missing):
            yield f"{name}: there by now, and still listed as missing"
        one = visible.read(reference / name, within, frozenset(missing))
        two = visible.read(other / name, within)
        left_out += one.left_out
        seen += len(one.words)
        for thing in sorted(one.things | two.things):
            if one.things[thing] != two.things[thing]:
                yield f"{name}: {two.things[thing]} {thing}, not {one.things[thing]}"
        for tag, a, b, c, d in difflib.SequenceMatcher(
            None, one.words, two.words, autojunk=False
        ).get_opcodes():
            if tag != "equal":
                yield f"{name}: {_short(two.words[c:d])!r}, not {_short(one.words[a:b])!r}"
    if not seen:
        yield f"{reference.name} has no text at all in <{within}>"


def _in(name: Path, folders: Iterable[str]) -> bool:
    """Whether a page lies in one of the folders, in any language."""
    return any(f"/{folder}" in f"/{name.as_posix()}" for folder in folders if folder.endswith("/"))


def _short(words: list[str]) -> str:
    text = " ".join(words)
    return text if len(text) < 120 else f"{text[:110]}…"


if __name__ == "__main__":
    sys.exit(main())

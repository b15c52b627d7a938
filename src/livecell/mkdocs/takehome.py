"""What a page offers to take home, notebook and program, and what it says of the run.

Only pages that a snippet belongs to, by name, have any of it.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

from livecell import api, atlasfile, notebook, pages, render
from livecell.errors import LivecellError
from livecell.fence import Site
from livecell.mkdocs import labs
from livecell.prose import Look
from livecell.results import Result
from livecell.settings import Settings
from livecell.words import word

GITHUB = re.compile(r"https://github\.com/(?P<name>[\w.-]+/[\w.-]+?)(?:\.git)?/?")

LOOKED_UP = (f"{atlasfile.FOLDER}/", api.PAGE, "glossary.md")

OURS = ("gradgraph", "livecell")
"""Packages of this repository, which no registry has."""


def result_of(page: Page, site: Site, settings: Settings) -> Result | None:
    """The run of the snippet that the page is about: the one of the same name.

    One that needs files beside it cannot be taken home.
    """
    stem = labs.stem_of(page) or page.file.src_uri.removesuffix(".md")
    if stem not in site.stems():
        return None
    try:
        result = site.result(stem)
    except LivecellError:
        return None  # under `mkdocs serve`; the page says what is wrong
    own = settings.snippets.relative_to(settings.root).as_posix() + "/"
    return None if any(name.startswith(own) for name in result.reads) else result


def is_lesson(page: Page, site: Site, settings: Settings) -> bool:
    """Whether the page is one to read from beginning to end, not to look something up in."""
    if page.file.src_uri.startswith(LOOKED_UP):
        return False
    return result_of(page, site, settings) is not None


def offer(page: Page, config: MkDocsConfig, site: Site, settings: Settings, branch: str) -> Any:
    """What the template shows below the page; nothing for a page without a snippet.

    Args:
        page: the page.
        config: the site's configuration.
        site: where results are looked up.
        settings: the settings of the project.
        branch: the branch of the repository that the notebooks are published on, for Colab.
    """
    result = result_of(page, site, settings)
    if result is None:
        return None
    stem = result.stem
    name = PurePosixPath(stem).name
    test = settings.root / "tests" / f"test_{stem.replace('/', '_')}.py"
    if "/" in stem:
        nested = settings.root / "tests" / PurePosixPath(stem).parent / f"test_{name}.py"
        test = nested if nested.is_file() else test
    github = GITHUB.fullmatch(config.repo_url or "")
    where = PurePosixPath(page.file.dest_uri).parent / f"{name}.ipynb"
    prefix = "" if site.language == next(iter(site.languages), "") else f"{site.language}/"
    return {
        "notebook": f"{name}.ipynb",
        "solution": f"{name}_solution.ipynb" if labs.stem_of(page) else "",
        "program": "" if labs.stem_of(page) else f"{name}.py",
        "colab": (
            f"https://colab.research.google.com/github/{github['name']}/blob/{branch}/{prefix}{where}"
            if github and branch
            else ""
        ),
        "command": _command(result, f"{name}.ipynb", config.repo_url or ""),
        "versions": result.versions,
        "seconds": f"{result.seconds:.1f}",
        "snippet": settings.snippet(stem).relative_to(settings.root).as_posix(),
        "test": test.relative_to(settings.root).as_posix() if test.is_file() else "",
        "commit": commit(settings.root),
        "date": today().isoformat(),
    }


def write(page: Page, config: MkDocsConfig, site: Site, settings: Settings, files: Files) -> None:
    """Write notebook and program beside the page."""
    result = result_of(page, site, settings)
    if result is None or not page.file.abs_src_path:
        return
    look = Look(
        value=lambda reference, label: render.value(site.cell(reference), label),
        entry=lambda name: _entry(name, site),
        address=lambda target: _address(target, page, config, files),
    )
    folder = Path(config.site_dir, page.file.dest_uri).parent
    folder.mkdir(parents=True, exist_ok=True)
    name = PurePosixPath(result.stem).name
    if labs.stem_of(page):
        with contextlib.suppress(LivecellError):  # under `mkdocs serve`; the page says it
            for end, solved in ("", False), ("_solution", True):
                made = labs.build(result.stem, site, settings, look, solved=solved)
                (folder / f"{name}{end}.ipynb").write_text(notebook.dumps(made), encoding="utf-8")
        return
    text = pages.text_of(Path(page.file.abs_src_path))
    made = notebook.build(text, result, site.language, site.languages, look)
    (folder / f"{name}.ipynb").write_text(notebook.dumps(made), encoding="utf-8")
    code = notebook.program(result, site.language, site.languages)
    (folder / f"{name}.py").write_text(code, encoding="utf-8")


def _command(result: Result, name: str, repo_url: str) -> str:
    """One line that opens a notebook in a JupyterLab with all that its cells import."""
    needed = []
    for package, version in result.versions.items():
        if package in OURS:
            needed += [f"'autograd-by-example @ git+{repo_url.rstrip('/')}'"] if repo_url else []
        elif package != "python":
            needed.append(f"{package}=={version.partition('+')[0]}")
    more = " ".join(f"--with {package}" for package in needed)
    return " ".join(f"uvx {more} --from jupyterlab jupyter-lab {name}".split())


def _entry(name: str, site: Site) -> str:
    entry = site.atlas.get(name) if site.atlas else None
    if entry is None:
        return ""
    title = f"`{entry.heading}`" if entry.message else entry.titles[site.language]
    rows = [("means", entry.means), ("cure", entry.cures)]
    said = [f"**{word(key, site.language)}** {text[site.language]}" for key, text in rows]
    return "\n\n".join([f"## {title}", *said])


def _address(target: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Where a link leads on the published site; nothing if nobody knows where that is."""
    path, _, anchor = target.partition("#")
    joined = os.path.normpath(PurePosixPath(page.file.src_uri).parent / path)
    file = files.get_file_from_path(PurePosixPath(joined).as_posix())
    if not config.site_url or file is None:
        return ""
    return config.site_url.rstrip("/") + "/" + file.url + (f"#{anchor}" if anchor else "")


def today() -> date:
    """The date of the build; SOURCE_DATE_EPOCH makes a build repeatable on another day."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return datetime.fromtimestamp(int(epoch), UTC).date() if epoch else date.today()


@lru_cache(maxsize=4)
def commit(root: Path) -> str:
    """The commit that is being built, with a `+` if files differ from it; "" if unknown."""
    try:
        command = ["git", "describe", "--always", "--dirty=+", "--exclude=*", "--abbrev=12"]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()

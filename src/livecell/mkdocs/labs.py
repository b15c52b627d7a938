"""Labs as pages: notebooks made from the run, which mkdocs-jupyter shows.

The notebook of a page lies in the folder that the site is built in, and goes with it. A lab has no
file below `docs_dir`; in `nav` it is called `labs/name.ipynb`.
"""

from __future__ import annotations

import posixpath
from dataclasses import replace
from pathlib import Path, PurePosixPath

from markdown.extensions.toc import nest_toc_tokens
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.structure.toc import get_toc

from livecell import cells, lab, labfile, notebook, pages, render
from livecell.errors import LivecellError
from livecell.fence import Site
from livecell.prose import Look
from livecell.settings import Settings

TOC_DEPTH = 3


def stem_of(page: Page) -> str:
    """The name of the lab that the page shows; "" if it shows none."""
    stem, suffix = posixpath.splitext(page.file.src_uri)
    return stem if suffix == ".ipynb" and labfile.is_lab(stem) else ""


def add(config: MkDocsConfig, files: Files, stems: list[str], folder: Path) -> None:
    """Add a page for each lab.

    Args:
        config: the site's configuration.
        files: the files of the site.
        stems: the names of all snippets.
        folder: where to put the notebooks.

    Raises:
        PluginError: nothing in the site can show notebooks.
    """
    names = [stem for stem in stems if labfile.is_lab(stem)]
    if not names:
        return
    if "mkdocs-jupyter" not in config.plugins:
        raise PluginError(
            f"the snippets have a folder `{labfile.FOLDER}`, whose files are shown as notebooks: "
            "write mkdocs-jupyter above livecell under `plugins:` in mkdocs.yml, with "
            "`ignore: ['*.md']`, `execute: false` and `cache: false`"
        )
    from livecell import labpage  # nbconvert takes a while to import

    labpage.install()
    for stem in names:
        path = folder / f"{stem}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}", encoding="utf-8")  # until its run is known
        # mkdocs-jupyter wraps files in a way that loses the path of `File.generated`
        files.append(File(f"{stem}.ipynb", str(folder), config.site_dir, config.use_directory_urls))


def prepare(stem: str, page: Page, site: Site, settings: Settings, files: Files) -> None:
    """Write the notebook that mkdocs-jupyter is about to show.

    What is wrong with the lab is collected in `site.errors`, and shown in its place.
    """

    page.edit_url = None  # it has no source of its own below docs_dir

    def address(target: str) -> str:
        path, _, anchor = target.partition("#")
        place = posixpath.normpath(posixpath.join(posixpath.dirname(page.file.src_uri), path))
        file = files.get_file_from_path(place)
        if file is None:
            raise LivecellError(
                "a link leads to a page that does not exist",
                found=target,
                expected="a path from the page of the lab, such as `../index.md`",
            )
        return file.url_relative_to(page.file) + (f"#{anchor}" if anchor else "")

    def value(reference: str, label: str) -> str:
        try:
            return render.value(site.cell(reference), label)
        except LivecellError as error:
            line = pages.line_of(f"#!live {reference} {label}".strip(), settings.snippet(stem))
            raise replace(error, file=settings.snippet(stem), line=line) from None

    look = Look(
        value=value,
        entry=lambda name: "",
        address=address,
        keeps_ids=True,
    )
    try:
        made = build(stem, site, settings, look)
    except LivecellError as error:
        error = site.failed(error, error.found or "")
        text = f"# {PurePosixPath(stem).name}\n\n{render.problem(error, site.language)}"
        made = notebook.of(
            [{"cell_type": "markdown", "id": "text", "metadata": {}, "source": text}]
        )
    made["metadata"]["livecell"] = {"stem": stem}
    assert page.file.abs_src_path is not None
    Path(page.file.abs_src_path).write_text(notebook.dumps(made), encoding="utf-8")


def build(
    stem: str, site: Site, settings: Settings, look: Look, *, solved: bool = False
) -> notebook.Notebook:
    """A notebook of the lab called `stem`, in the language of the site.

    Raises:
        LivecellError: the lab failed, or something in it is wrong.
    """
    path = settings.snippet(stem)
    site.cited.add(stem)
    result = site.result(stem)
    texts = labfile.pages(cells.text(path), path, stem, result.cells, site.languages)
    text = texts.get(site.language) or next(iter(texts.values()))
    return lab.build(text, result, site.language, site.languages, look, solved=solved, path=path)


def finish(content: str, page: Page) -> str:
    """The HTML of a lab without what mkdocs-jupyter adds, and the page's table of contents."""
    from livecell import labpage

    content = content.partition(labpage.END)[0]
    found = [item for item in labpage.headings(content) if item["level"] <= TOC_DEPTH]
    page.toc = get_toc(nest_toc_tokens(found))  # type: ignore[arg-type]
    return content

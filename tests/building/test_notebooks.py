"""The notebooks of the built site: valid, and what a fresh kernel makes of them.

Of a lab, the notebook with solutions is meant.
"""

from __future__ import annotations

import ast
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest
from tests.support.kernels import kernel

from livecell import Settings, labfile

WORKERS = 2
LANGUAGES = ("zh", "en")
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "TZ": "UTC"}


@pytest.fixture(scope="module")
def stems(site: Path, settings: Settings) -> list[str]:
    """The snippets of all pages that have a notebook."""
    return [
        stem for stem in settings.stems() if (site / stem / f"{Path(stem).name}.ipynb").is_file()
    ]


def read(site: Path, stem: str, language: str) -> Any:
    folder = site / ("" if language == "zh" else language) / stem
    end = "_solution" if labfile.is_lab(stem) else ""
    return nbformat.read(folder / f"{Path(stem).name}{end}.ipynb", as_version=4)


def code(made: Any) -> list[Any]:
    return [cell for cell in made.cells if cell.cell_type == "code"]


@pytest.fixture(scope="module")
def executed(site: Path, stems: list[str], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Every notebook in each language, as a fresh kernel leaves it."""
    folder = tmp_path_factory.mktemp("work")
    with (
        tempfile.TemporaryDirectory() as support,
        kernel(Path(support), ENVIRONMENT) as (name, environment),
        pytest.MonkeyPatch.context() as patch,
        ThreadPoolExecutor(WORKERS) as pool,
    ):

        def run(wanted: tuple[str, str]) -> Any:
            client = nbclient.NotebookClient(
                read(site, *wanted),
                timeout=120,
                kernel_name=name,
                resources={"metadata": {"path": folder}},
            )
            return client.execute()

        for variable, value in environment.items():
            patch.setenv(variable, value)
        wanted = [(stem, language) for stem in stems for language in LANGUAGES]
        return dict(zip(wanted, pool.map(run, wanted), strict=True))


def test_every_page_of_a_snippet_has_one(site: Path, settings: Settings, stems: list[str]) -> None:
    first = settings.docs / settings.languages[0]
    pages = [stem for stem in settings.stems() if (first / f"{stem}.md").is_file()]
    assert set(pages) - set(stems) == {"how_it_works"}  # its snippet needs a module beside it
    for language in settings.languages:
        for stem in stems:
            nbformat.validate(read(site, stem, language))


def test_both_languages_have_the_same_code(site: Path, stems: list[str]) -> None:
    for stem in stems:
        one, two = (
            [ast.dump(ast.parse(cell.source)) for cell in code(read(site, stem, language))]
            for language in LANGUAGES
        )
        assert one == two, stem


def test_the_program_is_the_snippet_in_one_language(
    site: Path, settings: Settings, stems: list[str]
) -> None:
    for stem in stems:
        if labfile.is_lab(stem):
            continue  # it has notebooks only
        source = settings.snippet(stem).read_text(encoding="utf-8")
        for prefix, other in ("", "en"), ("en", "zh"):
            program = (site / prefix / stem / f"{Path(stem).name}.py").read_text(encoding="utf-8")
            assert ast.dump(ast.parse(program)) == ast.dump(ast.parse(source)), stem
            assert f"# {other}:" not in program


@pytest.mark.audit
def test_a_fresh_kernel_reproduces_the_outputs(site: Path, executed: Any) -> None:
    differences = []
    for (stem, language), fresh in executed.items():
        for stored, new in zip(code(read(site, stem, language)), code(fresh), strict=True):
            if "volatile" not in stored.metadata.get("tags", []) and seen(stored) != seen(new):
                where = f"{language}/{stem}:{stored.metadata.name}"
                differences.append((where, seen(stored), seen(new)))
    assert not differences, "\n".join(map(str, differences))


def test_what_a_kernel_prints_otherwise_is_noticed(site: Path, stems: list[str]) -> None:
    cell = code(read(site, stems[0], "zh"))[0]
    before = seen(cell)
    cell.outputs[0].text += "something else"
    assert seen(cell) != before


def seen(cell: Any) -> dict[str, Any]:
    """What a reader sees of a cell's outputs, without what differs from place to place."""
    text: dict[str, str] = {"stdout": "", "stderr": ""}
    errors, kinds = [], []
    for output in cell.outputs:
        if output.output_type == "stream":
            text[output.name] += output.text
        elif output.output_type == "error":
            errors.append((output.ename, _mask(output.evalue)))
        elif "text/html" in output.data:
            kinds.append("html")
        else:
            kinds.append("figure")
    return {
        "stdout": _mask(text["stdout"]),
        "stderr": _warnings(text["stderr"]),
        "errors": errors,
        "kinds": kinds,
    }


def _mask(text: str) -> str:
    text = re.sub(r'File "[^"]*", line \d+', "File …", text)  # a kernel's cells are other files
    return re.sub(r"0x(?:[0-9a-f]{6,16}\b|…)", "0x…", text)


def _warnings(text: str) -> list[str]:
    """The messages of warnings, without the place before and the line of code after them."""
    return re.findall(r"\w*Warning: .*", _mask(text))

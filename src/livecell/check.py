"""Holds snippets and pages, and the pages of all languages, to each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from livecell import api, atlas, cells, labfile, pages, questions, termcheck
from livecell.cells import Cell
from livecell.errors import LivecellError, relative
from livecell.pages import Block
from livecell.results import CellResult, Result
from livecell.settings import Settings

PAIRED = ("cell", "heading", "box", "choices", "image")
"""Kinds of blocks that the pages of all languages must have in the same order."""

Lines = dict[str, int]
"""Line numbers in a snippet file, by cell name."""

Labs = dict[str, str]
"""A lab as pages, by language."""


def site(settings: Settings, result: Callable[[str], Result]) -> list[LivecellError]:
    """The errors of all pages and snippets, given the results of all snippets."""
    return _check(settings, lambda stem: result(stem).cells)


def static(settings: Settings) -> list[LivecellError]:
    """The errors of all pages and snippets that show without running anything."""
    return _check(settings, lambda stem: cells.read(settings.snippet(stem), settings.languages))


def _check(
    settings: Settings, cells_of: Callable[[str], Sequence[Cell | CellResult]]
) -> list[LivecellError]:
    errors: list[LivecellError] = []
    code_of: dict[str, Sequence[Cell | CellResult]] = {}
    known: dict[str, Lines] = {}
    failed: set[str] = set()
    labs: dict[str, Labs] = {}
    for stem in settings.stems():
        try:
            code = code_of[stem] = cells_of(stem)
            known[stem] = {cell.name: cell.line for cell in code}
            if labfile.is_lab(stem):
                file = settings.snippet(stem)
                labs[stem] = labfile.pages(cells.text(file), file, stem, code, settings.languages)
        except LivecellError as error:
            errors.append(error)
            failed.add(stem)
    files = [page for folder in folders(settings) for page in sorted(folder.rglob("*.md"))]
    try:
        read = {page: _blocks(page) for page in files}
    except LivecellError as error:
        return [*errors, error]  # what this page lacks cannot be told from what it hides
    for page, blocks in read.items():
        errors += _unknown(page, blocks, known, failed)
        errors += [replace(e, file=page) for e in questions.static(pages.text_of(page))]
    shown = [block for blocks in read.values() for block in blocks]
    for stem, texts in labs.items():
        errors += _lab(settings, stem, texts, known, failed)
        shown += [block for text in texts.values() for block in _parsed(text)]
    errors += _unused(settings, {k: v for k, v in known.items() if k not in failed}, shown)
    errors += termcheck.check(settings, read)
    errors += atlas.check(settings, read, code_of)
    errors += api.check(settings)
    return errors + _twins(folders(settings), read)


def _lab(
    settings: Settings, stem: str, texts: Labs, known: dict[str, Lines], failed: set[str]
) -> list[LivecellError]:
    """What is wrong with a lab, taken for a page in each language."""
    file = settings.snippet(stem)
    errors: list[LivecellError] = []
    read = {language: _parsed(text) for language, text in texts.items()}
    for language, blocks in read.items():
        errors += _unknown(file, blocks, known, failed)
        errors += [replace(e, file=file) for e in questions.static(texts[language])]
        errors += termcheck.words(settings, language, file, texts[language])
    first, *others = read.values()
    for other in others:
        errors += _pair(file, first, file, other)
    return errors


def _blocks(page: Path) -> list[Block]:
    return _parsed(pages.text_of(page))


def _parsed(text: str) -> list[Block]:
    return sorted([*pages.parse(text), *questions.blocks(text)], key=lambda block: block.line)


def folders(settings: Settings) -> list[Path]:
    """One folder of pages per language; the default language's first."""
    return list(settings.folders.values())


def _unknown(
    page: Path, blocks: list[Block], known: dict[str, Lines], failed: set[str]
) -> list[LivecellError]:
    errors = []
    for block in blocks:
        stem, name = pages.split_reference(block.key)
        if block.kind == "stray":
            error = LivecellError(
                "the page would show this line as it stands here, and no cell",
                found=block.key,
                expected='```python exec="on" cell="snippet:cell", then ``` below it',
            )
        elif block.kind not in ("cell", "value") or stem in failed:
            continue
        elif stem not in known:
            error = pages.no_snippet(block.key, sorted({*known, *failed}))
        elif name not in known[stem]:
            error = pages.no_cell(block.key, list(known[stem]))
        else:
            continue
        errors.append(replace(error, file=page, line=block.line))
    return errors


def _unused(
    settings: Settings, known: dict[str, Lines], blocks: list[Block]
) -> list[LivecellError]:
    shown = {block.key for block in blocks if block.kind == "cell"}
    return [
        LivecellError(
            "no page shows this cell",
            settings.snippet(stem),
            line,
            name,
            todo=f'show it with cell="{stem}:{name}", or delete it',
        )
        for stem, lines in known.items()
        for name, line in lines.items()
        if f"{stem}:{name}" not in shown
    ]


def _twins(languages: list[Path], read: dict[Path, list[Block]]) -> list[LivecellError]:
    errors = []
    first = languages[0]
    for other in languages[1:]:
        names = [{p.relative_to(f) for p in read if p.is_relative_to(f)} for f in (first, other)]
        for name in sorted(names[0] ^ names[1]):
            have, lack = (first, other) if name in names[0] else (other, first)
            errors.append(
                LivecellError(
                    "the page has no twin",
                    have / name,
                    expected=f"a page {relative(lack / name)}",
                    todo="write it, or delete this one",
                )
            )
        for name in sorted(names[0] & names[1]):
            one, two = first / name, other / name
            errors += _pair(one, read[one], two, read[two])
    return errors


def _pair(one: Path, blocks: list[Block], two: Path, others: list[Block]) -> list[LivecellError]:
    """The first difference of two twin pages; what follows it is mostly its echo."""
    paired = [[block for block in page if block.kind in PAIRED] for page in (blocks, others)]
    for left, right in zip_longest(*paired):
        if left and right and (left.kind, left.key) == (right.kind, right.key):
            continue
        here = f"{left.kind} {left.key}" if left else "nothing more"
        there = f"{right.kind} {right.key}" if right else "nothing more"
        line = right.line if right else None
        return [
            LivecellError(
                "the page differs in structure from its twin",
                two,
                line,
                found=there,
                expected=f"{here}, as in {relative(one)}" + (f":{left.line}" if left else ""),
                todo="give both pages the same cells, headings (with the same ids) and boxes",
            )
        ]
    return []

"""The error atlas as a whole: every message is the run's own, and every paste finds its entry."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from livecell import Runner, Settings, atlas, pages
from livecell.atlas import Atlas
from livecell.atlasfile import FOLDER, Entry
from livecell.results import CellResult

READ: dict[str, Any] = yaml.safe_load(
    Path(__file__).with_name("pastes.yml").read_text(encoding="utf-8")
)
PASTES: dict[str, list[str]] = READ["pastes"]
STRANGERS: list[str] = READ["strangers"]


@pytest.fixture(scope="module")
def known(settings: Settings) -> Atlas:
    loaded = atlas.load(settings)
    assert loaded is not None
    assert loaded.errors == ()
    return loaded


def cell_of(entry: Entry, runner: Runner) -> CellResult:
    stem, name = pages.split_reference(entry.reference)
    cell = runner.result(stem).cell(name)
    assert cell is not None
    return cell


def real(entry: Entry, runner: Runner) -> str:
    """What a reader of this run would paste."""
    cell = cell_of(entry, runner)
    if cell.error:
        return "\n".join(cell.error["traceback"])
    return cell.text("stderr")


def test_there_is_an_entry_for_what_autograd_raises_in_ordinary_work(known: Atlas) -> None:
    assert len(known.listed) >= 40
    assert {entry.family for entry in known.listed} >= {"backward", "leaf", "inplace", "silent"}


def test_type_and_whole_message_are_those_of_the_run(known: Atlas, runner: Runner) -> None:
    wrong = [e.id for e in known.listed if e.cell and not atlas.said(e, cell_of(e, runner))]
    assert wrong == []


def test_a_message_of_another_run_would_be_told(known: Atlas, runner: Runner) -> None:
    """The check above can fail: no message fits the run of another entry with another message."""
    raised = [e for e in known.listed if e.cell and not e.is_warning]
    for one, two in zip(raised, raised[1:] + raised[:1], strict=True):
        if one.message != two.message:
            assert not atlas.said(one, cell_of(two, runner)), (one.id, two.id)


def test_what_varies_is_a_small_part_of_a_message(known: Atlas) -> None:
    for entry in known.listed:
        assert not entry.message or len(re.sub(r"\W", "", entry.message)) >= 12, entry.id


def test_every_message_finds_its_entry(known: Atlas, runner: Runner) -> None:
    lost = {
        entry.id: [match.key for match in known.index.rank(real(entry, runner))[:2]]
        for entry in known.listed
        if entry.cell and entry.id not in [m.key for m in known.index.answers(real(entry, runner))]
    }
    assert lost == {}


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_symptom_finds_its_entry(language: str, known: Atlas) -> None:
    lost = [
        (entry.id, symptom)
        for entry in known.listed
        for symptom in entry.symptoms[language]
        if entry.id not in [match.key for match in known.index.answers(symptom)]
    ]
    assert lost == []


@pytest.mark.parametrize(
    ("entry", "paste"), [(entry, paste) for entry, all in PASTES.items() for paste in all]
)
def test_a_noisy_paste_finds_its_entry(entry: str, paste: str, known: Atlas) -> None:
    assert entry in [match.key for match in known.index.answers(paste)]


@pytest.mark.parametrize("paste", STRANGERS)
def test_what_is_not_known_is_not_answered(paste: str, known: Atlas) -> None:
    assert known.index.answers(paste) == []


def test_no_entry_says_the_same_as_another(known: Atlas) -> None:
    for field in ("titles", "means", "cures"):
        for language in ("zh", "en"):
            texts = [getattr(entry, field)[language] for entry in known.listed]
            assert [text for text in texts if texts.count(text) > 1] == []


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_entry_has_a_cure_that_ran(language: str, known: Atlas, settings: Settings) -> None:
    """Below its line on the page stands at least one cell more than the one that fails."""
    for entry in known.listed:
        page = settings.docs / language / FOLDER / f"{entry.family}.md"
        blocks = pages.read(page)
        start = next(n for n, b in enumerate(blocks) if b.key == f"## #{entry.id}")
        rest = blocks[start + 1 :]
        end = next((n for n, b in enumerate(rest) if b.key.startswith("## ")), len(rest))
        cells = {block.key for block in rest[:end] if block.kind == "cell"}
        assert len(cells - {entry.reference}) >= 1, entry.id

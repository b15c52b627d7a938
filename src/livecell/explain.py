"""What the atlas knows of a pasted error, for the terminal."""

from __future__ import annotations

import locale
import os
from pathlib import Path

from livecell import pages
from livecell.atlas import Atlas
from livecell.atlasfile import Entry
from livecell.errors import LivecellError, relative
from livecell.messages import Match
from livecell.settings import Settings
from livecell.words import word

NEAREST = 3
"""How many entries are named for a text that none of them is about."""


def language(settings: Settings) -> str:
    """The reader's language, as far as the site is written in it; English otherwise."""
    given = next(
        (os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)),
        locale.getlocale()[0] or "",
    )
    tag = given.partition("_")[0].partition(".")[0].lower()
    known = settings.languages or ("en",)
    return next((name for name in (tag, "en") if name in known), known[0])


def explain(text: str, atlas: Atlas, tag: str) -> tuple[str, bool]:
    """What there is to say of a pasted text, in the language `tag`, and whether it is an answer.

    Raises:
        LivecellError: there is nothing in the text.
    """
    if not text.strip():
        raise LivecellError("there is no message to explain", expected="an error, or a traceback")
    answers = _entries(atlas.index.answers(text), atlas)
    if answers:
        same = _listed("same", answers[1:], atlas, tag) if answers[1:] else []
        return "\n".join([_answer(answers[0], atlas, tag), *same]), True
    guesses = _entries(atlas.index.rank(text), atlas)[:NEAREST]
    if not guesses:
        return word("unknown", tag), False
    return "\n".join(_listed("guess", guesses, atlas, tag)[1:]), False


def _entries(matches: list[Match], atlas: Atlas) -> list[Entry]:
    return [entry for match in matches if (entry := atlas.get(match.key))]


def _listed(head: str, entries: list[Entry], atlas: Atlas, tag: str) -> list[str]:
    lines = ["", word(head, tag)]
    for entry in entries:
        lines += ["", f"  {entry.titles[tag]}", f"  {_address(entry.address, atlas, tag)}"]
    return lines


def _answer(entry: Entry, atlas: Atlas, tag: str) -> str:
    said = f"{entry.type}: {entry.message}" if entry.message else ""
    rows = [("means", entry.means[tag]), ("cure", entry.cures[tag])]
    if entry.lesson:
        stem = entry.lesson.partition("#")[0]
        title = pages.title(atlas.folders[tag] / f"{stem}.md")
        rows.append(("lesson", f"{title}  {_address(entry.lesson, atlas, tag)}"))
    body = [f"{word(name, tag)}\n  {text}" for name, text in rows]
    head = [entry.titles[tag], *([said] if said else []), _address(entry.address, atlas, tag)]
    return "\n\n".join(["\n".join(head), *body])


def _address(place: str, atlas: Atlas, tag: str) -> str:
    """Where to read on: on the site if its address is known (SITE_URL), else in the sources."""
    stem, _, heading = place.partition("#")
    anchor = f"#{heading}" if heading else ""
    site = os.environ.get("SITE_URL", "").rstrip("/")
    if not site:
        return relative(atlas.folders[tag] / f"{stem}.md") + anchor
    folder: Path = atlas.folders[tag]
    first = next(iter(atlas.folders.values()))
    return "/".join([site, *([] if folder == first else [tag]), stem, anchor])

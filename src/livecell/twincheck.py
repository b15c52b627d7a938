"""Which passages of the site are stale, since when, and how to accept them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from livecell import passages
from livecell.accepted import Page, Pair
from livecell.errors import LivecellError, nearest, relative
from livecell.history import History
from livecell.settings import Settings


def names(settings: Settings) -> list[str]:
    """The pages that exist in every language, as `errors/leaf`; none in a site of one language."""
    if len(settings.languages) < 2:
        return []
    found = []
    for language in settings.languages:
        folder = settings.docs / language
        paths = (path.relative_to(folder) for path in folder.rglob("*.md"))
        found.append({path.with_suffix("").as_posix() for path in paths})
    return sorted(set.intersection(*found))


def check(settings: Settings) -> list[LivecellError]:
    """What is stale, and what nobody has recorded; nothing for a site that records nothing."""
    if not settings.twins.is_dir():
        return []
    told: list[LivecellError] = []
    every = names(settings)
    for name in every:
        page = Page(settings, name)
        try:
            told += _stale(page)
            told += _new(page)
        except LivecellError as error:
            told.append(error)
    for record in sorted(settings.twins.rglob("*.txt")):
        name = record.relative_to(settings.twins).with_suffix("").as_posix()
        if name not in every:
            told.append(
                LivecellError("the record of a page that is no more", record, todo="delete it")
            )
    return told


def _stale(page: Page) -> Iterator[LivecellError]:
    histories = [History(file) for file in page.files]
    for pair in page.pairs:
        if pair.state != "stale":
            continue
        late = pair.stale[-1]
        other = pair.changed[0] if pair.changed else 0
        here, there = (
            relative(page.files[n]) + (f":{pair.line(n)}" if pair.line(n) else "")
            for n in (late, other)
        )
        when = f" since {histories[other].since(_holds(pair, other))}" if pair.changed else ""
        yield LivecellError(
            "this passage has not kept up with its twin"
            if pair.changed
            else "this passage and its twin were not accepted together",
            page.files[late],
            pair.line(late),
            found=pair.excerpt(late),
            expected=f"what {there} says{when}: {pair.excerpt(other)}",
            todo=f"bring it up to date, and if it is: livecell accept {here}",
        )


def _holds(pair: Pair, language: int) -> Callable[[str], bool]:
    """Whether a state of the page already has the present text of the passages."""
    wanted = {passage.hash for passage in pair.groups[language]}
    return lambda text: wanted <= passages.hashes(text)


def _new(page: Page) -> Iterator[LivecellError]:
    new = [pair for pair in page.pairs if pair.state == "new"]
    if new:
        yield LivecellError(
            f"{len(new)} passage(s) are new, or have changed in every language",
            page.files[0],
            new[0].line(0),
            found=new[0].excerpt(0),
            todo=f"hold them side by side, then: livecell accept {page.name}",
        )


def accept(settings: Settings, targets: Sequence[str] = ()) -> dict[str, int]:
    """Record what stands on pages now: by page, how many passages were not recorded before.

    Args:
        settings: the settings of the site.
        targets: pages, as `errors/leaf` or a file, or a single passage as `file:line`; all pages
            by default.

    Raises:
        LivecellError: there is no such page, or nothing in that line.
    """
    every = names(settings)
    if not every:
        raise LivecellError(
            "the site has no pages in more than one language", todo="see `languages`"
        )
    counts: dict[str, int] = {}
    for target in targets or every:
        name, language, line = _target(target, settings)
        if name not in every:
            raise LivecellError(f"there is no page {target!r}", todo=nearest(name, every))
        counts[name] = counts.get(name, 0) + Page(settings, name).accept(language, line)
    if not targets:
        for record in settings.twins.rglob("*.txt"):
            if record.relative_to(settings.twins).with_suffix("").as_posix() not in every:
                record.unlink()
    return counts


def _target(target: str, settings: Settings) -> tuple[str, int, int | None]:
    """Page, language and line that an argument means."""
    found = re.fullmatch(r"(?P<path>.+?)(?::(?P<line>\d+))?", target)
    assert found is not None
    path = Path(found["path"]).resolve()
    for number, language in enumerate(settings.languages):
        folder = (settings.docs / language).resolve()
        if path.is_relative_to(folder):
            name = path.relative_to(folder).with_suffix("").as_posix()
            return name, number, int(found["line"]) if found["line"] else None
    if found["line"]:
        raise LivecellError(f"{target!r} is no page", expected="docs/en/page.md:12, say")
    return found["path"].removesuffix(".md"), 0, None

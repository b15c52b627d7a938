"""Which passages of the site are stale, since when, and how to accept them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from livecell import sources
from livecell.accepted import Page, Pair
from livecell.errors import LivecellError, relative
from livecell.history import History
from livecell.settings import Settings


def check(settings: Settings) -> list[LivecellError]:
    """What is stale, and what nobody has recorded; nothing for a site that records nothing."""
    if not settings.twins.is_dir():
        return []
    told: list[LivecellError] = []
    every = sources.names(settings)
    for name in every:
        page = Page(settings, sources.find(settings, name))
        try:
            told += _stale(page)
            told += _new(page)
        except LivecellError as error:
            told.append(error)
    told += (
        LivecellError("the record of a page that is no more", record, todo="delete it")
        for record in _orphans(settings, every)
    )
    return told


def _orphans(settings: Settings, every: list[str]) -> Iterator[Path]:
    """The records of what is no more; a list that cannot be read just now is still there."""
    for record in sorted(settings.twins.rglob("*.txt")):
        name = record.relative_to(settings.twins).with_suffix("").as_posix()
        if name not in every and not (settings.docs / name).is_file():
            yield record


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
        when = f" since {histories[other].since(_holds(page, pair, other))}" if pair.changed else ""
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


def _holds(page: Page, pair: Pair, language: int) -> Callable[[str], bool]:
    """Whether a state of the page already has the present text of the passages."""
    wanted = {passage.hash for passage in pair.groups[language]}

    def holds(held: str) -> bool:
        try:
            return wanted <= page.source.hashes(language, held)
        except LivecellError:
            return False  # it was not yet what it is now

    return holds


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
        targets: pages, labs and lists, as `errors/leaf` or a file, or a single passage as
            `file:line`; everything by default.

    Raises:
        LivecellError: there is no such page, or nothing in that line.
    """
    every = sources.names(settings)
    if not every:
        raise LivecellError(
            "the site has no pages in more than one language", todo="see `languages`"
        )
    counts: dict[str, int] = {}
    for target in targets:
        source, languages, line = sources.target(settings, target, every)
        done = Page(settings, source).accept(languages, line)
        counts[source.name] = counts.get(source.name, 0) + done
    if not targets:
        counts = {name: Page(settings, sources.find(settings, name)).accept() for name in every}
        for record in _orphans(settings, every):
            record.unlink()
    return counts

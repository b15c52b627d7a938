"""The command line: run · check · accept · diff · new · explain · links · pack · headers."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from livecell import (
    atlas,
    check,
    explain,
    headers,
    pack,
    scaffold,
    transcript,
    twincheck,
    typography,
)
from livecell import links as site_links
from livecell.errors import LivecellError, nearest, relative
from livecell.results import Result
from livecell.run import Runner
from livecell.settings import Settings

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `livecell`; the exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.command(options, Settings.load())
    except LivecellError as error:
        _show(error)
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="livecell", description="Pages that show what their code really did."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run snippets and say how each of them fared")
    run.set_defaults(command=_run)
    diff = commands.add_parser("diff", help="what changed against the approved outputs")
    diff.set_defaults(command=_diff)
    for command in (run, diff):
        command.add_argument("stem", nargs="*", help="snippets; all of them by default")
        command.add_argument("-j", type=int, default=0, metavar="N", help="how many at a time")
        command.add_argument("--no-cache", action="store_true", help="run, whatever is stored")

    checking = commands.add_parser("check", help="hold snippets and pages to each other")
    checking.set_defaults(command=_check)

    accepting = commands.add_parser("accept", help="say that pages and their twins say the same")
    accepting.set_defaults(command=_accept)
    accepting.add_argument(
        "page", nargs="*", help="errors/leaf, docs/en/leaf.md, or docs/en/leaf.md:12; else all"
    )

    new = commands.add_parser("new", help="begin a lesson: snippet, pages, test, entry in nav")
    new.set_defaults(command=_new)
    new.add_argument("stem", help="its name, such as graph_lifetime")

    explaining = commands.add_parser("explain", help="what an error means, and what to do")
    explaining.set_defaults(command=_explain)
    explaining.add_argument(
        "message", nargs="*", help="the error; without it, what comes from standard input"
    )

    linking = commands.add_parser("links", help="follow the links of the built site")
    linking.set_defaults(command=_links)
    linking.add_argument("site", nargs="?", default="site", help="the built site's folder")
    linking.add_argument("--ask", action="store_true", help="ask the hosts of external links, too")

    heading = commands.add_parser("headers", help="the HTTP headers to send the built site with")
    heading.set_defaults(command=_headers)
    heading.add_argument("site", nargs="?", default="site", help="the built site's folder")
    heading.add_argument("--form", choices=headers.FORMS, default="netlify", help="for which host")

    packing = commands.add_parser("pack", help="put a built site into one zip file")
    packing.set_defaults(command=_pack)
    packing.add_argument("site", help="the built site's folder")
    packing.add_argument("archive", help="the file to write, such as book.zip")
    return parser


def _run(options: argparse.Namespace, settings: Settings) -> int:
    outcomes = _outcomes(options, settings)
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("snippet")
    for title in ("cells", "seconds", "peak MiB"):
        table.add_column(title, justify="right")
    table.add_column("")
    for stem, outcome in outcomes.items():
        if isinstance(outcome, Result):
            table.add_row(
                stem,
                str(len(outcome.cells)),
                f"{outcome.seconds:.2f}",
                f"{outcome.peak_mb:.0f}",
                "from store" if outcome.stored else "run",
            )
        else:
            table.add_row(stem, "", "", "", "[red]failed[/red]")
    out.print(table)
    return _failures(outcomes)


def _diff(options: argparse.Namespace, settings: Settings) -> int:
    outcomes = _outcomes(options, settings)
    changes = [
        transcript.difference(settings, outcome)
        for outcome in outcomes.values()
        if isinstance(outcome, Result)
    ]
    styles = {"+": "green", "-": "red", "@": "cyan"}
    for line in "".join(changes).splitlines():
        out.print(line, style=styles.get(line[:1], ""), markup=False)
    if not any(changes) and not options.stem:
        for orphan in transcript.orphans(settings):
            out.print(f"{relative(orphan)}: approved outputs of a snippet that is no more")
    failed = _failures(outcomes)
    return failed or int(any(changes))


def _check(options: argparse.Namespace, settings: Settings) -> int:
    errors = check.static(settings)
    for error in errors:
        _show(error)
    # These do not keep a page from being published, so a build says nothing of them.
    warnings = [*twincheck.check(settings), *typography.check(settings)]
    for warning in warnings:
        _show(warning, "yellow")
    if errors or warnings:
        err.print(f"{len(errors)} error(s), {len(warnings)} warning(s)", style="red")
        return 1
    out.print(f"{len(settings.stems())} snippets and their pages agree")
    return 0


def _accept(options: argparse.Namespace, settings: Settings) -> int:
    counts = twincheck.accept(settings, options.page)
    for name, count in counts.items():
        if count:
            out.print(f"{name}: {count} passage(s)")
    out.print(f"{sum(counts.values())} passage(s) accepted, in {relative(settings.twins)}")
    return 0


def _new(options: argparse.Namespace, settings: Settings) -> int:
    paths = scaffold.create(settings, options.stem)
    for path in paths:
        out.print(relative(path))
    if settings.root / "mkdocs.yml" not in paths:
        out.print(f"Add {options.stem}.md to nav in mkdocs.yml: it has no list there to extend.")
    out.print(f"Now: mkdocs serve, and approve the outputs with pytest --update -k {options.stem}")
    return 0


def _explain(options: argparse.Namespace, settings: Settings) -> int:
    known = atlas.load(settings)
    if known is None:
        raise LivecellError(
            "this site explains no errors", expected=f"lists in {relative(settings.atlas)}"
        )
    text = " ".join(options.message) or sys.stdin.read()
    said, is_known = explain.explain(text, known, explain.language(settings))
    (out if is_known else err).print(said, markup=False)
    return 0 if is_known else 1


def _built(options: argparse.Namespace, settings: Settings) -> Path:
    folder: Path = settings.root / options.site
    if not (folder / "index.html").is_file():
        raise LivecellError(f"there is no built site in {relative(folder)}", todo="mkdocs build")
    return folder


def _pack(options: argparse.Namespace, settings: Settings) -> int:
    archive = settings.root / options.archive
    size = pack.pack(_built(options, settings), archive)
    out.print(f"{relative(archive)}: {size / 1e6:.1f} MB")
    return 0


def _headers(options: argparse.Namespace, settings: Settings) -> int:
    read = headers.read(_built(options, settings))
    out.print(headers.FORMS[options.form](read), markup=False, end="")
    return 0


def _links(options: argparse.Namespace, settings: Settings) -> int:
    folder = _built(options, settings)
    links = site_links.read(folder, os.environ.get("SITE_URL", ""))
    answers = site_links.ask(links) if options.ask else {}
    out.print(site_links.report(links, answers), markup=False)
    lost = [url for url, said in answers.items() if said != "ok"]
    for line in links.broken:
        err.print(line, style="red", markup=False)
    broken, failed = len(links.broken), len(lost)
    err.print(f"{links.checked} links within the site, {broken} of them broken")
    if answers:
        err.print(f"{failed} external links did not answer as they should")
    return int(bool(broken or failed))


def _outcomes(options: argparse.Namespace, settings: Settings) -> dict[str, Result | LivecellError]:
    known = settings.stems()
    for stem in options.stem:
        if stem not in known:
            raise LivecellError(f"there is no snippet {stem!r}", todo=nearest(stem, known))
    stems = options.stem or known
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=err, transient=True) as progress:
        task = progress.add_task("running", total=len(stems))

        def done(stem: str, outcome: object) -> None:
            progress.update(task, advance=1, description=stem)

        use_store = not options.no_cache
        with Runner(settings, use_store=use_store, jobs=options.j, done=done) as runner:
            runner.start(stems)
            outcomes = {stem: runner.outcome(stem) for stem in stems}
    if not runner.store.writable:
        err.print(f"the store {relative(settings.store)} cannot be written; nothing was kept")
    return outcomes


def _failures(outcomes: dict[str, Result | LivecellError]) -> int:
    errors = [outcome for outcome in outcomes.values() if isinstance(outcome, LivecellError)]
    for error in errors:
        _show(error)
    return int(bool(errors))


def _show(error: LivecellError, style: str = "red") -> None:
    head, _, rest = str(error).partition("\n")
    err.print(f"[{style}]{escape(head)}[/{style}]")
    if rest:
        err.print(rest, markup=False)


if __name__ == "__main__":
    sys.exit(main())

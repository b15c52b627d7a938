"""Comments in several languages: `# zh: …` and `# en: …` stand in pairs, each on its own line."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator

from livecell.errors import LivecellError


def select(source: str, language: str, languages: tuple[str, ...]) -> str:
    """`source` as a reader of `language` sees it: without the other languages' comments.

    Args:
        source: Python code.
        language: tag of the language to keep; its tag is taken off the comments.
        languages: every tag in use; a comment without one of them is kept as it is.
    """
    if not languages:
        return source
    lines = list(io.StringIO(source))  # not splitlines: that takes U+2028 for a line's end too
    tagged = {number: tag for number, tag, alone in _tagged(source, languages) if alone}
    kept = []
    for number, line in enumerate(lines, start=1):
        tag = tagged.get(number)
        if tag is None:
            kept.append(line)
        elif tag == language:
            kept.append(re.sub(rf"#\s*{re.escape(tag)}:\s?", "# ", line, count=1))
    return "".join(kept)


def check_twins(source: str, first_line: int, languages: tuple[str, ...]) -> None:
    """Hold that every tagged comment has its twin in every other language beside it.

    Args:
        source: Python code of one cell.
        first_line: line number of its first line in the file, for the error.
        languages: every tag in use.

    Raises:
        LivecellError: a twin is missing, or a tagged comment stands behind code.
    """
    block: list[str] = []
    start = previous = 0
    for number, tag, alone in [*_tagged(source, languages), (0, "", True)]:
        if not alone:
            raise LivecellError(
                f"the comment tagged `{tag}:` stands behind code",
                line=first_line + number - 1,
                expected="tagged comments on lines of their own, one per language",
                todo="move the comment to the line above and write its twin beside it",
            )
        if number != previous + 1 and block:
            _check_block(block, first_line + start - 1, languages)
            block = []
        if not block:
            start = number
        block.append(tag)
        previous = number


def _check_block(tags: list[str], line: int, languages: tuple[str, ...]) -> None:
    runs = [tag for i, tag in enumerate(tags) if i == 0 or tags[i - 1] != tag]
    if len(runs) % len(languages) == 0:
        groups = [runs[i : i + len(languages)] for i in range(0, len(runs), len(languages))]
        if all(sorted(group) == sorted(languages) for group in groups):
            return
    raise LivecellError(
        "a comment has no twin in the other language",
        line=line,
        found=" then ".join(f"`# {tag}:`" for tag in runs),
        expected=" then ".join(f"`# {tag}:`" for tag in languages) + " on neighbouring lines",
        todo="write the missing comment, or take the tag off to show it in every language",
    )


def _tagged(source: str, languages: tuple[str, ...]) -> Iterator[tuple[int, str, bool]]:
    """(line number, tag, whether it stands alone on its line) of each tagged comment.

    The tokenizer, not a search, decides what is a comment: a string may hold `# zh:`.
    """
    if not languages:
        return
    pattern = re.compile(rf"#\s*({'|'.join(map(re.escape, languages))}):")
    lines = list(io.StringIO(source))
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT and (match := pattern.match(token.string)):
                row, column = token.start
                yield row, match[1], not lines[row - 1][:column].strip()
    except (tokenize.TokenError, SyntaxError):
        return  # the compiler says it better, with the line

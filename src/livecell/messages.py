"""Messages as patterns, and which of many patterns a pasted text holds.

A pattern is a message with `…` for what varies from program to program: names, shapes, numbers.

Ranking needs no exact match: a paste has paths and code around the message, line breaks within it,
and other numbers in it. Both sides are cut into words without digits; single words and neighbours
count, rare ones for more. `assets/paste.js` does the same in the reader's browser, step by step.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

GAP = "…"
"""What stands in a pattern for what varies."""
WORDS = re.compile(r"[a-z_]+|[\u3400-\u9fff]")
HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
"""Where a word begins within a name: MulBackward."""
SAYS_NOTHING = re.compile(r"\b0x[0-9a-f]+\b|\b(?:[a-z_]+ )?(?:error|exception|warning):")
"""An address, and the type of an error: `RuntimeError:` begins most messages."""
ENOUGH = 0.8
"""What share of a pattern (or of a short paste) must be there for a match that counts."""
FEWEST = 2
"""How many features a text must share with a pattern to be named: a single one proves nothing."""
TELLING = 4
"""How many they must share for a match that counts."""


def matches(pattern: str, message: str) -> bool:
    """Whether `message` is what `pattern` describes: each gap one character or more."""
    parts = (re.escape(" ".join(part.split())) for part in pattern.split(GAP))
    spaces = " ".join(message.split())
    return re.fullmatch(r"\s*\S.*?".join(parts), spaces, re.DOTALL) is not None


def heading(pattern: str) -> str:
    """The beginning of a message that may stand as a title: up to its first gap or full stop."""
    end = re.search(rf"(?<=.{{24}})(?:[.:;](?=\s)|\s*{GAP})", pattern, re.DOTALL)
    return pattern[: end.start()].rstrip(" .,:;('\"[") if end else pattern.rstrip(".")


def _words(text: str) -> list[str]:
    apart = HUMP.sub(" ", unicodedata.normalize("NFKC", text))
    return WORDS.findall(SAYS_NOTHING.sub(" ", apart.lower()))


def features(text: str) -> frozenset[str]:
    """The words of a text, and its pairs of neighbours."""
    words = _words(text)
    return frozenset(words) | frozenset(f"{a} {b}" for a, b in pairwise(words))


def pasted(text: str) -> frozenset[str]:
    """The features of a pasted text, whose lines a terminal may have broken, also within words."""
    return features(text) | features(re.sub(r"\s*\n[\s|>]*", "", text))


@dataclass(frozen=True)
class Match:
    """How well a paste fits.

    Attributes:
        key: whose pattern it fits.
        score: which share of the pattern it holds, from 0 to 1.
        weight: how much it shares with the pattern: the rarer the words and the more, the higher.
        shared: how many features it shares with the pattern.
        place: number of the pattern, in the order given.
    """

    key: str
    score: float
    weight: float
    shared: int
    place: int

    @property
    def worth(self) -> float:
        """What makes one answer better than another: a long message, held as a whole."""
        return self.weight * self.score

    @property
    def is_known(self) -> bool:
        """Whether this is an answer, not a guess."""
        return self.score >= ENOUGH and self.shared >= TELLING


class Index:
    """Finds the pattern that a pasted text holds.

    Args:
        patterns: pairs of a key and one of its patterns; a key may have several.
    """

    def __init__(self, patterns: Iterable[tuple[str, str]]) -> None:
        self._patterns = [
            (key, frozenset().union(*map(features, pattern.split(GAP))))
            for key, pattern in patterns
        ]
        keys: dict[str, set[str]] = {}
        for key, found in self._patterns:
            keys.setdefault(key, set()).update(found)
        counts = Counter(feature for found in keys.values() for feature in found)
        self._weights = {f: math.log(1 + len(keys) / n) for f, n in counts.items()}

    def rank(self, text: str) -> list[Match]:
        """The keys that share something with `text`, best first."""
        given = pasted(text)
        known = given & self._weights.keys()
        # A word that no pattern has speaks against every one: count it as the rarest of all.
        rarest = max(self._weights.values(), default=0.0)
        whole = self._sum(known) + rarest * len(
            {f for f in features(text) if f not in self._weights}
        )
        best: dict[str, Match] = {}
        for place, (key, pattern) in enumerate(self._patterns):
            shared = pattern & given
            if len(shared) < FEWEST:
                continue
            weight = self._sum(shared)
            score = max(weight / self._sum(pattern), weight / whole)
            match = Match(key, score, weight, len(shared), place)
            if key not in best or _order(match) < _order(best[key]):
                best[key] = match
        return sorted(best.values(), key=_order)

    def answers(self, text: str) -> list[Match]:
        """The keys that `text` is about, if any: several where they have the same message."""
        known = [match for match in self.rank(text) if match.is_known]
        return [match for match in known if round(match.worth - known[0].worth, 6) == 0]

    def _sum(self, found: Iterable[str]) -> float:
        return math.fsum(self._weights[feature] for feature in found)


def _order(match: Match) -> tuple[bool, float, float, int]:
    """Answers before guesses; among answers the longest message, among guesses the likeliest.

    Rounded: where two entries have the same message, the one that is listed first comes first.
    """
    first = match.worth if match.is_known else match.score
    return (not match.is_known, -round(first, 6), -round(match.score, 6), match.place)

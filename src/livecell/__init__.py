"""livecell: pages that show what their code really did.

A snippet (a plain Python file in percent format) is run once, in a process of its own; pages in
any number of languages look up its cells by name and show source and output. Nothing here knows
what the snippets are about.
"""

from livecell.cells import Cell
from livecell.errors import LivecellError
from livecell.results import CellResult, Result
from livecell.run import Runner
from livecell.settings import Preload, Settings

__all__ = [
    "Cell",
    "CellResult",
    "LivecellError",
    "Preload",
    "Result",
    "Runner",
    "Settings",
]

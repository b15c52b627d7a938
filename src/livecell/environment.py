"""The environment variables of every snippet."""

from __future__ import annotations

import os
from pathlib import Path

ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "MATPLOTLIBRC": str(Path(__file__).with_name("matplotlibrc")),
    "MPL_IGNORE_SYSTEM_FONTS": "1",  # Matplotlib's own fonts, the same on every machine
    "COLUMNS": "80",
    "NO_COLOR": "1",
    "TERM": "dumb",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "CUDA_VISIBLE_DEVICES": "",
}
"""What every snippet sees, so that its output does not depend on who builds the site."""
PASSED_ON = (
    "PATH",
    "HOME",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "SYSTEMROOT",
    "TEMP",
    "TMP",
    "VIRTUAL_ENV",
)


def environment(threads: int, store: Path) -> dict[str, str]:
    """The environment of every snippet; the builder's own secrets are not in it.

    Args:
        threads: how many threads numeric libraries may use.
        store: the project's store, where Matplotlib lists its fonts. The list in the builder's home
            is shared with other installations, and one of them may have spoilt it.
    """
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    numeric = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    return kept | ENVIRONMENT | numeric | {"MPLCONFIGDIR": str(store / "matplotlib")}

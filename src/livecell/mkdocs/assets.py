"""Style sheets and scripts that a site gets from Python packages."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from mkdocs.config.config_options import ExtraScriptValue
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

OWN = Path(__file__).parents[1] / "assets"

Assets = dict[str, Path]
"""Files to publish: address on the site, and where they are."""

TERMS: Assets = {"assets/terms.js": OWN / "terms.js"}
"""What a site needs that lists terms."""
ATLAS: Assets = {"assets/paste.js": OWN / "paste.js"}
"""What a site needs that lists errors."""
TWINS: Assets = {"assets/beside.js": OWN / "beside.js"}
"""What a site needs whose pages have twins."""


def find(packages: Iterable[str]) -> Assets:
    """The engine's own style, then what lies in the `assets` folder of each package.

    The packages are not imported: what draws may be heavy, and a page only needs its files.

    Raises:
        PluginError: there is no such package, or it has no such files.
    """
    found = {f"assets/{name}": OWN / name for name in ("livecell.css", "predict.js")}
    for package in packages:
        spec = find_spec(package)
        folder = Path(spec.origin).parent / "assets" if spec and spec.origin else None
        files = [path for path in sorted(folder.glob("*")) if path.is_file()] if folder else []
        if not files:
            raise PluginError(
                f"`packages` of the plugin livecell names {package!r}, but there is no such Python "
                "package with a folder `assets`: install it, or take it out of mkdocs.yml"
            )
        found |= {f"assets/{package}/{path.name}": path for path in files}
    return found


def load(config: MkDocsConfig, assets: Assets) -> None:
    """Have every page load the assets, before what the site itself brings."""
    styles = [name for name in assets if name.endswith(".css")]
    config.extra_css[:0] = styles
    for name in reversed([name for name in assets if name.endswith(".js")]):
        script = ExtraScriptValue(name)
        script.defer = True
        config.extra_javascript.insert(0, script)


def publish(config: MkDocsConfig, files: Files, assets: Assets) -> None:
    """Add the assets to the site; a theme may have its own under the same name."""
    for name, path in assets.items():
        if files.get_file_from_path(name) is None:
            files.append(File.generated(config, name, abs_src_path=str(path)))

"""What lasts from the start of `mkdocs build` or `mkdocs serve` to its end."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import BuildError

from livecell import check
from livecell.errors import LivecellError
from livecell.mkdocs import publish
from livecell.mkdocs.twin import Twin
from livecell.results import Result
from livecell.run import Runner
from livecell.settings import Settings

log = logging.getLogger("mkdocs.plugins.livecell")


class Session:
    """The runner, the twins and the folder that their sites are built in.

    Args:
        config: the configuration of the default language's site.
        twins: configuration files of the other languages, by language tag.
        serving: whether this is `mkdocs serve`.
    """

    def __init__(self, config: MkDocsConfig, twins: dict[str, str], *, serving: bool) -> None:
        try:
            self.settings = Settings.load(Path(config.config_file_path or ".").parent)
        except LivecellError as error:
            raise BuildError(str(error)) from error
        self.serving = serving
        self.site_dir = Path(config.site_dir)
        self.folder = publish.staging(self.settings.store)
        self.judged = False
        self.twins = [self._twin(tag, file, config) for tag, file in twins.items()]
        self.runner = Runner(self.settings)  # has threads; the twins were forked before
        self.start()
        for other in self.twins:
            other.listen()

    def start(self) -> None:
        """Begin to run the snippets that changed, or failed, since the last call."""
        self.stems = self.settings.stems()
        self.runner.start(self.stems)

    def outcomes(self) -> dict[str, Result | LivecellError]:
        """The outcome of every snippet, once all have run."""
        return {stem: self.runner.outcome(stem) for stem in self.stems}

    def _twin(self, language: str, file: str, config: MkDocsConfig) -> Twin:
        url = f"{config.site_url.rstrip('/')}/{language}/" if config.site_url else ""
        options = {
            "config_file": file,
            "site_dir": str(self.folder / language),
            "site_url": url,
            "strict": config.strict,
        }
        return Twin(
            language, options, serving=self.serving, result=lambda stem: self.runner.result(stem)
        )

    def judge(self, own: list[LivecellError]) -> None:
        """Report the errors of all languages; outside `mkdocs serve` they end the build.

        Args:
            own: the errors of the default language's pages.
        """
        errors = own + check.site(self.settings, self.runner.result)
        for other in self.twins:
            errors += other.errors()
        unique = {str(error): error for error in errors}
        for text in unique:
            log.error("%s", text)
        go = self.serving or not unique
        self.judged = True
        for other in self.twins:
            other.proceed(go)
        if not go:
            raise BuildError(f"livecell found {len(unique)} error(s); no page was written")

    def close(self) -> None:
        """End every process and remove what was not published."""
        for other in self.twins:
            other.close()
        self.runner.close()
        shutil.rmtree(self.folder, ignore_errors=True)

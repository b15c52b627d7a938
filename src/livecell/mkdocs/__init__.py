"""livecell for MkDocs: the only folder that knows MkDocs. Thin: what it adds to a build is

- plugin: results for the pages, errors that stop the build, a site that is replaced as a whole;
- twin: the same site in another language, built side by side in a process of its own;
- beside: the prose of a page for its twin to show next to its own;
- refresh: under `mkdocs serve`, render again only what changed;
- reuse: in `mkdocs build`, take rendered pages from the store.
"""

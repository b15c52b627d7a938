"""Markdown in, HTML out: pages, rendered as the site renders them, with results made by hand."""

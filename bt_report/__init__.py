"""The report of a sweep as an HTML page and as Markdown, from sweep.json alone; and the page of a single run."""

from bt_report.render import render_html, render_markdown, render_run

__all__ = ["render_html", "render_markdown", "render_run"]

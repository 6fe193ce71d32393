"""The report of a sweep, as one self-contained HTML page and as Markdown; made from sweep.json alone."""

from bt_report.render import render_html, render_markdown

__all__ = ["render_html", "render_markdown"]

"""The declared task in docs/tasks.md, word for word."""

from pathlib import Path

_PAGE = Path(__file__).parents[2] / "docs" / "tasks.md"
BANKING77 = _PAGE.read_text(encoding="utf-8").split("```yaml\n", 1)[1].split("```", 1)[0]

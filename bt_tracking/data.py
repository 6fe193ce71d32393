"""The data that a stage used, as far as MLflow names it."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DataSet:
    """A file of rows: `context` says what for (`train`, `val`, `test`), `digest` which content."""

    name: str
    context: str
    digest: str
    rows: int
    source: str = ""

    @classmethod
    def from_jsonl(cls, path: Path, context: str, name: str, source: str = "") -> "DataSet":
        """Count and hash a JSONL file.

        Args:
            path: the file.
            context: what the stage uses it for.
            name: shown in the UI, usually the task's name.
            source: where the rows came from, when that is more telling than the name.
        """
        content = path.read_bytes()
        rows = sum(1 for line in content.split(b"\n") if line.strip())
        return cls(name, context, hashlib.sha256(content).hexdigest()[:12], rows, source or name)

    @property
    def profile(self) -> str:
        """What MLflow's UI shows next to the name."""
        return json.dumps({"num_rows": self.rows})

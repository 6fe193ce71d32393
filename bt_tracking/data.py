"""The data sets of a stage, as MLflow records them."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DataSet:
    """A file of rows. `context` is its use (`train`, `val`, `test`), and `digest` identifies its content."""

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
            context: the split, for which the stage uses it.
            name: the name in the UI, usually the task's.
            source: the origin of the rows; the name where it is left out.
        """
        content = path.read_bytes()
        rows = sum(1 for line in content.split(b"\n") if line.strip())
        return cls(name, context, hashlib.sha256(content).hexdigest()[:12], rows, source or name)

    @property
    def profile(self) -> str:
        """The text that MLflow's UI shows next to the name."""
        return json.dumps({"num_rows": self.rows})

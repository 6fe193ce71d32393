"""Data for the tests of tasks: those beside the checkout where they exist, and else small ones made here."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data sets beside the checkout, which only the project's developers and its CI have."""
    if not SHARED.is_dir():
        pytest.skip(f"the data sets are not beside this checkout ({SHARED.parent.name}/{SHARED.name})")
    return SHARED


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Iterable[Mapping[str, Any]]], Path]:
    """Write rows to a JSONL file in the test's folder."""

    def to(name: str, rows: Iterable[Mapping[str, Any]]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return to

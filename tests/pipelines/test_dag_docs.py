"""docs/dag.svg, which tests/test_docs.py keeps up to date, is complete and needs no other file."""

from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "dag.svg"


def test_it_is_one_self_contained_file_with_every_task() -> None:
    text = PICTURE.read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    names = [
        element.text for element in root.iter("{http://www.w3.org/2000/svg}text") if element.get("class") == "name"
    ]
    steps = ["1.bootstrap", "1.p", "2.bootstrap", "2.w", "3.bootstrap", "3.p"]
    assert sorted(filter(None, names)) == sorted(["prepare", *steps, "evaluate"])
    assert "prefers-color-scheme: dark" in text
    assert text.count("http") == 1, "the name of the SVG format, and nothing to fetch"

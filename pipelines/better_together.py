"""One strategy as a pipeline, unrolled while it is compiled.

    prepare -> per step k: bootstrap -> optimise (p, w, g or m) -> select -> ... -> evaluate -> register

A step continues from the program of the step before it; `select` keeps the best program so far, and that one is
evaluated and shipped.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from kfp import dsl, kubernetes

from bt_components.bootstrap_traces.component import bootstrap_traces
from bt_components.evaluate.component import evaluate
from bt_components.gepa_search.component import gepa_search
from bt_components.lora_finetune.component import lora_finetune
from bt_components.mipro_search.component import mipro_search
from bt_components.optimise.component import optimise
from bt_components.prepare_data.component import prepare_data
from bt_components.prompt_search.component import prompt_search
from bt_components.register.component import register
from bt_components.select_program.component import select_program
from bt_core.errors import ConfigError
from bt_core.strategy import Strategy, format_strategy, strategy_slug
from bt_pipelines.pods.pod_settings import furnish, pipeline_config
from bt_pipelines.pods.profile import MOST_SHARDS, Profile
from bt_pipelines.pods.values import CREDENTIALS
from bt_pipelines.shards import sharded_bootstrap, sharded_evaluation
from bt_runtime.finish import UNSET

#: Step kind -> (component, what a person reads beside the stage label). A new optimiser is one line here.
OPTIMISERS: dict[str, tuple[Callable[..., Any], str]] = {
    "p": (prompt_search, "prompt search"),
    "w": (lora_finetune, "LoRA fine-tuning"),
    "g": (gepa_search, "GEPA"),
    "m": (mipro_search, "MIPROv2"),
}

STRATEGY_LABEL = "bettertogether/strategy"


@dataclass(frozen=True)
class Options:
    """What is fixed when a pipeline is compiled, besides its strategy.

    Attributes:
        image: the container image of every task; empty for the profile's, else `bt_runtime.images.IMAGE`.
        tracking_uri: MLflow's address, for clusters that do not set MLFLOW_TRACKING_URI themselves.
        gpus: accelerators for each task that loads the model; 0 for what the profile says.
        fresh_data: read the data again in every run, for scheduled runs over a file that changes.
        profile: what pods ask of the cluster, below the options above; None for nothing at all.
        fuse: run all steps of a strategy in one pod, which loads the model once.
        shards: pods that share the rows of a bootstrap or of the evaluation; 0 for what the profile says, else 1.
    """

    image: str = ""
    tracking_uri: str = ""
    gpus: int = 0
    fresh_data: bool = False
    profile: Profile | None = None
    fuse: bool = False
    shards: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.shards <= MOST_SHARDS:
            raise ConfigError(f"The number of shards is {self.shards}: give one from 1 to {MOST_SHARDS}.")
        if self.whole_profile.fuse and self.whole_profile.shards > 1:
            raise ConfigError("`fuse` puts all steps into one pod, and `shards` spreads them over several: choose one.")
        if CREDENTIALS.search(self.tracking_uri):
            raise ConfigError(
                "The tracking URI holds a user name or password, which anyone could read in the compiled file: leave "
                "them out, and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD from a secret of the cluster."
            )

    @property
    def whole_profile(self) -> Profile:
        """The profile with the other options in it."""
        profile = self.profile or Profile(component_defaults=False)
        return profile.chosen(self.image, self.tracking_uri, self.gpus, self.fresh_data, self.shards, self.fuse)

    @property
    def where(self) -> str:
        """What a title adds to a strategy whose steps share a pod."""
        return " in one pod" if self.whole_profile.fuse else ""


DEFAULT_OPTIONS = Options()


def build(strategy: Strategy, options: Options = DEFAULT_OPTIONS) -> Any:
    """The pipeline of a strategy, ready to compile.

    Its parameters have sentinel defaults ("" and -1) that mean "the task's default", since a Kubeflow parameter
    cannot be None; `config` takes any other setting as JSON.
    """
    arrows = format_strategy(strategy)
    tasks = Tasks(strategy_slug(strategy), options)

    @dsl.pipeline(
        name=f"better-together-{strategy_slug(strategy)}",
        pipeline_config=pipeline_config(options.whole_profile),
        display_name=f"BetterTogether {arrows}",
        description=f"Optimises an LM program by the strategy {arrows} ({legend([strategy])}){options.where} "
        "and tests it once.",
    )
    def better_together(
        task: str = "",
        seed: int = -1,
        model: str = "",
        data: str = "",
        train_rows: int = -1,
        val_rows: int = -1,
        test_rows: int = -1,
        config: str = "",
    ) -> None:
        rows = [train_rows, val_rows, test_rows]
        prepared = prepare_data(task=task, seeds=[seed, UNSET], model=model, data=data, rows=rows, config=config)
        _unroll(tasks, strategy, tasks.prepared(prepared, "prepare data"))

    return better_together


def legend(strategies: Sequence[Strategy]) -> str:
    """What the letters in the strategies stand for, `p: prompt search, w: LoRA fine-tuning`."""
    return ", ".join(f"{kind}: {title}" for kind, (_, title) in OPTIMISERS.items() if kind in chain(*strategies))


class Tasks:
    """Adds tasks to the pipeline that is being built, each with its label and its surroundings.

    Made before that pipeline is begun: stages that run in shards are pipelines of their own.

    Attributes:
        reports: the report outputs of the tasks so far, in order.
        fuse: whether all steps of a strategy are one task.
    """

    def __init__(self, strategy: str, options: Options) -> None:
        """`strategy` is the slug that every pod carries, `p-w-p`."""
        self._strategy = strategy
        self._profile = options.whole_profile
        self._bootstrap, self._evaluate = bootstrap_traces, evaluate
        if self._profile.shards > 1:
            self._bootstrap = sharded_bootstrap(self._profile.shards, self.place)
            self._evaluate = sharded_evaluation(self._profile.shards, self.place)
        self.fuse = self._profile.fuse
        self.reports: list[Any] = []

    def prepared(self, task: Any, display_name: str) -> Any:
        """Take in a task of `prepare_data`, and return its outputs."""
        self.reports.append(task.outputs["report"])
        self.place(task, display_name)
        task.set_caching_options(not self._profile.fresh_data)
        return task.outputs

    def add(
        self, component: Callable[..., Any], stage: str, title: str, uses_model: bool = False, **inputs: Any
    ) -> Any:
        """Add the task of a stage."""
        task = component(**inputs, stage=stage)
        self.reports.append(task.outputs["Output"])
        self.place(task, f"{stage} {title}", uses_model)
        return task

    def traces(self, stage: str, program: Any, data: Any) -> Any:
        """Add the task that runs a program on the train split, and return its traces.

        `data` are the outputs of `prepared`, here and below.
        """
        inputs = {"program": program, "train": data["train"], "config": data["config"]}
        return self.add(self._bootstrap, stage, "traces", uses_model=True, **inputs).outputs["traces"]

    def evaluation(self, program: Any, data: Any) -> Any:
        """Add the stage that sees the test split, and return its results."""
        inputs = {"vanilla": data["program"], "program": program, "test": data["test"], "config": data["config"]}
        evaluated = self.add(self._evaluate, "evaluate", "on the test split", uses_model=True, **inputs)
        evaluated.set_caching_options(False)  # every run looks at the test split itself
        return evaluated.outputs["results"]

    def step(self, stage: str, kind: str, program: Any, traces: Any, data: Any) -> Any:
        """Add an optimisation step, and return the program that it makes."""
        optimiser, title = OPTIMISERS[kind]
        inputs = {"program": program, "traces": traces} | {name: data[name] for name in ("train", "val", "config")}
        return self.add(optimiser, stage, title, uses_model=True, **inputs).outputs["optimised"]

    def chain(self, strategy: Strategy, data: Any) -> Any:
        """Add one task that takes every step of a strategy, and return the best program by validation."""
        inputs = {name: data[name] for name in ("program", "train", "val", "config")}
        task = optimise(**inputs, strategy=format_strategy(strategy))
        self.reports.append(task.outputs["Output"])
        self.place(task, f"{format_strategy(strategy)} in one pod", uses_model=True)
        return task.outputs["selected"]

    def place(self, task: Any, display_name: str, uses_model: bool = False) -> None:
        """Name the task and give it its surroundings: what the profile says, run id, strategy."""
        task.set_display_name(display_name)
        if task.pipeline_spec is not None:  # a pipeline inside this one, whose tasks are placed already
            return
        furnish(task, self._profile, uses_model)
        # As environment, read off the pod: among the inputs, a run id would miss the cache at every step.
        kubernetes.add_pod_label(task, STRATEGY_LABEL, self._strategy)
        for name, label in (("KFP_RUN_ID", "pipeline/runid"), ("BT_STRATEGY", STRATEGY_LABEL)):
            kubernetes.use_field_path_as_env(task, env_name=name, field_path=f"metadata.labels['{label}']")


def improve(tasks: Tasks, strategy: Strategy, data: Any) -> Any:
    """Add every step of a strategy, and return the best program by validation."""
    if tasks.fuse:
        return tasks.chain(strategy, data)
    program = best = data["program"]
    for number, kind in enumerate(strategy, start=1):
        traces = tasks.traces(f"{number}.bootstrap", program, data)
        program = tasks.step(f"{number}.{kind}", kind, program, traces, data)
        rivals = {"incumbent": best, "challenger": program, "config": data["config"]}
        best = tasks.add(select_program, f"{number}.select", "best so far", **rivals).outputs["selected"]
    return best


def _unroll(tasks: Tasks, strategy: Strategy, data: Any) -> None:
    """Add every step, then the evaluation and the summary."""
    config = data["config"]
    best = improve(tasks, strategy, data)
    results = tasks.evaluation(best, data)
    summary = register(
        program=best,
        results=results,
        reports=tasks.reports,
        config=config,
        strategy=format_strategy(strategy),
    )
    summary.set_caching_options(False)  # its reports hold wall times and run ids
    tasks.place(summary, "register result")

"""The tasks of the pipeline that is being built, each with its label, its inputs and the settings of its pod."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from kfp import kubernetes

from bt_components.bootstrap_traces.component import bootstrap_traces
from bt_components.evaluate.component import evaluate
from bt_components.optimise.component import optimise
from bt_components.select_program.component import select_program
from bt_core.config import step_kinds
from bt_core.strategy import Strategy, format_strategy
from bt_pipelines.pods.apply import apply_profile
from bt_pipelines.pods.profile import Profile
from bt_pipelines.shards import sharded_bootstrap, sharded_evaluation

#: The label of a pod that holds the strategy's slug.
STRATEGY_LABEL = "bettertogether/strategy"


def legend(strategies: Sequence[Strategy]) -> str:
    """The step kinds of the strategies with their titles, such as `p: prompt search, w: LoRA fine-tuning`."""
    return ", ".join(f"{name}: {kind.title}" for name, kind in step_kinds().items() if name in chain(*strategies))


class Tasks:
    """Adds tasks to the pipeline that is being built.

    Create it outside the function of that pipeline, since stages that run in shards are pipelines of their own, and
    Kubeflow's SDK builds one pipeline at a time.

    Args:
        strategy: the slug that every pod has as a label, `p-w-p`.
        profile: what the pods ask for, with the options of the command line in it.

    Attributes:
        reports: the report outputs of the tasks so far, in order.
        fuse: whether all steps of a strategy are one task.
    """

    def __init__(self, strategy: str, profile: Profile) -> None:
        self._strategy = strategy
        self._profile = profile
        self._bootstrap, self._evaluate = bootstrap_traces, evaluate
        if profile.shards > 1:
            self._bootstrap = sharded_bootstrap(profile.shards, self.configure)
            self._evaluate = sharded_evaluation(profile.shards, self.configure)
        self.fuse = profile.fuse
        self.reports: list[Any] = []

    def add_prepared(self, task: Any, display_name: str) -> Any:
        """Configure a task of `prepare_data`, and return its outputs: the `data` of the methods below."""
        self.reports.append(task.outputs["report"])
        self.configure(task, display_name)
        task.set_caching_options(not self._profile.fresh_data)
        return task.outputs

    def add(
        self, component: Callable[..., Any], stage: str, title: str, uses_model: bool = False, **inputs: Any
    ) -> Any:
        """Add the task of a stage, and return it.

        Args:
            component: the component of the stage.
            stage: the label of the stage, `1.p`.
            title: what a person reads beside the label.
            uses_model: whether the task loads the model.
            inputs: the other inputs of the component.
        """
        task = component(**inputs, stage=stage)
        self.reports.append(task.outputs["Output"])
        self.configure(task, f"{stage} {title}", uses_model)
        return task

    def add_bootstrap(self, stage: str, program: Any, data: Any) -> Any:
        """Add the task that runs a program on the train split, and return its traces."""
        inputs = {"program": program, "train": data["train"], "config": data["config"]}
        return self.add(self._bootstrap, stage, "traces", uses_model=True, **inputs).outputs["traces"]

    def add_evaluation(self, program: Any, data: Any) -> Any:
        """Add the stage that scores the vanilla program and this one on the test split, and return its results."""
        inputs = {"vanilla": data["program"], "program": program, "test": data["test"], "config": data["config"]}
        evaluated = self.add(self._evaluate, "evaluate", "on the test split", uses_model=True, **inputs)
        evaluated.set_caching_options(False)  # every run scores on the test split itself
        return evaluated.outputs["results"]

    def add_step(self, stage: str, kind: str, program: Any, traces: Any, data: Any) -> Any:
        """Add an optimisation step, and return the program that it writes."""
        step = step_kinds()[kind]
        inputs = {"program": program, "traces": traces} | {name: data[name] for name in ("train", "val", "config")}
        return self.add(step.load_component(), stage, step.title, uses_model=True, **inputs).outputs["optimised"]

    def add_chain(self, strategy: Strategy, data: Any) -> Any:
        """Add one task that runs every step of a strategy, and return the best program by validation."""
        inputs = {name: data[name] for name in ("program", "train", "val", "config")}
        task = optimise(**inputs, strategy=format_strategy(strategy))
        self.reports.append(task.outputs["Output"])
        self.configure(task, f"{format_strategy(strategy)} in one pod", uses_model=True)
        return task.outputs["selected"]

    def configure(self, task: Any, display_name: str, uses_model: bool = False) -> None:
        """Name the task, and give its pod what the profile says, the run's id and the strategy."""
        task.set_display_name(display_name)
        if task.pipeline_spec is not None:  # kfp 2.17: the task is a pipeline, whose own tasks are configured
            return
        apply_profile(task, self._profile, uses_model)
        # Pods read these from their own labels: a run id among the inputs would make every task miss the cache.
        kubernetes.add_pod_label(task, STRATEGY_LABEL, self._strategy)
        for name, label in (("KFP_RUN_ID", "pipeline/runid"), ("BT_STRATEGY", STRATEGY_LABEL)):
            kubernetes.use_field_path_as_env(task, env_name=name, field_path=f"metadata.labels['{label}']")


def add_steps(tasks: Tasks, strategy: Strategy, data: Any) -> Any:
    """Add every step of a strategy, and return the best program by validation."""
    if tasks.fuse:
        return tasks.add_chain(strategy, data)
    program = best = data["program"]
    for number, kind in enumerate(strategy, start=1):
        traces = tasks.add_bootstrap(f"{number}.bootstrap", program, data)
        program = tasks.add_step(f"{number}.{kind}", kind, program, traces, data)
        rivals = {"incumbent": best, "challenger": program, "config": data["config"]}
        best = tasks.add(select_program, f"{number}.select", "best so far", **rivals).outputs["selected"]
    return best

"""The tasks of the pipeline that is being built, each with its label, its inputs and the settings of its pod."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from kfp import kubernetes

from bt_components.bootstrap_traces.component import bootstrap_traces
from bt_components.evaluate.component import evaluate
from bt_components.optimise.component import optimise
from bt_core.config import step_kinds
from bt_core.strategy import Strategy, format_strategy
from bt_pipelines.pods.apply import apply_profile
from bt_pipelines.pods.profile import Profile
from bt_pipelines.shards import sharded_bootstrap, sharded_evaluation

#: The name of every pipeline's specification. Kubeflow's cache serves tasks of one such name only, so that a strategy,
#: a longer one and a sweep share what they have in common; what else tells tasks apart is in their inputs.
PIPELINE = "better-together"
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

    def add_prepared(self, task: Any) -> Any:
        """Configure a task of `prepare_data`, and return its outputs: the `data` of the methods below."""
        self.configure(task, "prepare data")
        task.set_caching_options(not self._profile.fresh_data)
        return task.outputs

    def add(self, component: Callable[..., Any], stage: str, display_name: str, **inputs: Any) -> Any:
        """Add the task of a stage that loads the model, and return it.

        Args:
            component: the component of the stage.
            stage: the stage's own label, `1.p`, which is part of what Kubeflow's cache knows the task by.
            display_name: what a person reads; its first word is unique in the pipeline.
            inputs: the other inputs of the component.
        """
        task = component(**inputs, stage=stage)
        self.configure(task, display_name, uses_model=True)
        return task

    def add_bootstrap(self, number: int, position: str, program: Any, data: Any) -> Any:
        """Add the task that runs a program on the train split, and return its traces.

        Args:
            number: the number of the step that learns from the traces, from 1.
            position: the stage's name in the pipeline, `1.bootstrap`.
            program: the artifact of the program.
            data: the outputs of `add_prepared`.
        """
        inputs = {"program": program, "rows": data["rows"]}
        return self.add(self._bootstrap, f"{number}.bootstrap", f"{position} traces", **inputs).outputs["traces"]

    def add_step(self, number: int, kind: str, position: str, program: Any, traces: Any) -> Any:
        """Add an optimisation step, and return the program that it writes; arguments as of `add_bootstrap`."""
        step = step_kinds()[kind]
        inputs = {"program": program, "traces": traces}
        task = self.add(step.load_component(), f"{number}.{kind}", f"{position} {step.title}", **inputs)
        return task.outputs["optimised"]

    def add_evaluation(self, program: Any, data: Any) -> None:
        """Add the stage that scores the vanilla and the best program on the test split, and sums up the run."""
        inputs = {"program": program, "test": data["test"]}
        if self._profile.shards > 1:
            inputs["vanilla"] = data["program"]
        evaluated = self.add(self._evaluate, "evaluate", "evaluate on the test split", **inputs)
        evaluated.set_caching_options(False)  # every run scores on the test split itself

    def add_chain(self, strategy: Strategy, data: Any) -> Any:
        """Add one task that runs every step of a strategy, and return the program that it writes."""
        inputs = {name: data[name] for name in ("program", "rows")}
        task = optimise(**inputs, strategy=format_strategy(strategy))
        self.configure(task, f"{format_strategy(strategy)} in one pod", uses_model=True)
        return task.outputs["optimised"]

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
    """Add every step of a strategy, and return the last program, beside which lies the best one by validation."""
    if tasks.fuse:
        return tasks.add_chain(strategy, data)
    program = data["program"]
    for number, kind in enumerate(strategy, start=1):
        traces = tasks.add_bootstrap(number, f"{number}.bootstrap", program, data)
        program = tasks.add_step(number, kind, f"{number}.{kind}", program, traces)
    return program

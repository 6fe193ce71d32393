"""One strategy as a pipeline, unrolled while it is compiled.

    prepare -> per step k: bootstrap -> optimise (p or w) -> select -> ... -> evaluate -> register

A step continues from the program of the step before it; `select` keeps the best program so far, and that one is
evaluated and shipped.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from kfp import dsl, kubernetes

from bt_core.errors import ConfigError
from bt_core.strategy import Strategy, format_strategy, strategy_slug
from components.bootstrap_traces.component import bootstrap_traces
from components.evaluate.component import evaluate
from components.lora_finetune.component import lora_finetune
from components.prepare_data.component import prepare_data
from components.prompt_search.component import prompt_search
from components.register.component import register
from components.select_program.component import select_program

#: Step kind -> (component, what a person reads beside the stage label). A new optimiser is one line here.
OPTIMISERS: dict[str, tuple[Callable[..., Any], str]] = {
    "p": (prompt_search, "prompt search"),
    "w": (lora_finetune, "LoRA fine-tuning"),
}

STRATEGY_LABEL = "bettertogether/strategy"


@dataclass(frozen=True)
class Options:
    """What is fixed when a pipeline is compiled, besides its strategy.

    Attributes:
        image: the container image of every task; empty for `components.images.IMAGE`.
        tracking_uri: MLflow's address, for clusters that do not set MLFLOW_TRACKING_URI themselves.
        gpus: NVIDIA GPUs for each task that loads the model; 0 for none.
        fresh_data: read the data again in every run, for scheduled runs over a file that changes.
    """

    image: str = ""
    tracking_uri: str = ""
    gpus: int = 0
    fresh_data: bool = False

    def __post_init__(self) -> None:
        if "@" in urlsplit(self.tracking_uri).netloc:
            raise ConfigError(
                "The tracking URI holds a user name or password, which anyone could read in the compiled file: leave "
                "them out, and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD from a secret of the cluster."
            )


DEFAULT_OPTIONS = Options()


def build(strategy: Strategy, options: Options = DEFAULT_OPTIONS) -> Any:
    """The pipeline of a strategy, ready to compile.

    Its parameters have sentinel defaults ("" and -1) that mean "the task's default", since a Kubeflow parameter
    cannot be None; `config` takes any other setting as JSON.
    """
    arrows = format_strategy(strategy)

    @dsl.pipeline(
        name=f"better-together-{strategy_slug(strategy)}",
        display_name=f"BetterTogether {arrows}",
        description=f"Optimises an LM program by the strategy {arrows} (p: prompts, w: weights) and tests it once.",
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
        prepared = prepare_data(task=task, seed=seed, model=model, data=data, rows=rows, config=config)
        Chain(prepared, strategy, options).unroll()

    return better_together


class Chain:
    """The tasks of one strategy while its pipeline is being built."""

    def __init__(self, prepared: Any, strategy: Strategy, options: Options) -> None:
        self._strategy = strategy
        self._options = options
        self._data = prepared.outputs
        self._reports = [prepared.outputs["report"]]
        self._place(prepared, "prepare data")
        prepared.set_caching_options(not options.fresh_data)

    def unroll(self) -> None:
        """Add every step, then the evaluation and the summary."""
        program = best = self._data["program"]
        for number, kind in enumerate(self._strategy, start=1):
            program = self._step(number, kind, program)
            best = self._add(
                select_program, f"{number}.select", "best so far", incumbent=best, challenger=program
            ).outputs["selected"]
        self._finish(best)

    def _step(self, number: int, kind: str, program: Any) -> Any:
        optimiser, title = OPTIMISERS[kind]
        train, val = self._data["train"], self._data["val"]
        traces = self._add(
            bootstrap_traces, f"{number}.bootstrap", "traces", uses_model=True, program=program, train=train
        ).outputs["traces"]
        optimised = self._add(
            optimiser, f"{number}.{kind}", title, uses_model=True, program=program, traces=traces, train=train, val=val
        )
        return optimised.outputs["optimised"]

    def _finish(self, best: Any) -> None:
        evaluated = self._add(
            evaluate,
            "evaluate",
            "on the test split",
            uses_model=True,
            vanilla=self._data["program"],
            program=best,
            test=self._data["test"],
        )
        evaluated.set_caching_options(False)  # every run looks at the test split itself
        summary = register(
            program=best,
            results=evaluated.outputs["results"],
            reports=self._reports,
            config=self._data["config"],
            strategy=format_strategy(self._strategy),
        )
        summary.set_caching_options(False)  # its reports hold wall times and run ids
        self._place(summary, "register result")

    def _add(
        self, component: Callable[..., Any], stage: str, title: str, uses_model: bool = False, **inputs: Any
    ) -> Any:
        task = component(**inputs, config=self._data["config"], stage=stage)
        self._reports.append(task.outputs["Output"])
        self._place(task, f"{stage} {title}")
        if uses_model and self._options.gpus:
            task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(self._options.gpus)
        return task

    def _place(self, task: Any, display_name: str) -> None:
        """Name the task and give it its surroundings: image, run id, strategy, MLflow."""
        task.set_display_name(display_name)
        if self._options.image:
            task.set_container_image(self._options.image)
        if self._options.tracking_uri:
            task.set_env_variable("MLFLOW_TRACKING_URI", self._options.tracking_uri)
        # As environment, read off the pod: among the inputs, a run id would miss the cache at every step.
        kubernetes.add_pod_label(task, STRATEGY_LABEL, strategy_slug(self._strategy))
        for name, label in (("KFP_RUN_ID", "pipeline/runid"), ("BT_STRATEGY", STRATEGY_LABEL)):
            kubernetes.use_field_path_as_env(task, env_name=name, field_path=f"metadata.labels['{label}']")

"""One strategy as a pipeline, unrolled while it is compiled.

    prepare -> per step k: bootstrap -> optimise -> ... -> evaluate

A step starts from the program of the step before it, and keeps the best program so far by validation beside its own.
The best one after the last step is evaluated and shipped.
"""

from dataclasses import dataclass
from typing import Any

from kfp import dsl

from bt_components.prepare_data.component import prepare_data
from bt_core.errors import ConfigError
from bt_core.strategy import Strategy, format_strategy, strategy_slug
from bt_core.trust.credentials import has_credentials
from bt_pipelines.pods.apply import pipeline_config
from bt_pipelines.pods.profile import MOST_SHARDS, Profile
from bt_pipelines.tasks import PIPELINE, Tasks, add_steps, legend


@dataclass(frozen=True)
class Options:
    """What is fixed when a pipeline is compiled, besides its strategy.

    Attributes:
        image: the container image of every task; empty: that of the profile, else `bt_runtime.images.IMAGE`.
        tracking_uri: MLflow's address, for clusters that do not set MLFLOW_TRACKING_URI themselves.
        gpus: accelerators of each task that loads the model; 0: as many as the profile says.
        fresh_data: read the data again in every run, for scheduled runs over a file that changes.
        profile: what the pods ask of the cluster; the other options win over it. None: they ask for nothing.
        fuse: run all steps of a strategy in one pod, which loads the model once.
        shards: pods that share the rows of a bootstrap or of the evaluation; 0: as many as the profile says, else 1.

    Raises:
        ConfigError: when options contradict each other, or the tracking URI holds a password.
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
        if has_credentials(self.tracking_uri):
            raise ConfigError(
                "The tracking URI holds a user name or password, which anyone could read in the compiled file: leave "
                "them out, and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD from a secret of the cluster."
            )

    @property
    def whole_profile(self) -> Profile:
        """The profile after the other options were applied to it."""
        profile = self.profile or Profile(component_defaults=False)
        return profile.with_options(self.image, self.tracking_uri, self.gpus, self.fresh_data, self.shards, self.fuse)

    @property
    def suffix(self) -> str:
        """What a description adds to a strategy whose steps share a pod."""
        return " in one pod" if self.whole_profile.fuse else ""


DEFAULT_OPTIONS = Options()


def build(strategy: Strategy, options: Options = DEFAULT_OPTIONS) -> Any:
    """The pipeline of a strategy, ready to compile.

    Its parameters default to "" and -1, which stand for "the task's default", since a Kubeflow parameter cannot be
    None; `config` takes any other setting as JSON.
    """
    arrows = format_strategy(strategy)
    tasks = Tasks(strategy_slug(strategy), options.whole_profile)

    @dsl.pipeline(
        name=PIPELINE,
        pipeline_config=pipeline_config(options.whole_profile),
        display_name=f"BetterTogether {arrows}",
        description=f"Optimises an LM program by the strategy {arrows} ({legend([strategy])}){options.suffix} "
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
        prepared = prepare_data(
            task=task,
            seed=seed,
            data_seed=seed,
            model=model,
            data=data,
            train_rows=train_rows,
            val_rows=val_rows,
            test_rows=test_rows,
            config=config,
        )
        outputs = tasks.add_prepared(prepared)
        tasks.add_evaluation(add_steps(tasks, strategy, outputs), outputs)

    return better_together

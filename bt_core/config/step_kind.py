"""What a step kind is: all that the project knows of one kind of optimisation step, in one object."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from bt_core.config.section import Section
from bt_core.errors import ConfigError, first_line
from bt_core.records import StageReport


@dataclass(frozen=True)
class StepKind:
    """One kind of optimisation step, such as `p`.

    A built-in kind is registered by the field of `bt_core.config.Config` that holds its settings. A kind of another
    installed package is registered by an entry point of the group `bt_steps`: its name is what a strategy says, its
    value is the import path of a `StepKind`. Pods run the step too, so that their image needs the package.

    Attributes:
        title: what a person reads beside the label of the stage, such as "prompt search".
        description: what the step does, for help and error texts, without a full stop.
        settings: the section of its settings, which has the name of the kind in the configuration (`p.candidates`);
            every setting has a default.
        stage: import path `module:function` of the stage function. It takes the paths `program`, `traces`, `train` and
            `val`, the configuration `config`, the label `stage`, the path `optimised` and an `engine` or None; it
            writes the program directory `optimised`, with the step in the lineage, and returns a `StageReport` whose
            metrics hold `val/score` and `val/score_before`. The same inputs must give the same bytes.
        component: import path `module:function` of the Kubeflow component around the stage function, which takes the
            artifacts `program` and `traces` and the text `stage`, and returns the report and the artifact `optimised`;
            `bt_runtime.strategy_tasks.run_step` is its body. A metadata.yaml beside its module may hold the `resources`
            of its pods.
        trains: whether the step tunes weights. Its stage function then takes `remote` as well, which trains elsewhere
            where it is not None, and a sweep counts its strategies among those that tune weights.
    """

    title: str
    description: str
    settings: type[Section]
    stage: str
    component: str
    trains: bool = False

    def load_stage(self) -> Callable[..., StageReport]:
        """Import the stage function, which may load heavy libraries.

        Raises:
            ConfigError: when its import path leads nowhere.
        """
        return self._load("stage function", self.stage)

    def load_component(self) -> Callable[..., Any]:
        """Import the component, which loads Kubeflow's SDK.

        Raises:
            ConfigError: when its import path leads nowhere.
        """
        return self._load("component", self.component)

    def _load(self, what: str, path: str) -> Callable[..., Any]:
        module, _, attribute = path.partition(":")
        try:
            function: Callable[..., Any] = getattr(import_module(module), attribute)
        except Exception as error:  # a module of another package may raise anything
            raise ConfigError(
                f'The {what} `{path}` of the step kind "{self.title}" cannot be imported ({type(error).__name__}:'
                f" {first_line(error)}): correct the import path or the module that it names."
            ) from None
        return function

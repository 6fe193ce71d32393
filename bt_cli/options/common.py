"""Options that several commands take, and how those of a sweep are read."""

from pathlib import Path
from typing import Annotated, Any

import typer

from bt_core.config import SEED_LIMIT, built_in_kinds
from bt_core.errors import ConfigError
from bt_core.steps.sweep.tree import DEFAULT_SEEDS as SEEDS
from bt_core.steps.sweep.tree import DEFAULT_STRATEGIES as PAPER
from bt_core.steps.sweep.tree import check_sweep
from bt_core.strategy import Strategy as Steps
from bt_core.strategy import format_strategy, parse_strategy
from bt_pipelines.pods.profile import MOST_SHARDS

#: What `bt run` and `bt sweep` run when no task is named.
DEFAULT_TASK = "continents"

#: Headings in `--help`; options without one come first, under Options.
DATA = "Model and data"
TRACKING = "Tracking, cache and output"
CLUSTER = "The compiled pipeline"

_KINDS = "; ".join(f"{name}: {kind.description}" for name, kind in built_in_kinds().items())
_KINDS += ". Step kinds of other installed packages work too."
_TASK_HELP = "A built-in task (see bt tasks), module:attribute, or a YAML file that declares one."
_STRATEGIES = typer.Option(
    metavar="LIST", help='Strategies separated by ";", such as "p; p -> w" (bt run --help lists the steps).'
)


def _rows(split: str) -> Any:
    return typer.Option(
        min=1, metavar="N", help=f"Rows of the {split} split.", show_default="the task's own", rich_help_panel=DATA
    )


Strategy = Annotated[str, typer.Option(metavar="STEPS", help=f'Steps joined by "->". {_KINDS}')]
OptionalStrategy = Annotated[
    str | None, typer.Option(metavar="STEPS", help='Steps joined by "->" (bt run --help lists them).')
]
Task = Annotated[str | None, typer.Option(metavar="TASK", help=_TASK_HELP, show_default=DEFAULT_TASK)]
#: The task of a pipeline to compile, which may be left out.
PipelineTask = Annotated[
    str | None,
    typer.Option(metavar="TASK", help=_TASK_HELP, show_default="named by the argument `task` of every run"),
]
#: The task of a finished program, which names one itself.
ProgramTask = Annotated[
    str | None,
    typer.Option(
        metavar="TASK",
        help="The program's task, where it is your own: module:attribute, or the YAML file that declares it.",
        show_default="the program's, where it is a built-in one",
    ),
]
Seed = Annotated[
    int | None, typer.Option(min=0, metavar="N", help="Seed of the splits and of all random draws.", show_default="0")
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Settings as YAML or JSON, or the name of a configuration of the task (paper); options override it.",
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="A setting of docs/configuration.md, such as w.epochs=5; repeatable."
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="A local or s3:// folder of safetensors, or a Hugging Face id.",
        show_default="SmolLM2-135M-Instruct, embedded",
        rich_help_panel=DATA,
    ),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="PROGRAM",
        help="Start from a finished program (a directory or s3://bucket/prefix) instead of the task's own prompts.",
        rich_help_panel=DATA,
    ),
]
Program = Annotated[
    str,
    typer.Argument(metavar="PROGRAM", help="A program directory that a run wrote, or a bundle: s3://bucket/prefix."),
]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Rows as JSONL, CSV or Parquet: a file, a folder with train, val and test, s3://bucket/key, hub:ID,"
        " or mlflow:NAME.",
        show_default="the task's own",
        rich_help_panel=DATA,
    ),
]
TrainRows = Annotated[int | None, _rows("train")]
ValRows = Annotated[int | None, _rows("validation")]
TestRows = Annotated[int | None, _rows("sealed test")]
Shards = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST_SHARDS,
        metavar="N",
        help="Pods that share the rows of each bootstrap and of the evaluation (docs/shards.md); on this machine they"
        " run one after another.",
        show_default="1, or the profile's",
        rich_help_panel=CLUSTER,
    ),
]
Fuse = Annotated[
    bool,
    typer.Option(
        "--fuse",
        help="Run all steps in one pod, which loads the model once (docs/kubeflow.md).",
        rich_help_panel=CLUSTER,
    ),
]
TrackingUri = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="An MLflow server.",
        show_default="$MLFLOW_TRACKING_URI, or mlflow.db beside the run's folder",
        rich_help_panel=TRACKING,
    ),
]
Cache = Annotated[
    bool,
    typer.Option(
        "--cache/--no-cache",
        help="Reuse LM answers and adapters of earlier runs. They are kept in .bt-cache beside the run's folder, or in"
        " the folder that BT_RESPONSE_CACHE names.",
        rich_help_panel=TRACKING,
    ),
]
RunOut = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="A new folder.", show_default="runs/TASK-STRATEGY-SEED-TIME"),
]
ResultJson = Annotated[
    bool,
    typer.Option("--json", help="Print result.json, and nothing else, on stdout.", rich_help_panel=TRACKING),
]
SweepJson = Annotated[
    bool,
    typer.Option("--json", help="Print sweep.json, and nothing else, on stdout.", rich_help_panel=TRACKING),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Strategies = Annotated[str, _STRATEGIES]
Seeds = Annotated[
    str, typer.Option(metavar="LIST", help="Seeds separated by commas; the splits are the same for all of them.")
]
#: The defaults of `Strategies` and `Seeds`, as a person writes them.
DEFAULT_STRATEGIES = "; ".join(map(format_strategy, PAPER))
DEFAULT_SEEDS = ",".join(map(str, SEEDS))


def split_sizes(train: int | None, val: int | None, test: int | None) -> dict[str, int | None]:
    """The values of `TrainRows`, `ValRows` and `TestRows` by their settings."""
    return {"rows.train": train, "rows.val": val, "rows.test": test}


def parse_sweep(strategies: str, seeds: str) -> tuple[list[Steps], list[int]]:
    """Read `p; w; p -> w` and `0,1,2`.

    Raises:
        ConfigError: when a text is no strategy or no seed, one is named twice, or none is named.
    """
    arms = [parse_strategy(text.strip()) for text in strategies.split(";")] if strategies.strip() else []
    numbers = parse_seeds(seeds)
    check_sweep(arms, numbers)
    return arms, numbers


def parse_seeds(seeds: str) -> list[int]:
    """Read `0,1,2`.

    Raises:
        ConfigError: when a text is no seed.
    """
    wrong = [text for text in seeds.split(",") if seeds.strip() and not _is_seed(text.strip())]
    if wrong:
        raise ConfigError(
            f"`--seeds` takes whole numbers from 0 to 2^32 - 1, but was given {wrong[0]!r:.40}: write --seeds 0,1,2."
        )
    return [int(text) for text in seeds.split(",")] if seeds.strip() else []


def _is_seed(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= len(str(SEED_LIMIT)) and int(text) < SEED_LIMIT

"""`bt reproduce`: the paper's Table 1 for a model. One sweep for each task, the scores beside the paper's."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from bt_cli.options import cluster
from bt_cli.options import common as options
from bt_cli.options.settings import gather
from bt_cli.options.sweep import SweepRequest
from bt_cli.run_folder import RUNS, SweepFolder
from bt_cli.view.console import print_json, stderr, stdout
from bt_core.errors import ConfigError
from bt_core.strategy import Strategy, format_strategy

#: The tasks of Soylu, Potts, Khattab 2024 (arXiv 2407.10930), and the rows of its Table 1 besides vanilla.
PAPER_TASKS = ("hotpotqa", "gsm8k", "iris")
PAPER_ARMS: tuple[Strategy, ...] = tuple(tuple(arm) for arm in ("p", "w", "pp", "ww", "pw", "wp", "pwp"))
DEFAULT_TASKS = ",".join(PAPER_TASKS)
DEFAULT_STRATEGIES = "; ".join(map(format_strategy, PAPER_ARMS))
MARGIN = 0.05

Tasks = Annotated[str, typer.Option(metavar="LIST", help="The paper's tasks to run, separated by commas.")]
Size = Annotated[
    Literal["paper", "small"],
    typer.Option(help="The paper's sizes and settings, or small ones for the embedded model on two cores."),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="[TASK.]KEY=VALUE", help="A setting of every task, or of one: gsm8k.data=FILE."),
]
Out = Annotated[
    Path,
    typer.Option(metavar="DIR", help="Gets a folder for each task, and table1.md; the same command continues there."),
]
Table = Annotated[
    bool, typer.Option("--table", help="Only make the table of the sweep.json files in --out/TASK; run nothing.")
]
Compiled = Annotated[
    Path | None,
    typer.Option(
        "--compile",
        metavar="DIR",
        help="Only write a pipeline for each task, with --image, --gpus and --tracking-uri; run nothing.",
        rich_help_panel=options.CLUSTER,
    ),
]


def reproduce(
    tasks: Tasks = DEFAULT_TASKS,
    size: Size = "paper",
    strategies: options.Strategies = DEFAULT_STRATEGIES,
    seeds: options.Seeds = options.DEFAULT_SEEDS,
    assignments: Assignments = None,
    out: Out = RUNS / "reproduce",
    table: Table = False,
    as_json: options.Json = False,
    model: options.Model = None,
    tracking_uri: options.TrackingUri = None,
    cache: options.Cache = True,
    compiled: Compiled = None,
    image: cluster.Image = "",
    gpus: cluster.Gpus = 0,
) -> None:
    """Run the paper's Table 1 on a model, beside the paper's scores.

    Runs one sweep for each task. docs/reproduce.md says what data and hardware it takes.

    Examples:
      bt reproduce --size small --tasks iris --strategies "p; p -> w" --seeds 0
      bt reproduce --tasks gsm8k,iris --model ./llama-3-8b --set gsm8k.data=problems.jsonl
      bt reproduce --compile pipelines --image registry/bt-python:1 --gpus 1
    """
    _check_together(table, compiled, image, gpus)
    requests = {} if table else dict(_requests(_named(tasks), size, strategies, seeds, model, assignments or ()))
    if compiled is not None:
        _compile(requests, compiled, image, gpus, tracking_uri or "")
        return
    if not table:
        from bt_cli.local.sweep import execute_sweep

        for name, request in requests.items():
            stderr().print(f"{name}: {len(request.strategies)} strategies, seeds {seeds}", style="bold")
            execute_sweep(request, out / name, tracking_uri, cache)
    from bt_cli.view.paper_table import figures, markdown

    table1 = figures({name: SweepFolder(out / name).sweep for name in _named(tasks)})
    text = markdown(table1)
    (out / "table1.md").write_text(text, encoding="utf-8")
    if as_json:
        print_json(table1)
    else:
        stdout().print(text, markup=False)


def _check_together(table: bool, compiled: Path | None, image: str, gpus: int) -> None:
    """Refuse options of which one would be ignored.

    Raises:
        ConfigError: names them.
    """
    if table and compiled is not None:
        raise ConfigError("--table makes a table of finished sweeps and --compile prepares new ones: name one of them.")
    if (image or gpus) and compiled is None:
        raise ConfigError("--image and --gpus are for the pods of a cluster: give them together with --compile DIR.")


def _named(tasks: str) -> list[str]:
    """The names of the tasks.

    Raises:
        ConfigError: when one is not in the paper, or none is named.
    """
    names = list(dict.fromkeys(name.strip() for name in tasks.split(",") if name.strip()))
    strange = [name for name in names if name not in PAPER_TASKS]
    if strange or not names:
        what = f"`{strange[0]}` is no task of the paper" if strange else "no task is named"
        raise ConfigError(f"--tasks: {what}, which has {', '.join(PAPER_TASKS)}: name some of these.")
    return names


def _requests(
    names: Sequence[str], size: str, strategies: str, seeds: str, model: str | None, assignments: Sequence[str]
) -> Iterator[tuple[str, SweepRequest]]:
    """A sweep for each task, without the defaults of `bt sweep`, so that every weight step trains as in the paper."""
    arms, numbers = options.parse_sweep(strategies, seeds)
    for name in names:
        own = [text.removeprefix(f"{name}.") for text in assignments if _concerns(text, name)]
        settings = gather({"task": name, "model": model}, Path(size), own)
        yield name, SweepRequest(tuple(arms), tuple(numbers), settings, MARGIN)


def _concerns(assignment: str, task: str) -> bool:
    """Whether a setting applies to the task: it names that task, or no task at all."""
    owner = assignment.partition(".")[0]
    return owner == task or owner not in PAPER_TASKS


def _compile(requests: dict[str, SweepRequest], folder: Path, image: str, gpus: int, tracking_uri: str) -> None:
    from bt_pipelines.better_together import Options
    from bt_pipelines.compile import compile_sweep

    chosen = Options(image=image, tracking_uri=tracking_uri, gpus=gpus)
    for name, request in requests.items():
        path = compile_sweep(request.strategies, request.seeds, folder / f"{name}.yaml", chosen, request.parameters)
        stderr().print(f"Wrote the sweep of {name} to {path}.", markup=False)
    stderr().print(
        "When a sweep is done, put the sweep.json of its last task into runs/reproduce/TASK and run"
        " bt reproduce --table.",
        markup=False,
    )

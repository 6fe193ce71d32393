"""`bt sweep`: run every strategy under every seed as one pipeline on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from bt_cli.local.time_limit import at_most
from bt_cli.options import common as options
from bt_cli.options.settings import gather
from bt_cli.options.sweep import SWEEP_DEFAULTS, SweepRequest
from bt_cli.run_folder import default_extension_folder, default_sweep_folder
from bt_cli.view.console import print_json, stdout
from bt_core.errors import ConfigError
from bt_core.steps.sweep.choice import Choice

#: Parameters of the command that go together with --extend; the first look's arguments decide all others.
_EXTENDING = ("extend", "seeds", "test_rows", "out", "budget", "tracking_uri", "cache", "as_json")

Force = Annotated[
    bool, typer.Option("--force", help="Fine-tune even if sampling shows nothing to gain, or few traces pass.")
]
Margin = Annotated[float, typer.Option(metavar="SCORE", help="Gains in test score up to this do not count as better.")]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="A new folder, or the folder of a sweep that was stopped, which then goes on.",
        show_default="runs/TASK-sweep-TIME, or DIR-extended",
    ),
]
Budget = Annotated[
    float | None,
    typer.Option(metavar="MINUTES", help="Stop after this time; the same command and --out goes on."),
]
Looks = Annotated[
    int,
    typer.Option(
        min=1,
        max=2,
        metavar="N",
        help="Plan this many looks at the test rows: with 2, --extend may add rows or seeds once.",
    ),
]
Ship = Annotated[
    str, typer.Option(metavar="STRATEGY@SEED", help="Ship this program, whatever its scores.", show_default="the best")
]
MaxPromptTokens = Annotated[
    float,
    typer.Option(
        metavar="N",
        help="Ship the best program by validation that takes at most N prompt tokens a row.",
        show_default="any number",
    ),
]
Extend = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="The second look of the finished sweep in DIR, with more --seeds or --test-rows; all else is as there.",
    ),
]


def sweep(
    context: typer.Context,
    strategies: options.Strategies = options.DEFAULT_STRATEGIES,
    seeds: options.Seeds = options.DEFAULT_SEEDS,
    task: options.Task = None,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    out: Out = None,
    margin: Margin = 0.05,
    looks: Looks = 1,
    ship: Ship = "",
    max_prompt_tokens: MaxPromptTokens = 0.0,
    extend: Extend = None,
    force: Force = False,
    budget: Budget = None,
    model: options.Model = None,
    data: options.Data = None,
    train_rows: options.TrainRows = None,
    val_rows: options.ValRows = None,
    test_rows: options.TestRows = None,
    tracking_uri: options.TrackingUri = None,
    cache: options.Cache = True,
    as_json: options.SweepJson = False,
) -> None:
    """Compare strategies under several seeds: was fine-tuning worth it?

    Steps that strategies share run once. The same command with the same --out goes on where a sweep was stopped.

    Examples:
      bt sweep
      bt sweep --task iris --strategies "p; w; p -> w" --seeds 0,1 --out runs/iris
      bt sweep --max-prompt-tokens 100
      bt sweep --looks 2 --test-rows 150 --out runs/first
      bt sweep --extend runs/first --test-rows 600
    """
    if extend:
        request = _second_look(context, extend, seeds, test_rows)
        folder = out or default_extension_folder(extend)
    else:
        arms, numbers = options.parse_sweep(strategies, seeds)
        rows = options.split_sizes(train_rows, val_rows, test_rows)
        given = {"task": task, "model": model, "data": data, "w.force": force or None, **rows}
        settings = gather(given, config, assignments, options.DEFAULT_TASK, SWEEP_DEFAULTS)
        request = SweepRequest(tuple(arms), tuple(numbers), settings, margin, looks, Choice(max_prompt_tokens, ship))
        folder = out or default_sweep_folder(settings.config)
    _run(request, folder, budget, tracking_uri, cache, as_json)


def _second_look(context: typer.Context, first: Path, seeds: str, test_rows: int | None) -> SweepRequest:
    """The request of --extend.

    Raises:
        ConfigError: when another option is given that the first look has decided, or the sweep cannot be extended so.
    """
    from bt_cli.options.sweep_extension import extended

    sources = {option: context.get_parameter_source(option.name or "") for option in context.command.params}
    given = {
        option.name: option.opts[0] for option, source in sources.items() if source and source.name == "COMMANDLINE"
    }
    decided = [name for parameter, name in given.items() if parameter not in _EXTENDING]
    if decided:
        raise ConfigError(
            f"--extend takes everything but --seeds and --test-rows from the sweep in {first}: leave out {decided[0]}."
        )
    return extended(first, options.parse_seeds(seeds) if "seeds" in given else None, test_rows)


def _run(
    request: SweepRequest, folder: Path, budget: float | None, tracking_uri: str | None, cache: bool, as_json: bool
) -> None:
    from bt_cli.local.sweep import execute_sweep
    from bt_cli.view.leaderboard import print_leaderboard

    with at_most(budget):
        done, content = execute_sweep(request, folder, tracking_uri, cache)
    if as_json:
        print_json(content.content())
    else:
        print_leaderboard(stdout(), content, done)

"""`bt run`: compile a strategy and run the compiled pipeline file on this machine."""

from bt_cli.new_folder import new_folder
from bt_cli.options import common as options
from bt_cli.options.settings import gather
from bt_cli.run_folder import default_folder
from bt_cli.view.console import print_json, stdout
from bt_core.records import canonical_json
from bt_core.strategy import format_strategy, parse_strategy
from bt_core.task import is_built_in


def run(
    task: options.Task = None,
    strategy: options.Strategy = "p -> w -> p",
    seed: options.Seed = None,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    out: options.RunOut = None,
    model: options.Model = None,
    data: options.Data = None,
    train_rows: options.TrainRows = None,
    val_rows: options.ValRows = None,
    test_rows: options.TestRows = None,
    start: options.From = None,
    shards: options.Shards = None,
    fuse: options.Fuse = False,
    tracking_uri: options.TrackingUri = None,
    cache: options.Cache = True,
    as_json: options.ResultJson = False,
) -> None:
    """Optimise a program by a strategy, then test it once.

    On sealed rows, the test compares it with the program that the run started from (the vanilla program).

    Examples:
      bt run
      bt run --task iris --strategy "p -> w" --seed 1 --set w.epochs=5
      bt run --task triage:task --data tickets.jsonl --out runs/triage
      bt run --from s3://models/triage/1 --task triage:task --data newer.jsonl --strategy p
    """
    steps = parse_strategy(strategy)
    rows = options.split_sizes(train_rows, val_rows, test_rows)
    given = {"task": task, "seed": seed, "start": start, "model": model, "data": data, **rows}
    made_for = _task_of(start) if start else options.DEFAULT_TASK
    settings = gather(given, config, assignments, made_for if is_built_in(made_for) else "")
    if start and not settings.config.task:
        from bt_core.bundle.made_task import not_named

        raise not_named(made_for, start)
    form = {"strategy": format_strategy(steps), "shards": shards or 0, "fuse": fuse}
    wanted = canonical_json({**form, "parameters": settings.parameters})
    with new_folder(out, default_folder(settings.config, steps), wanted) as folder:
        from bt_cli.local.run import execute, tracking_server
        from bt_cli.view.summary import print_summary

        result = execute(steps, settings, folder, tracking_uri, cache, shards=shards or 0, fuse=fuse)
        if as_json:
            print_json(result.content())
        else:
            print_summary(stdout(), result, folder, tracking_server(tracking_uri), settings.task)


def _task_of(program: str) -> str:
    """The task that a finished program names."""
    from bt_core.bundle import fetch
    from bt_core.program import read_program

    return read_program(fetch(program), verify=False).task

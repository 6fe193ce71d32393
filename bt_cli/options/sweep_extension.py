"""The request for the second look of a sweep that was planned with two, from the folder of the first one."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from bt_cli.options.settings import RunSettings
from bt_cli.options.sweep import FirstLook, SweepRequest
from bt_cli.options.sweep_arguments import SweepArguments
from bt_cli.run_folder import SweepFolder
from bt_core.config import merge, resolve_config
from bt_core.errors import ConfigError
from bt_core.formats.sweep import PlannedLook, Sweep
from bt_core.steps.sweep.choice import Choice
from bt_core.strategy import parse_strategy

_FRESH = "test on rows that no look has seen (docs/sweep.md)"


def extended(path: Path, seeds: Sequence[int] | None, test_rows: int | None) -> SweepRequest:
    """The second look: the same arms, settings and margin under all seeds and on all test rows of the first, and more.

    Args:
        path: the folder of the first look.
        seeds: all seeds of the second look; None: those of the first.
        test_rows: number of all test rows of the second look; None: as in the first.

    Raises:
        ConfigError: when the folder's sweep is not finished or plans no second look, or the extension leaves out seeds
            or rows, or adds nothing.
        DataError: when its sweep.json cannot be read.
    """
    folder = SweepFolder(path.resolve())
    if not folder.sweep.is_file():
        raise ConfigError(
            f"--extend {path} holds no finished sweep ({folder.sweep.name}): finish it with the command that began it,"
            " or name another folder."
        )
    first = Sweep.read(folder.sweep)
    _check_plan(path, first.look)
    arguments = SweepArguments.read(folder.arguments, "name the folder that `bt sweep` wrote")
    rows = first.rows.test if test_rows is None else test_rows
    more = [seed for seed in seeds or () if seed not in first.seeds]
    _check_growth(path, first, set(first.seeds if seeds is None else seeds), rows)
    return SweepRequest(
        tuple(parse_strategy(arm.name) for arm in first.arms),
        (*first.seeds, *more),  # the first seed draws the splits
        _settings(arguments, None if test_rows is None else rows),
        first.margin,
        first.look.planned,
        choice_of(arguments),
        FirstLook(folder, f"{arguments.command} --out {shlex.quote(folder.path.name)}"),
    )


def _check_plan(path: Path, look: PlannedLook) -> None:
    if look.planned == 1:
        raise ConfigError(
            f"The sweep in {path} was planned with one look (without `--looks 2`), and a second one would make more"
            f" false claims than its level says: {_FRESH}."
        )
    if look.number == look.planned:
        raise ConfigError(f"The sweep in {path} is the second and last look of its plan already: {_FRESH}.")


def _check_growth(path: Path, first: Sweep, seeds: set[int], rows: int) -> None:
    lost = [seed for seed in first.seeds if seed not in seeds]
    if lost:
        every = ",".join(map(str, first.seeds))
        raise ConfigError(f"--seeds leaves out seed {lost[0]} of the sweep in {path}: name all of {every}, and more.")
    if rows < first.rows.test:
        raise ConfigError(
            f"--test-rows {rows} is fewer than the {first.rows.test} of the sweep in {path}: name a larger number."
        )
    if rows == first.rows.test and len(seeds) == len(first.seeds):
        raise ConfigError(f"Nothing is added to the sweep in {path}: give more with --test-rows or --seeds.")


def choice_of(arguments: SweepArguments) -> Choice:
    """The first look's rule for the program to ship.

    Raises:
        ConfigError: when the arguments hold none.
    """
    most = arguments.parameters.get("max_prompt_tokens", 0.0)
    if not isinstance(most, int | float):
        raise ConfigError(f"The sweep to extend was started with `max_prompt_tokens` {most!r}, which is no number.")
    return Choice(float(most), str(arguments.parameters.get("ship", "")))


def _settings(arguments: SweepArguments, test_rows: int | None) -> RunSettings:
    """The first look's settings, with the new number of test rows if there is one."""
    rows = {} if test_rows is None else {"rows": {"test": test_rows}}
    config = resolve_config(merge(arguments.settings, rows))
    return RunSettings(config, config.model_dump(mode="json", exclude_unset=True))

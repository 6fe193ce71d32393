"""`bt report`: the report of a finished sweep, written again."""

from pathlib import Path
from typing import Annotated

import typer

from bt_cli.run_folder import SweepFolder
from bt_cli.view.console import stdout
from bt_cli.view.summary import short
from bt_core.errors import ConfigError


def report(
    sweep: Annotated[Path, typer.Argument(metavar="SWEEP_DIR", help="The folder of a finished sweep.")],
) -> None:
    """Write the report of a finished sweep again.

    Writes report.html and report.md from the folder's sweep.json, which may also come from a cluster.

    Example: bt report runs/my-sweep
    """
    folder = SweepFolder(sweep)
    if not folder.sweep.is_file():
        raise ConfigError(
            f"{sweep} holds no finished sweep ({folder.sweep.name}): name the folder of one (`bt sweep`)."
        )
    from bt_runtime.sweep_tasks import publish

    publish(folder.sweep, folder.html, folder.markdown)
    for path in (folder.html, folder.markdown):
        stdout().print(short(path), markup=False)

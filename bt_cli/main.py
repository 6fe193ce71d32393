"""The `bt` command itself: registers the commands and turns our errors into a sentence and an exit status."""

import signal
import sys
from importlib.metadata import version
from types import FrameType
from typing import Annotated

import typer

from bt_cli.check import check
from bt_cli.compare import compare
from bt_cli.compile import compile_command
from bt_cli.estimate import estimate
from bt_cli.init import init
from bt_cli.predict import predict
from bt_cli.publish import publish
from bt_cli.report import report
from bt_cli.reproduce import reproduce
from bt_cli.retrain import retrain
from bt_cli.rollback import rollback
from bt_cli.run import run
from bt_cli.runs import runs
from bt_cli.schedule import schedule
from bt_cli.show import show
from bt_cli.submit import submit
from bt_cli.sweep import sweep
from bt_cli.tasks import tasks
from bt_cli.ui import mlflow, open_runs
from bt_cli.upload import upload
from bt_core.errors import BtError

app = typer.Typer(
    name="bt",
    help="Optimise an LM program's prompts and weights together: strategies as Kubeflow pipelines, runs in MLflow.",
    epilog='Start with: bt run --task continents --strategy "p -> w -> p"',
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run)
app.command("sweep")(sweep)
app.command("reproduce")(reproduce)
app.command("retrain")(retrain)
app.command("rollback")(rollback)
app.command("compile")(compile_command)
app.command("upload")(upload)
app.command("submit")(submit)
app.command("schedule")(schedule)
app.command("runs")(runs)
app.command("init")(init)
app.command("check")(check)
app.command("estimate")(estimate)
app.command("tasks")(tasks)
app.command("show")(show)
app.command("predict")(predict)
app.command("publish")(publish)
app.command("report")(report)
app.command("compare")(compare)
app.command("mlflow")(mlflow)
app.command("open")(open_runs)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"bt {version('bettertogether-kfp')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _end(number: int, _: FrameType | None) -> None:
    """Leave as after Ctrl-C, so that what a command started ends with it."""
    raise SystemExit(128 + number)


def main() -> None:
    """Run `bt`; an error that a person can meet is one sentence on stderr, exit status 2 (theirs) or 1."""
    signal.signal(signal.SIGTERM, _end)
    try:
        app(prog_name="bt")
    except BtError as error:
        print(f"bt: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(error.exit_status) from None

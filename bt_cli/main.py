"""The `bt` command itself: register the commands, and turn our errors into a sentence and an exit status."""

import atexit
import gc
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer

from bt_cli.commands.cancel import cancel
from bt_cli.commands.check import check
from bt_cli.commands.compare import compare
from bt_cli.commands.compile import compile_command
from bt_cli.commands.estimate import estimate
from bt_cli.commands.export import export
from bt_cli.commands.init import init
from bt_cli.commands.logs import logs
from bt_cli.commands.mlflow import mlflow
from bt_cli.commands.open import open_runs
from bt_cli.commands.predict import predict
from bt_cli.commands.publish import publish
from bt_cli.commands.report import report
from bt_cli.commands.reproduce import reproduce
from bt_cli.commands.retrain import retrain
from bt_cli.commands.rollback import rollback
from bt_cli.commands.run import run
from bt_cli.commands.runs import runs
from bt_cli.commands.schedule import schedule
from bt_cli.commands.show import show
from bt_cli.commands.submit import submit
from bt_cli.commands.sweep import sweep
from bt_cli.commands.tasks import tasks
from bt_cli.commands.upload import upload
from bt_cli.stopping import ended_by_signals
from bt_core.errors import BtError, UserError, WorldError, disk_error
from bt_core.trust.shown_text import visible

app = typer.Typer(
    name="bt",
    help="Optimise an LM program's prompts and weights together: strategies as Kubeflow pipelines, runs in MLflow.",
    epilog='Start with: bt run --task continents --strategy "p -> w -> p"',
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
#: Errors of the file system that the user mends by giving another path.
_WRONG_PATHS = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
#: Every command, under the heading that it has in `bt --help`.
COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    "Optimise, on this machine": {
        "run": run,
        "sweep": sweep,
        "retrain": retrain,
        "rollback": rollback,
        "reproduce": reproduce,
    },
    "Your own task": {"init": init, "check": check, "estimate": estimate, "tasks": tasks},
    "Results": {
        "show": show,
        "predict": predict,
        "compare": compare,
        "report": report,
        "publish": publish,
        "export": export,
        "mlflow": mlflow,
        "open": open_runs,
    },
    "On Kubeflow": {
        "compile": compile_command,
        "upload": upload,
        "submit": submit,
        "schedule": schedule,
        "runs": runs,
        "logs": logs,
        "cancel": cancel,
    },
}
for heading, commands in COMMANDS.items():
    for name, command in commands.items():
        app.command(name, rich_help_panel=heading)(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"bt {version('bettertogether-kfp')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run `bt`. Our own errors end it with one sentence on stderr and exit status 2 (the user's error) or 1."""
    atexit.register(gc.freeze)  # spares Python a last search for garbage in all imported modules
    try:
        with ended_by_signals():
            app(prog_name="bt")
    except BtError as error:
        _leave(error)
    except OSError as error:
        if full := disk_error(error):
            _leave(full)
        if error.filename is None:
            raise
        kind = UserError if isinstance(error, _WRONG_PATHS) else WorldError
        _leave(kind(f"{error.filename} cannot be read or written ({error.strerror}): check the path."))


def _leave(error: BtError) -> NoReturn:
    print(f"bt: {visible(' '.join(str(error).split()))}", file=sys.stderr)
    raise SystemExit(error.exit_status) from None

"""`bt export`: write a finished program as a folder that answers without this project."""

from pathlib import Path
from typing import Annotated

import typer

from bt_cli.options import common as options
from bt_cli.options.settings import gather
from bt_cli.process_setup import quieten_libraries
from bt_cli.view.console import print_json, stdout

BaseModel = Annotated[
    str | None,
    typer.Option(
        "--base-model",
        metavar="ORG/NAME@REVISION",
        help="The base model on the Hugging Face hub; needed where the program's is a folder.",
        show_default="the one that the program names",
    ),
]
Result = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="The result.json with the test score.", show_default="the one beside the program"
    ),
]
WithBase = Annotated[bool, typer.Option("--with-base", help="Put the base model's files into the folder too.")]
KServe = Annotated[
    str,
    typer.Option(
        metavar="S3",
        help="Also write a manifest for KServe, whose adapters are to lie under s3://bucket/prefix.",
        show_default="none is written",
    ),
]


def export(
    program: options.Program,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write, which must be new or empty.")],
    base_model: BaseModel = None,
    result: Result = None,
    with_base: WithBase = False,
    kserve: KServe = "",
    task: options.ProgramTask = None,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    as_json: options.Json = False,
) -> None:
    """Write a program as a folder that answers without this project.

    It holds DSPy's state, the adapters in PEFT's format, the program's source, and serve.py, which answers as
    bt predict does, with DSPy and transformers or vLLM alone. The folder's README.md has the commands.
    A task of your own is named again, since no code is imported only because a program names it.

    Examples:
      bt export runs/my-run/program ./triage
      bt export runs/my-run/program ./triage --base-model acme/small-model@main --kserve s3://models/triage/1
    """
    quieten_libraries()
    from bt_core.bundle import fetch
    from bt_core.export import Wishes
    from bt_core.export import export as write
    from bt_core.models.published import parse_hub_model

    settings = gather({"task": task}, config, assignments)
    base = parse_hub_model(base_model) if base_model else None
    names = write(fetch(program), folder, Wishes(base, result, with_base, kserve), settings.overrides)
    if as_json:
        print_json({"folder": str(folder), "files": names})
        return
    stdout().print(f"Exported {len(names)} files to {folder}", markup=False)
    stdout().print(f"Read how to use them: {folder / 'README.md'}", markup=False)

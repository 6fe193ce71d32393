"""`bt publish`: publish a finished program as a bundle."""

import shlex
from dataclasses import asdict
from typing import Annotated

import typer

from bt_cli.options import common as options
from bt_cli.view.console import print_json, stdout
from bt_core.task import is_built_in


def publish(
    program: options.Program,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="Where to publish: s3://bucket/prefix, or a folder.")],
    as_json: options.Json = False,
) -> None:
    """Publish a program as a bundle, in a folder or on S3.

    A bundle holds the program, its adapters, a model card, and a manifest that is written last.
    It holds one program for ever: publishing the same program again changes nothing.

    Examples:
      bt publish runs/my-run/program s3://models/triage/1
      bt publish s3://models/triage/1 ./triage
    """
    from bt_core import bundle
    from bt_core.program import read_program

    folder = bundle.fetch(program)
    done = bundle.publish(folder, target)
    if as_json:
        print_json(asdict(done))
        return
    what = "Published" if done.is_new else "Nothing to do: this very program was published there before:"
    stdout().print(f"{what} {done.address} (program {done.program_sha256[:12]})", markup=False)
    task = read_program(folder, verify=False).task
    named = "" if is_built_in(task) else f"--task {shlex.quote(task)} "
    stdout().print(f"Use it: bt predict {done.address} {named}KEY=VALUE ...", markup=False)

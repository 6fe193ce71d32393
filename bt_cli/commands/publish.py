"""`bt publish`: hand a finished program on as a bundle."""

from dataclasses import asdict
from typing import Annotated

import typer

from bt_cli.options import common as options
from bt_cli.view.console import print_json, stdout


def publish(
    program: options.Program,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="Where to: s3://bucket/prefix, or a folder.")],
    as_json: options.Json = False,
) -> None:
    """Hand a program on as a bundle, in a folder or on S3.

    Program, adapters, model card, and a manifest that is written last. A bundle holds one program for ever; the same
    program again changes nothing.

    Examples:
      bt publish runs/my-run/program s3://models/triage/1
      bt publish s3://models/triage/1 ./triage
    """
    from bt_core import bundle

    done = bundle.publish(bundle.fetch(program), target)
    if as_json:
        print_json(asdict(done))
        return
    what = "Published" if done.is_new else "Nothing to do: this very program was published there before:"
    stdout().print(f"{what} {done.address} (program {done.program_sha256[:12]})", markup=False)
    stdout().print(f"Use it: bt predict {done.address} KEY=VALUE ...", markup=False)

"""The lines at the end of a retraining."""

from typing import Any

from rich.console import Console

from bt_cli.run_folder import RunFolder
from bt_cli.view.summary import print_facts, short
from bt_runtime.retraining import STOPPED


def print_retraining(console: Console, result: dict[str, Any], folder: RunFolder) -> None:
    """Print the outcome of a retraining.

    Args:
        console: where to.
        result: the content of result.json.
        folder: the retraining's folder.
    """
    console.print(f"\n{result['outcome']}. {result['reason']}", markup=False)
    for warning in result["drift"]:
        console.print(f"drift: {warning}", markup=False)
    facts = {"result": short(folder.result)}
    if result["outcome"] != STOPPED:
        facts |= {"program": f"{short(folder.program)} (version {result['version']} in MLflow)"}
    print_facts(console, facts)

"""The output of `bt estimate`: a row for each stage, and the memory that training needs."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from bt_core.steps.check.gpu_cost import GpuCost


def print_estimate(console: Console, estimate: "GpuCost") -> None:
    """Print an estimate for a person."""
    table = Table("stage", title=f"{estimate.strategy}: at most", title_justify="left")
    for name in ("prompt tokens", "completion tokens", "tokens trained on", "GPU minutes"):
        table.add_column(name, justify="right")
    for stage in estimate.stages:
        numbers = (stage.prompt_tokens, stage.completion_tokens, stage.train_tokens)
        table.add_row(stage.stage, *(f"{number:,}" for number in numbers), f"{stage.minutes:.2f}")
    console.print(table)
    if estimate.memory:
        console.print(Text(f"Training needs about {estimate.memory} in bfloat16."))
    console.print(Text("Starting pods and loading models take time on top of this; docs/training.md has the formula."))

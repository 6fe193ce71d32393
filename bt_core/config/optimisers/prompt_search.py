"""`p`: search over demonstrations."""

from typing import Literal

from pydantic import Field

from bt_core.config.section import Section
from bt_core.config.step_kind import StepKind


class SearchConfig(Section):
    """`p`: bootstrapped few-shot random search. Defaults from the paper (arXiv 2407.10930, section 4)."""

    candidates: int = Field(6, ge=1, description="demo sets tried, besides the demo-free program")
    max_demos: int = Field(3, ge=1, description="demonstrations per predictor, at most")
    racing: Literal["exact", "statistical", "off"] = Field(
        "exact",
        description="drop candidates that provably cannot win any more, or very likely cannot (with hundreds of"
        " validation rows), or score every one on every row",
    )
    racing_risk: float = Field(
        0.05, gt=0.0, lt=1.0, description="probability with which the statistical race may miss the best candidate"
    )
    racing_step: int = Field(
        2,
        ge=1,
        description="how many candidates a race scores on at once, and on how many rows each, at least; 1: the fewest"
        " LM calls, where those are paid for; more: wider batches, in fewer rounds",
    )


PROMPT_SEARCH = StepKind(
    title="prompt search",
    description="prompt search over demonstrations that the program bootstraps from itself",
    settings=SearchConfig,
    stage="bt_core.steps.optimise.prompt_search:prompt_search",
    component="bt_components.prompt_search.component:prompt_search",
)

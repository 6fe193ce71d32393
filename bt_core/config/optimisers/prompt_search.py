"""`p`: search over demonstrations."""

from typing import Literal

from pydantic import Field

from bt_core.config.section import Section
from bt_core.config.step_kind import StepKind


class SearchConfig(Section):
    """`p`: bootstrapped few-shot random search. Defaults from the paper (arXiv 2407.10930, section 4)."""

    candidates: int = Field(6, ge=1, description="demo sets to try, besides the program without demos")
    max_demos: int = Field(3, ge=1, description="most demos per predictor")
    racing: Literal["exact", "statistical", "off"] = Field(
        "exact",
        description="exact: drop candidates that can no longer win; statistical: also those that very likely cannot"
        " (with hundreds of validation rows); off: score every candidate on every row",
    )
    racing_risk: float = Field(
        0.05, gt=0.0, lt=1.0, description="probability with which the statistical race may miss the best candidate"
    )
    racing_step: int = Field(
        2,
        ge=1,
        description="fewest candidates that a race scores at once, and rows on which it scores each; 1: the fewest LM"
        " calls; more: wider batches, in fewer rounds",
    )


PROMPT_SEARCH = StepKind(
    title="prompt search",
    description="prompt search over demos that the program bootstraps from itself",
    settings=SearchConfig,
    stage="bt_core.steps.optimise.prompt_search:prompt_search",
    component="bt_components.prompt_search.component:prompt_search",
)

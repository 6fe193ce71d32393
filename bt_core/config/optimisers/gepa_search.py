"""`g`: evolution of instructions by reflection."""

from pydantic import Field

from bt_core.config.optimisers.writer import WriterConfig
from bt_core.config.step_kind import StepKind


class GepaConfig(WriterConfig):
    """`g`: GEPA, instructions that evolve by reflection (arXiv 2507.19457)."""

    metric_calls: int = Field(400, ge=1, description="most program runs that the search may spend")
    minibatch: int = Field(3, ge=1, description="train examples that a new instruction is reflected on")
    merge: bool = Field(True, description="also merge candidates that are best on different validation rows")
    max_demos: int = Field(
        0, ge=0, description="demos per predictor from traces, in every candidate; 0: those of the incoming program"
    )


GEPA_SEARCH = StepKind(
    title="GEPA",
    description="GEPA, instructions that evolve by reflection on failed examples",
    settings=GepaConfig,
    stage="bt_core.steps.optimise.gepa_search:gepa_search",
    component="bt_components.gepa_search.component:gepa_search",
)

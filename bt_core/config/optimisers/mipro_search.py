"""`m`: instructions and demonstrations chosen together."""

from pydantic import Field

from bt_core.config.optimisers.writer import WriterConfig
from bt_core.config.step_kind import StepKind


class MiproConfig(WriterConfig):
    """`m`: MIPROv2, proposed instructions and bootstrapped demos chosen together (arXiv 2406.11695)."""

    metric_calls: int = Field(400, ge=1, description="most program runs that the search may spend")
    candidates: int = Field(6, ge=2, description="instructions and demo sets to choose from, per predictor")
    max_demos: int = Field(3, ge=0, description="most demos per predictor; 0: instructions alone")
    minibatch: int = Field(
        0,
        ge=0,
        description="validation rows of a trial; the best of five trials gets all rows; 0: all rows in every trial",
    )
    read_program: bool = Field(True, description="show the program's source to the LM that writes instructions")


MIPRO_SEARCH = StepKind(
    title="MIPROv2",
    description="MIPROv2, proposed instructions and bootstrapped demos chosen together",
    settings=MiproConfig,
    stage="bt_core.steps.optimise.mipro_search:mipro_search",
    component="bt_components.mipro_search.component:mipro_search",
)

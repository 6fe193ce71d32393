"""What constant answers score, in result.json and sweep.json."""

from pydantic import Field

from bt_core.formats.document import Part, Score


class Baselines(Part):
    """What one answer to every test row would score, by the metric itself."""

    majority: Score = Field(description="the most frequent label of the train split")
    single_answer: Score = Field(description="the label that scores best on the test rows, which no other one exceeds")

    @property
    def sentence(self) -> str:
        """What a program has to beat."""
        return (
            f"Always answering the most frequent label of train scores {self.majority:.3f} on the test rows; no single"
            f" answer scores more than {self.single_answer:.3f}."
        )

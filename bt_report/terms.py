"""What the statistical terms of a report mean."""

from bt_report.text import percent, score


def terms(alpha: float, margin: float) -> list[tuple[str, str]]:
    """(term, meaning) of each.

    Args:
        alpha: the chance of any false claim.
        margin: the largest gain that is not worth having.
    """
    level = percent(1.0 - alpha)
    return [
        (
            "Margin",
            f"The largest gain that is not worth having, here {score(margin)}: only a difference whose interval ends "
            "below it counts as no gain; a large p value alone does not show that.",
        ),
        (
            "Holm",
            "Adjusted p values are corrected by Holm's procedure over every strategy against vanilla and the best "
            "one with weights against the best prompts-only one, so that the chance of any false claim among "
            f"them is at most {percent(alpha)}.",
        ),
        (
            f"{level} interval",
            f"It contains the true value in {level} of such sweeps, with test rows and seeds both counted as "
            "samples; with one seed it is about these programs only.",
        ),
    ]

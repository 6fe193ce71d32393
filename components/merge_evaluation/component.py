"""Component: merge the test scores of all shards into one evaluation."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def merge_evaluation(
    vanilla: dsl.Input[list[dsl.Dataset]],
    vanilla_reports: list[str],
    final: dsl.Input[list[dsl.Dataset]],
    final_reports: list[str],
    test: dsl.Input[dsl.Dataset],
    config: str,
    stage: str,
    results: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Compare the vanilla and the final program on the sealed test split, from the shards' traces."""
    from pathlib import Path

    from bt_core.config import read_config
    from bt_core.errors import one_sentence
    from bt_core.steps.shards import merge_evaluation as merge
    from bt_runtime.finish import finish
    from bt_runtime.reports import read_report

    with one_sentence():
        before = [Path(part.path) for part in vanilla], [read_report(report) for report in vanilla_reports]
        after = [Path(part.path) for part in final], [read_report(report) for report in final_reports]
        report = merge(before, after, Path(test.path), read_config(config), stage, Path(results.path))
        return finish(report, config, metrics, {"results.jsonl": results.path}, {"test": test.path})

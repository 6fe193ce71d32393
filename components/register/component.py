"""Component: sum up a run in one file."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def register(
    program: dsl.Input[dsl.Model],
    results: dsl.Input[dsl.Dataset],
    reports: list[str],
    config: str,
    strategy: str,
    result: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Sum up a run in result.json and register the shipped program in MLflow."""
    from pathlib import Path

    from bt_core.config import read_config
    from bt_core.errors import one_sentence
    from bt_core.steps.register import summarise
    from bt_runtime.finish import finish_run
    from bt_runtime.reports import read_reports, run_ids

    with one_sentence():
        steps = read_reports(reports)
        settings, summary = read_config(config), Path(result.path)
        report = summarise(Path(program.path), steps, run_ids(steps), settings, strategy, summary)
        files = {"program": program.path, "results.jsonl": results.path, "result.json": result.path}
        return finish_run(report, steps, config, strategy, metrics, files)

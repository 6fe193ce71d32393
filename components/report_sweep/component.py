"""Component: write the report of a sweep as a file, as a page and to MLflow."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def report_sweep(
    compared: dsl.Input[dsl.Artifact],
    winner: dsl.Input[dsl.Model],
    results: dsl.Input[dsl.Dataset],
    vanilla: dsl.Input[dsl.Dataset],
    config: str,
    sweep: dsl.Output[dsl.Artifact],
    html: dsl.Output[dsl.HTML],
    markdown: dsl.Output[dsl.Markdown],
    program: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Write sweep.json and its report, and register the winner's program in MLflow."""
    from pathlib import Path

    from bt_core.errors import one_sentence
    from bt_core.steps.sweep.report_sweep import report_sweep as complete
    from bt_runtime.finish import finish_sweep, publish

    with one_sentence():
        inputs = Path(compared.path), Path(winner.path), Path(results.path), Path(vanilla.path)
        report = complete(*inputs, Path(sweep.path), Path(program.path))
        publish(Path(sweep.path), Path(html.path), Path(markdown.path))
        files = {"program": program.path, "results.jsonl": results.path, "sweep.json": sweep.path}
        return finish_sweep(report, config, metrics, files | {"report.html": html.path, "report.md": markdown.path})

"""Component: write the report of a sweep as a file, as a page and to MLflow."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def report_sweep(
    compared: dsl.Input[dsl.Dataset],
    winner: dsl.Input[dsl.Model],
    sweep: dsl.Output[dsl.Artifact],
    html: dsl.Output[dsl.HTML],
    markdown: dsl.Output[dsl.Markdown],
    program: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Write sweep.json and its report, and register the winner's program in MLflow."""
    from bt_core.errors import one_sentence
    from bt_runtime.sweep_tasks import run_report

    with one_sentence():
        pages = html.path, markdown.path
        return run_report(compared.path, winner.path, sweep.path, *pages, program.path, metrics)

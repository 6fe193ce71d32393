"""Component: compare both programs from the traces of all shards, and sum up the run."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def merge_evaluation(
    vanilla: dsl.Input[list[dsl.Dataset]],
    vanilla_reports: list[str],
    final: dsl.Input[list[dsl.Dataset]],
    final_reports: list[str],
    program: dsl.Input[dsl.Model],
    test: dsl.Input[dsl.Dataset],
    stage: str,
    results: dsl.Output[dsl.Model],
    html: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Compare both programs on the sealed test split, and register the best program in MLflow."""
    from bt_core.errors import one_sentence
    from bt_runtime.shard_tasks import merge_test

    with one_sentence():
        before = [part.path for part in vanilla], vanilla_reports
        after = [part.path for part in final], final_reports
        return merge_test(before, after, program.path, test.path, stage, results.path, html.path, metrics)

"""Component: score one program on the sealed test split."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def score_program(
    program: dsl.Input[dsl.Model],
    test: dsl.Input[dsl.Dataset],
    config: str,
    stage: str,
    results: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Score a program of a sweep on the sealed test split, once."""
    from dataclasses import replace
    from pathlib import Path

    from bt_core.config import read_config
    from bt_core.errors import one_sentence
    from bt_core.steps.sweep.compare_arms import PROGRAM_URI, RESULTS_URI
    from bt_core.steps.sweep.score import score
    from bt_runtime.finish import finish

    with one_sentence():
        report = score(Path(program.path), Path(test.path), read_config(config), stage, Path(results.path))
        uris = {PROGRAM_URI: program.uri, RESULTS_URI: results.uri}
        report = replace(report, params=report.params | uris)
        return finish(report, config, metrics, {"results.jsonl": results.path}, {"test": test.path})

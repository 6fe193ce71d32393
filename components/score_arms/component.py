"""Component: score the arms of one seed on the sealed test split."""

from kfp import dsl

from bt_runtime.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def score_arms(
    vanilla: dsl.Input[dsl.Model],
    test: dsl.Input[dsl.Dataset],
    vanilla_seed: int,
    stage: str,
    scored: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    arm_1: dsl.Input[dsl.Model],
    arm_2: dsl.Input[dsl.Model] = None,
    arm_3: dsl.Input[dsl.Model] = None,
    arm_4: dsl.Input[dsl.Model] = None,
    arm_5: dsl.Input[dsl.Model] = None,
    arm_6: dsl.Input[dsl.Model] = None,
    arm_7: dsl.Input[dsl.Model] = None,
    arm_8: dsl.Input[dsl.Model] = None,
    arm_9: dsl.Input[dsl.Model] = None,
    arm_10: dsl.Input[dsl.Model] = None,
    arm_11: dsl.Input[dsl.Model] = None,
    arm_12: dsl.Input[dsl.Model] = None,
    arm_13: dsl.Input[dsl.Model] = None,
    arm_14: dsl.Input[dsl.Model] = None,
    arm_15: dsl.Input[dsl.Model] = None,
    arm_16: dsl.Input[dsl.Model] = None,
) -> str:
    """Score the programs of one seed on the sealed test split, once, on one loaded model."""
    from bt_core.errors import one_sentence
    from bt_runtime.sweep_tasks import run_scores

    # Kubeflow has no list of artifacts from several tasks, so each arm has an input of its own.
    arms = [arm_1, arm_2, arm_3, arm_4, arm_5, arm_6, arm_7, arm_8]
    arms += [arm_9, arm_10, arm_11, arm_12, arm_13, arm_14, arm_15, arm_16]
    with one_sentence():
        programs = [(arm.path, arm.uri) for arm in (vanilla, *arms) if arm]
        return run_scores(programs, test.path, vanilla_seed, stage, scored.path, metrics)

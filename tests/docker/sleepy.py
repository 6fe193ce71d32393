"""A pipeline whose one task lasts until somebody ends it."""

from kfp import dsl

from tests.pipelines.tiny import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def sleep(sign: str) -> str:
    """Say something, and outlast any test."""
    import time

    print(sign, flush=True)
    time.sleep(600)
    return sign


@dsl.pipeline(name="sleepy")
def sleepy(sign: str = "asleep") -> None:
    sleep(sign=sign)

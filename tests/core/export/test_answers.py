"""An exported program answers as `bt predict` does, in an interpreter that has no package of ours."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.export import export
from bt_core.models import BaseModel
from bt_core.steps.predict import predict
from bt_tasks.continents import cities
from bt_tasks.iris import flowers
from tests.core.export.alone import Made, serve

ROWS = 20


def _continents(_: Path) -> Made:
    rows = [{"city": row["city"]} for row in cities()[:: len(cities()) // ROWS]][:ROWS]
    demos = {
        "country": ({"city": "Nairobi", "country": "Kenya"},),
        "continent": ({"city": "Nairobi", "country": "Kenya", "continent": "Africa"},),
    }
    return Made(
        "continents", rows, decoding={"max_tokens": 10, "stop": ["\n", "."]}, demos=demos, without_adapter=["country"]
    )


def _iris(_: Path) -> Made:
    rows = [{"sepal": row["sepal"], "petal": row["petal"]} for row in flowers()[:: 150 // ROWS]][:ROWS]
    # What `decoding.calibration: train` finds on these rows.
    priors = {"species": {"setosa": -1.199694, "versicolor": -1.901913, "virginica": -0.707817}}
    shown = {"14 x 2 mm": "setosa", "45 x 15 mm": "versicolor", "60 x 22 mm": "virginica"}
    demos = {"species": tuple({"petal": petal, "species": species} for petal, species in shown.items())}
    return Made("iris", rows, decoding={"closed": "scored", "calibration": "train"}, demos=demos, priors=priors)


def _iris_walk(_: Path) -> Made:
    made = _iris(_)
    return Made("iris", made.rows[::4], decoding={"closed": "greedy"}, demos=made.demos, priors=made.priors)


def _iris_whole(_: Path) -> Made:
    made = _iris(_)
    decoding = {"closed": "whole", "calibration": "train"}  # a pass for each token of each label: a few rows
    return Made("iris", made.rows[::5], decoding=decoding, demos=made.demos, priors=made.priors)


def _gsm8k(_: Path) -> Made:
    rows = [{"question": f"Ann has {n} apples and buys {n + 2} more. How many apples has she?"} for n in range(ROWS)]
    return Made(
        "gsm8k",
        rows,
        decoding={"max_tokens": 12},
        demos={"solve": ({"question": "What is 1 + 1?", "answer": "1 + 1 = 2. #### 2"},)},
    )


def _gsm8k_sampled(_: Path) -> Made:
    return Made("gsm8k", _gsm8k(_).rows[:5], decoding={"max_tokens": 8, "temperature": 1.0, "top_p": 0.9})


def _hotpotqa(folder: Path) -> Made:
    corpus = folder / "corpus.csv"
    lines = [f"Town {n},Town {n} lies on the river Number {n % 7} and has {n} bridges." for n in range(40)]
    corpus.write_text("\n".join(["title,text", *lines]), encoding="utf-8")
    rows = [{"question": f"How many bridges has the town on the river Number {n % 7}, Town {n}?"} for n in range(ROWS)]
    decoding = {"max_tokens": 10, "stop": ["\n"]}
    return Made("hotpotqa", rows, settings={"corpus": str(corpus)}, decoding=decoding, without_adapter=["answer"])


MADE = [_continents, _iris, _iris_walk, _iris_whole, _gsm8k, _gsm8k_sampled, _hotpotqa]


@pytest.mark.parametrize("make", MADE, ids=lambda make: make.__name__.strip("_"))
def test_serve_answers_as_predict_does(
    make: Callable[[Path], Made],
    embedded_model: BaseModel,
    embedded_engine: TransformersEngine,
    adapter: Path,
    tmp_path: Path,
) -> None:
    made = make(tmp_path)
    program = made.write(tmp_path / "program", embedded_model, adapter)
    named = {"task_settings": made.settings}
    export(program, tmp_path / "exported", overrides=named)
    expected = [predict(program, row, named, embedded_engine) for row in made.rows]
    assert len({str(answer) for answer in expected}) > 1, "the rows tell answers apart"
    found = serve(tmp_path / "exported", made.rows, embedded_model.path)
    assert found == expected

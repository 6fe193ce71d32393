"""Contents of sweep.json: an ordinary sweep, whose figures fit each other, and odd ones."""

import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np

from bt_core.formats.sweep import Sweep
from bt_core.statistics import DEFAULT_MARGIN, Arm, ArmSummary, Contrast, compare, judge, paired_difference
from bt_core.strategy import format_strategy, parse_strategy, prefix_tree

SEEDS = (0, 1, 2)
#: Strategy -> how good it is, as the share of test rows that it gets right.
NINE = {
    "p": 0.66,
    "w": 0.52,
    "p -> p": 0.68,
    "p -> w": 0.71,
    "w -> p": 0.74,
    "w -> w": 0.55,
    "p -> w -> p": 0.82,
    "w -> p -> w": 0.73,
    "p -> p -> w": 0.72,
}
TWENTY = NINE | {
    name: 0.6 + 0.01 * index
    for index, name in enumerate(
        (
            "p -> p -> p",
            "p -> w -> w",
            "w -> w -> p",
            "w -> w -> w",
            "w -> p -> p",
            "p -> w -> p -> w",
            "p -> w -> p -> p",
            "w -> p -> w -> p",
            "p -> p -> w -> p",
            "p -> p -> p -> p",
            "w -> p -> p -> w",
        )
    )
}
INJECTION = '<script>alert("x")</script> & | `tick` [link](javascript:alert(1)) <img src=http://example.com/x.png>'


def as_sweep(content: Any) -> Sweep:
    """The sweep whose file has that content."""
    return Sweep.parse(json.dumps(content), "sweep.json")


def ordinary(strategies: dict[str, float] = NINE, seeds: tuple[int, ...] = SEEDS) -> dict[str, Any]:
    """A sweep whose figures follow from rows, which are as difficult for one strategy as for another."""
    random = np.random.default_rng(0)
    difficulty = random.normal(size=300)
    vanilla = _arm("vanilla", 0.33, difficulty, random, seeds[:1] * len(seeds), seeds)
    arms = [_arm(name, level, difficulty, random, seeds, seeds) for name, level in strategies.items()]
    table = compare(vanilla, arms)
    verdict = judge(table, DEFAULT_MARGIN)
    frame = _frame(seeds)
    frame["winner"] |= _shipped(vanilla, next((arm for arm in arms if arm.name == "p -> w -> p"), arms[-1]), seeds[0])
    return frame | {
        "vanilla": _summary(table.vanilla) | {"prompt_tokens_per_example": 118.0},
        "arms": [_arm_json(line, arm) for line, arm in zip(table.arms, arms, strict=True)],
        "alpha": table.alpha,
        "look": {"number": 1, "planned": 1, "total_alpha": table.alpha},
        "margin": verdict.margin,
        "verdict": {
            "label": verdict.label,
            "word": verdict.word.value,
            "sentence": verdict.sentence,
            "more_rows": verdict.needs.rows,
            "more_seeds": verdict.needs.seeds,
        },
        "nodes": _nodes(arms, seeds),
        "baselines": {"majority": 0.2, "single_answer": 0.25},
    }


def odd() -> dict[str, Any]:
    """One seed, a weight step with nothing to do, no winner, no decision, and markup wherever a user writes."""
    sweep = ordinary({"p": 0.5, "p -> w": 0.51}, seeds=(7,))
    sweep["arms"][1]["skipped"] = [f"2.w had nothing to do: {INJECTION}"]
    for node in sweep["nodes"]:
        node["loss"], node["val_loss"] = [], []
    sweep["nodes"][-1]["outcome"] = INJECTION
    return sweep | {
        "task": f"odd:{INJECTION}",
        "description": INJECTION,
        "metric": "",
        "command": f"bt sweep --task '{INJECTION}'",
        "config": {"note": INJECTION},
        "winner": None,
        "changed": {
            "gained": [
                {
                    "row": {INJECTION: INJECTION},
                    "before": {},
                    "after": {"answer": INJECTION},
                    "feedback_after": INJECTION,
                }
            ],
            "lost": [],
            "gained_count": 1,
            "lost_count": 0,
        },
    }


def injected() -> dict[str, Any]:
    """A sweep with markup in prompts, demos and fields."""
    sweep = ordinary({"p": 0.6, "p -> w": 0.8})
    sweep["winner"]["predictors"] = {
        INJECTION: {
            "instructions": f"{INJECTION}\n```\n# not a heading\n````",
            "inputs": [_field(INJECTION)],
            "outputs": [_field(INJECTION)],
            "demos": [{INJECTION: INJECTION}],
            "label_prior": {INJECTION: -1.0},
            "adapter": {"path": INJECTION, "sha256": "0" * 64},
        }
    }
    return sweep


def empty() -> dict[str, Any]:
    """A sweep in which everything that may be empty is empty."""
    changed = {"gained": [], "lost": [], "gained_count": 0, "lost_count": 0}
    nothing: dict[str, Any] = {"arms": [], "nodes": [], "winner": None, "changed": changed, "config": {}, "metric": ""}
    return ordinary({"p": 0.5, "w": 0.5}) | nothing | {"description": ""}


def _arm(name: str, level: float, difficulty: Any, random: Any, drawn: tuple[int, ...], seeds: tuple[int, ...]) -> Arm:
    """An arm whose answers are the same under seeds that are drawn the same."""
    taste = {seed: random.normal(size=len(difficulty)) for seed in dict.fromkeys(drawn)}
    latent = {seed: difficulty + taste[seed] for seed in taste}
    shift = {seed: 0.0 if name == "vanilla" else 0.02 * math.sin(seed + len(name)) for seed in seeds}
    scores = {
        seed: (latent[source] < np.quantile(latent[source], level + shift[seed])).astype(float)
        for seed, source in zip(seeds, drawn, strict=True)
    }
    validation = {seed: round(2 * (level + 1.5 * shift[seed]), 2) / 2 for seed in seeds}
    return Arm(name, "w" in name, scores, validation)


def _shipped(vanilla: Arm, arm: Arm, seed: int) -> dict[str, Any]:
    """The arm's program under a seed, and what it scores by itself."""
    before, after = vanilla.scores[seed], arm.scores[seed]
    found = paired_difference(before, after, seed=0)
    difference = {"mean": found.mean, "low": found.low, "high": found.high}
    chosen = {"chosen_by": "validation", "max_prompt_tokens": None}
    return {"arm": arm.name, "seed": seed, **chosen, "score": float(np.mean(after)), "versus_vanilla": difference}


def _summary(line: ArmSummary) -> dict[str, Any]:
    by_seed = {str(seed): score for seed, score in line.by_seed.items()}
    return {"mean": line.mean, "low": line.low, "high": line.high, "by_seed": by_seed}


def _contrast(contrast: Contrast | None) -> dict[str, Any] | None:
    return asdict(contrast) if contrast else None


def _arm_json(line: ArmSummary, arm: Arm) -> dict[str, Any]:
    steps = parse_strategy(arm.name)
    searches, trainings = steps.count("p"), steps.count("w")
    ends_with_demos = steps[-1] == "p"
    return _summary(line) | {
        "name": arm.name,
        "has_weights": arm.has_weights,
        "validation": line.validation,
        "validation_by_seed": {str(seed): value for seed, value in arm.validation.items()},
        "versus_vanilla": _contrast(line.versus_vanilla),
        "versus_prompts": _contrast(line.versus_prompts),
        "cost": {
            "lm_calls": 640 * searches + 200 * trainings,
            "prompt_tokens": 61_030 * searches + 15_793 * trainings,
            "completion_tokens": 3_010 * searches + 846 * trainings,
            "train_tokens": 21_400 * trainings,
            "seconds": 55.4 * searches + 57.9 * trainings,
        },
        "prompt_tokens_per_example": 118.0 + (212.5 + 9 * len(steps)) * ends_with_demos,
        "completion_tokens_per_example": 5.4,
        "skipped": [],
    }


def _nodes(arms: list[Arm], seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    scores = {arm.name: arm.validation for arm in arms}
    scores[""] = dict.fromkeys(seeds, 0.34)
    found = []
    for seed in seeds:
        for node in prefix_tree(parse_strategy(arm.name) for arm in arms):
            parent = format_strategy(node.parent)
            scores.setdefault(format_strategy(node.prefix), dict.fromkeys(seeds, 0.5))
            found.append(_node(seed, node.prefix, scores[parent][seed], scores[format_strategy(node.prefix)][seed]))
    return found


def _node(seed: int, prefix: tuple[str, ...], before: float, after: float) -> dict[str, Any]:
    usage = {"calls": 640, "cached_calls": 12, "prompt_tokens": 61_030, "computed_prompt_tokens": 20_100}
    is_training = prefix[-1] == "w"
    rate = 0.05 + 0.01 * seed + 0.01 * len(prefix)
    return {
        "seed": seed,
        "stage": ".".join(prefix),
        "kind": prefix[-1],
        "strategy": format_strategy(prefix),
        "parent": ".".join(prefix[:-1]),
        "validation_before": before,
        "validation": after,
        "outcome": "",
        "usage": usage | {"completion_tokens": 3_010, "seconds": 51.2},
        "train_tokens": 21_400 * is_training,
        "loss": [[step, 1.8 * math.exp(-rate * step) + 0.3 + 0.05 * math.sin(7 * step)] for step in range(1, 91)]
        * is_training,
        "val_loss": [[epoch, 1.5 * math.exp(-30 * rate * epoch) + 0.4 + 0.03 * epoch] for epoch in range(1, 4)]
        * is_training,
        "traces_kept": 39,
        "traces_total": 50,
    }


def _frame(seeds: tuple[int, ...]) -> dict[str, Any]:
    """The keys that do not depend on the strategies."""
    demos = [
        {"city": "Windhoek", "country": "Namibia", "continent": "Africa"},
        {"city": "Cusco", "country": "Peru", "continent": "South America"},
        {"city": "Nara", "country": "Japan", "continent": "Asia"},
    ]
    predictor = {"instructions": "Name the continent on which the country lies.", "label_prior": None, "demos": demos}
    return {
        "schema": 2,
        "task": "continents",
        "description": "City to country to continent, two modules, no label for the country.",
        "model": "smollm2-135m-instruct",
        "model_revision": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "metric": "continent right",
        "data_seed": 0,
        "seeds": list(seeds),
        "rows": {"train": 50, "val": 50, "test": 300},
        "command": "bt sweep --task continents --seeds 0,1,2 --data-seed 0",
        "config": {"task": "continents", "w": {"epochs": 3, "rank": 8}},
        "winner": {
            "program_sha256": "6ec9285d2d9dee5e746a9f6ea53eff2a14928b1653e44e55c82eae22b39ad105",
            "lineage": [_step("1.p", 0.34, 0.66), _step("2.w", 0.66, 0.7), _step("3.p", 0.7, 0.82)],
            "predictors": {
                "locate": predictor
                | {
                    "instructions": "Name the country in which the city lies.\nAnswer with the country's name only.",
                    "inputs": [_field("city")],
                    "outputs": [_field("country")],
                    "demos": [{name: row[name] for name in ("city", "country")} for row in demos],
                    "adapter": {"path": "adapter", "sha256": "bca00160" * 8},
                },
                "place": predictor
                | {
                    "inputs": [_field("city"), _field("country")],
                    "outputs": [_field("continent")],
                    "label_prior": {"Africa": -2.31, "Asia": -0.82, "South America": -1.4},
                    "adapter": {"path": "adapter", "sha256": "bca00160" * 8},
                },
            },
        },
        "changed": {
            "gained": [
                _change("Oslo", "Europe", "Asia", "Europe"),
                _change("Lima", "South America", "Africa", "South America"),
            ],
            "lost": [_change("Tbilisi", "Asia", "Asia", "Europe")],
            "gained_count": 151,
            "lost_count": 4,
        },
        "cost": {
            "lm_calls": 9_120,
            "cached_calls": 2_210,
            "seconds": 1_934.0,
            "lm_calls_one_by_one": 20_640,
            "seconds_one_by_one": 4_410.0,
            "prompt_tokens": 812_000,
            "completion_tokens": 41_000,
        },
    }


def _field(name: str) -> dict[str, str]:
    return {"name": name, "type": "str", "description": ""}


def _step(stage: str, before: float, after: float) -> dict[str, Any]:
    step = {"kind": stage[-1], "stage": stage, "seed": 0, "val_before": before, "val_after": after}
    return step | {"outcome": "", "parent": "a5eac30bcda097ffce56873801178a1e8605e89b3796ee0afe7c7decacb7a83d"}


def _change(city: str, label: str, before: str, after: str) -> dict[str, Any]:
    answers = {"before": {"continent": before}, "after": {"continent": after}}
    return {"row": {"city": city, "continent": label}, "feedback_before": "", "feedback_after": "", **answers}

"""The benchmarks run end to end at a tiny size, count operations rightly, and the page shows their results."""

import argparse
import importlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.__main__ import main as run_all
from benchmarks.contestants.dspy_bridge import LineChatAdapter, Tuner
from benchmarks.contestants.dspy_engines import BatchingEngine, PerRequestEngine
from benchmarks.harness.grids import Source, grid
from benchmarks.harness.models import random_model
from benchmarks.harness.page import BY_NAME, NAMES, PAGE, page
from benchmarks.harness.record import Table, finish, in_turn, ratios, shown
from benchmarks.limits import Shape, forward_flops, lora_flops
from bt_core.config import resolve_config
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.engine.response_cache import CACHE_VARIABLE
from bt_core.lm.adapters import LineAdapter
from bt_core.task import load_task

TINY = ("--quick", "--random-model", "tiny")
SPREAD = {"median", "min", "max"}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Two threads on a tiny model wait for each other more than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def measured(name: str, folder: Path, *arguments: str) -> dict[str, Any]:
    """What a benchmark wrote."""
    out = folder / f"{name}.json"
    importlib.import_module(f"benchmarks.{name}").main(["--out", str(out), *arguments])
    document: dict[str, Any] = json.loads(out.read_text())
    assert document["name"] == name
    assert {"cpus", "torch_threads", "versions", "date", "revision", "command"} <= document["machine"].keys()
    assert document["tables"][0]["rows"]
    assert str(folder) not in out.read_text()
    assert all(found.keys() == SPREAD for found in document.get("ratios", {}).values())
    return document


def test_limits(tmp_path: Path) -> None:
    found = measured("limits", tmp_path, *TINY)
    assert found["rates"].keys() == {"torch", "oneDNN"}
    assert all(rates.keys() == {"square_best", "square_median", "layers"} for rates in found["rates"].values())


def test_engine(tmp_path: Path) -> None:
    found = measured("engine", tmp_path, *TINY)
    assert found["ratios"].keys() == found["cases"].keys()
    assert found["llama_cpp"] != "measured"
    assert found["llama_cpp"] in found["notes"][0]
    for name, case in found["cases"].items():
        unshared = name == "prefill alone"
        assert (case["tokens_computed"]["median"] < case["tokens_asked"]["median"]) is not unshared
        assert set(case["asked_per_second"]) == {"ours", "plain"}
    free = [case["agreement"]["plain"] for name, case in found["cases"].items() if name.endswith("free")]
    assert free == [1.0, 1.0]


def test_train(tmp_path: Path) -> None:
    found = measured("train", tmp_path, *TINY)
    assert found["ratios"].keys() == {"plain_over_ours"}
    figures = {"tokens_per_second", "share_of_limit", "share_of_torch", "seconds"}
    assert found["ours"].keys() == found["plain"].keys() == figures


def test_scaling(tmp_path: Path) -> None:
    found = measured("scaling", tmp_path, *TINY)
    assert [list(found["points"][name].values())[:3] for name in found["ratios"]] == [
        [2, 8, 2],
        [3, 8, 2],
        [2, 12, 2],
        [2, 8, 1],
    ]
    assert found["ratios"]["candidates 2, val 8, demos 2"] == {"median": 1.0, "min": 1.0, "max": 1.0}
    default = found["points"]["candidates 2, val 8, demos 2"]
    assert default["suffix_tokens"]["median"] > 0
    assert default["prefix_tokens"]["median"] < default["prompt_tokens"]["median"]
    assert "Most are in" in found["notes"][0]


def test_closed(tmp_path: Path) -> None:
    intents = ("card lost", "card not working", "refund", "top up", "top up failed", "pin blocked")
    files = {"--train": 36, "--test": 12}
    for option, count in files.items():
        rows = [f"{option[2:]} message {n},{intents[n % 6]}" for n in range(count)]
        (tmp_path / f"{option[2:]}.csv").write_text("\n".join(["text,category", *rows]) + "\n")
    data = [part for option in files for part in (option, str(tmp_path / f"{option[2:]}.csv"))]
    found = measured("closed", tmp_path, *TINY, *data)
    names = [f"6 labels, {demos} demos, {when}" for when in ("before `w`", "after `w`") for demos in (0, 8, 16)]
    names.append("continents, 5 labels")
    assert list(found["comparisons"]) == [f"{name}, {prior}" for name in names for prior in ("no prior", "prior")]
    for one in found["comparisons"].values():
        assert one["rows"] == 4
        assert one["difference"]["mean"] == pytest.approx(one["whole"]["mean"] - one["scored"]["mean"])
        assert one["test"] == "mcnemar"


@pytest.mark.slow
def test_vs_dspy(tmp_path: Path) -> None:
    size = ("--rows", "8", "4", "3", "--candidates", "2", "--epochs", "1", "--repeats", "1")
    names = ("dspy_plain", "dspy_same_engine", "ours")
    found = measured("vs_dspy", tmp_path, "--random-model", "tiny", *size, "--contestants", *names)
    wanted = {"wall_plain_over_ours", "wall_same_engine_over_ours", "prompt_tokens_plain_over_ours"}
    assert wanted <= found["ratios"].keys()
    for runs in found["contestants"].values():
        assert {"seconds", "test_score", "calls", "prompt_tokens", "computed_prompt_tokens"} <= runs[0].keys()
    plain, same, ours = (found["contestants"][name][0] for name in names)
    assert plain["prompt_tokens"] == plain["computed_prompt_tokens"]
    assert same["prompt_tokens"] > same["computed_prompt_tokens"]
    assert not ours.get("error_flag")
    for run in (plain, same):
        assert not run["error_flag"]
        assert run["validation"].keys() == {"vanilla", "p", "p -> w", "p -> w -> p"}


def test_vs_dspy_refuses_answers_from_an_earlier_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    with pytest.raises(SystemExit):
        measured("vs_dspy", tmp_path)
    assert f"{CACHE_VARIABLE} is set" in capsys.readouterr().err


def test_engines_of_all_contestants_answer_alike_on_base_and_tuned_weights(tmp_path: Path) -> None:
    task, base = load_task("continents"), random_model("tiny", tmp_path / "tiny")
    w = {"epochs": 1, "rank": 2, "learning_rate": 0.1, "holdout": 0.0}
    config = resolve_config(task.config, {"task": "continents", "engine": {"device": "cpu"}, "w": w})
    tuner = Tuner(base, config, tmp_path)
    engine = TransformersEngine(base, config.engine)
    plain, batching = PerRequestEngine(task, config, tuner, base), BatchingEngine(task, config, tuner, engine)
    said = [{"role": "user", "content": "City: Lima"}, {"role": "assistant", "content": "South America"}]
    name = tuner.finetune(None, "bt/tiny", [{"messages": said}] * 8, None)
    asked = [
        replace(request, adapter=adapter)
        for adapter in (None, tuner.adapters[name], None)
        for request in grid(Source(engine.tokenizer), "0", 1, 4, 60, labels=adapter is None, new_tokens=6)
    ]
    expected = engine.generate(asked)
    free = [one.text for one in expected[4:8]]
    assert free != [one.text for one in engine.generate([replace(request, adapter=None) for request in asked[4:8]])]
    for one in (plain, batching):
        assert [(a.text, a.prompt_tokens) for a in map(one.answer, asked)] == [
            (a.text, a.prompt_tokens) for a in expected
        ]
    batching.close()
    assert plain.usage.calls == 12
    assert plain.usage.prompt_tokens == sum(answer.prompt_tokens for answer in expected)


def test_dspy_is_given_our_prompts() -> None:
    program = load_task("continents").program()
    demo, asked = (
        {"city": "Lima", "country": "Peru", "continent": "South America"},
        {"city": "Oslo", "country": "Norway"},
    )
    signature = program.continent.signature
    messages = LineChatAdapter().format(signature, [demo], asked)
    assert messages == LineAdapter().format(signature, [demo], asked)
    tuned = LineChatAdapter().format_finetune_data(signature, [], asked, {"continent": "Europe"})
    assert tuned["messages"][-1] == {"role": "assistant", "content": "Europe"}


def llama(layers: int) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=64,
        intermediate_size=160,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        attn_implementation="eager",  # products that torch can count; it does not leave out the masked half
    )
    return LlamaForCausalLM(config)


def unmasked(shape: Shape, rows: int, length: int) -> float:
    """What eager attention computes and then masks: as much again as a causal one needs."""
    return 2.0 * shape.layers * shape.attention * rows * length**2


def test_operations_of_a_forward_pass_are_what_torch_counts() -> None:
    model = llama(3)
    shape = Shape.of(model.config)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(input_ids=torch.ones(5, 37, dtype=torch.long), logits_to_keep=2, use_cache=False)
    rotary = 5 * 0 + 2 * 37 * (model.config.head_dim // 2)  # the table of angles, once a pass
    expected = forward_flops(shape, [37] * 5, logits=10) + unmasked(shape, 5, 37)
    assert counter.get_total_flops() == pytest.approx(expected + rotary, rel=1e-3)


def test_operations_of_lora_training_are_nearly_what_torch_counts() -> None:
    model = llama(24)
    shape = Shape.of(model.config)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj"]
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=targets))
    trained = sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)
    assert shape.lora_weights(4, targets) == trained
    with FlopCounterMode(display=False) as counter:
        adapted(input_ids=torch.ones(3, 40, dtype=torch.long), use_cache=False).logits.sum().backward()
    expected = lora_flops(shape, [40] * 3, 120, trained) + 3 * unmasked(shape, 3, 40)
    # The first layer's inputs need no gradient, which the formula leaves in.
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.03)


def test_contestants_run_in_turn_and_pairs_give_the_ratios() -> None:
    seen: list[tuple[str, int]] = []
    taken = in_turn({name: lambda repeat, name=name: seen.append((name, repeat)) for name in "ab"}, 2)
    assert seen == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert all(run.seconds >= 0 for runs in taken.values() for run in runs)
    assert ratios([2.0, 9.0, 4.0], [1.0, 3.0, 1.0]) == {"median": 3.0, "min": 2.0, "max": 4.0}
    assert shown({"median": 9.7, "min": 0.5, "max": 1234.5}, "x") == "9.70x (0.500 to 1,234)"


def test_the_page_shows_the_results() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m benchmarks --docs`"
    prose = PAGE.read_text(encoding="utf-8")
    assert all(f"`{name}`" in prose for name in (*NAMES, *BY_NAME))


def test_a_result_becomes_a_table(tmp_path: Path) -> None:
    options = argparse.Namespace(out=tmp_path / "limits.json", quick=True, repeats=3)
    finish("limits", options, {}, [Table("Rates", ("what", "a | b"), (("square", "1"),))], ["A note."])
    text = page(tmp_path)
    assert "### limits" in text
    assert "| what | a / b |\n| --- | ---: |\n| square | 1 |\n" in text
    assert "measures nothing" in text
    assert text.count("A note.") == 1
    assert "No results yet." in page(tmp_path / "nothing")


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_all(["nonsense", "--quick"]) == 2
    assert re.search(r"no benchmark is called nonsense: name limits, .*vs_dspy", capsys.readouterr().err)

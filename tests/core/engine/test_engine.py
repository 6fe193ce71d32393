"""The transformers engine: prefix sharing, adapters and padding change no answer; closed answers; sampling."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from bt_core.config import EngineConfig, LoraConfig
from bt_core.engine.base import EngineAdapter, Message, Request, Sampling, TrainingRow
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.engine.training.job import Curve, TrainingJob
from bt_core.engine.training.rows import encode
from bt_core.engine.training.train import train_adapter
from bt_core.errors import EngineError, ModelError, ProgramError
from bt_core.models import BaseModel, resolve_model
from bt_core.program import adapter_sha256

LABELS = ("red", "green", "blue", "dark green")
SYSTEM = "Name the colour of the thing, as a person would who has never read a book about colours. " * 3


def request(thing: str, system: str = SYSTEM, **parts: object) -> Request:
    return Request((Message("system", system), Message("user", f"Thing: {thing}")), **parts)


def train(model: BaseModel, rows: list[TrainingRow], settings: LoraConfig, folder: Path, held_out: int = 0) -> Curve:
    """Train an adapter on rows, of which the first few are held out."""
    learnt, kept_out = tuple(rows[held_out:]), tuple(rows[:held_out])
    return train_adapter(TrainingJob(model, learnt, kept_out, settings, EngineConfig(device="cpu"), 0), folder)


@contextmanager
def without_sharing(engine: TransformersEngine) -> Iterator[None]:
    engine._scheduler.shares_prefixes = False
    try:
        yield
    finally:
        engine._scheduler.shares_prefixes = True


@pytest.fixture(scope="module")
def adapter(tiny_model: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> EngineAdapter:
    folder = tmp_path_factory.mktemp("adapter")
    rows = [TrainingRow((Message("user", f"Thing {n}"),), LABELS[n % 3]) for n in range(12)]
    settings = LoraConfig(rank=4, learning_rate=0.05, epochs=2)
    train(tiny_model, rows, settings, folder)
    return EngineAdapter(folder, adapter_sha256(folder))


THINGS = ["sky", "grass of a very long meadow in the north", "blood", "a", "sea water in winter", "sky"]


@pytest.mark.parametrize("with_adapter", [False, True])
def test_label_scores_do_not_depend_on_sharing_or_on_the_batch(
    tiny_engine: TransformersEngine, adapter: EngineAdapter, with_adapter: bool
) -> None:
    asked = [request(thing, labels=LABELS, adapter=adapter if with_adapter else None) for thing in THINGS]
    shared = tiny_engine.generate(asked)
    with without_sharing(tiny_engine):
        plain = tiny_engine.generate(asked)
    alone = [tiny_engine.generate([one])[0] for one in asked]
    for one, two, three in zip(shared, plain, alone, strict=True):
        assert one.label_logprobs == pytest.approx(two.label_logprobs, abs=1e-5)
        assert one.label_logprobs == pytest.approx(three.label_logprobs, abs=1e-5)
        assert math.fsum(map(math.exp, one.label_logprobs)) == pytest.approx(1.0)


@pytest.mark.parametrize("parts", [{"labels": LABELS}, {"sampling": Sampling(max_tokens=12)}])
def test_answers_do_not_depend_on_how_a_broad_pass_is_split(
    tiny_engine: TransformersEngine, parts: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [request(thing, **parts) for thing in THINGS]
    tiny_engine.forget()
    whole = tiny_engine.generate(asked)
    monkeypatch.setattr(tiny_engine._scheduler, "_broad", 30)
    tiny_engine.forget()
    split = tiny_engine.generate(asked)
    assert [answer.text for answer in split] == [answer.text for answer in whole]
    for one, two in zip(split, whole, strict=True):
        assert one.label_logprobs == pytest.approx(two.label_logprobs, abs=1e-5)


@pytest.mark.parametrize("with_adapter", [False, True])
def test_greedy_answers_do_not_depend_on_sharing_or_on_the_batch(
    tiny_engine: TransformersEngine, adapter: EngineAdapter, with_adapter: bool
) -> None:
    sampling = Sampling(max_tokens=12)
    asked = [request(thing, sampling=sampling, adapter=adapter if with_adapter else None) for thing in THINGS]
    shared = tiny_engine.generate(asked)
    with without_sharing(tiny_engine):
        assert tiny_engine.generate(asked) == shared
    assert [tiny_engine.generate([one])[0] for one in asked] == shared


def test_prefixes_that_differ_by_one_token_do_not_mix(tiny_engine: TransformersEngine) -> None:
    other = SYSTEM.replace("book", "page", 1)
    asked = [request(thing, system, labels=LABELS) for system in (SYSTEM, other) for thing in THINGS]
    together = tiny_engine.generate(asked)
    apart = [tiny_engine.generate([one])[0] for one in asked]
    assert [c.label_logprobs for c in together] == [pytest.approx(c.label_logprobs, abs=1e-5) for c in apart]


def test_greedy_answer_is_that_of_plain_transformers(
    embedded_engine: TransformersEngine, embedded_model: BaseModel
) -> None:
    reference = AutoModelForCausalLM.from_pretrained(embedded_model.path, dtype=torch.float32)
    asked = [request(thing, "Name the colour.", sampling=Sampling(max_tokens=10)) for thing in ("sky", "grass")]
    for one, answer in zip(asked, embedded_engine.generate(asked), strict=True):
        prompt = torch.tensor([embedded_engine.render(one)])
        tokens = reference.generate(prompt, max_new_tokens=10, do_sample=False)[0, prompt.shape[1] :]
        assert answer.text == embedded_engine.tokenizer.decode(tokens, skip_special_tokens=True)


def test_label_scores_are_those_of_the_plain_model(tiny_engine: TransformersEngine, tiny_folder: Path) -> None:
    reference = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32)
    one = request("sky", labels=("red", "green", "blue"))
    starts = [tiny_engine.tokenizer(label)["input_ids"][0] for label in one.labels]
    with torch.inference_mode():
        logits = reference(torch.tensor([tiny_engine.render(one)])).logits[0, -1, starts]
    expected = torch.log_softmax(logits, dim=-1).tolist()
    assert tiny_engine.generate([one])[0].label_logprobs == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("system", ["Name the colour.", SYSTEM], ids=["short", "with a shared prefix"])
def test_whole_label_scores_are_those_of_the_plain_model(
    tiny_engine: TransformersEngine, tiny_folder: Path, system: str
) -> None:
    reference = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32)
    asked = [request(thing, system, labels=LABELS, whole=True) for thing in THINGS]
    tree = tiny_engine.vocabulary.tree(LABELS)
    for one, answer in zip(asked, tiny_engine.generate(asked), strict=True):
        prompt = tiny_engine.render(one)
        sums = []
        for label in tree.labels:
            with torch.inference_mode():
                logprobs = reference(torch.tensor([prompt + label])).logits[0].log_softmax(-1)
            sums.append(sum(float(logprobs[len(prompt) + depth - 1, token]) for depth, token in enumerate(label)))
        expected = torch.tensor(sums).log_softmax(0).tolist()
        assert answer.label_logprobs == pytest.approx(expected, abs=1e-4)
        assert answer.text == LABELS[max(range(len(LABELS)), key=expected.__getitem__)]


def test_ways_of_scoring_do_not_mix_in_a_batch(tiny_engine: TransformersEngine, adapter: EngineAdapter) -> None:
    asked = [
        request(thing, labels=LABELS, whole=whole, adapter=tuned)
        for thing in THINGS
        for whole in (False, True)
        for tuned in (None, adapter)
    ]
    together = tiny_engine.generate(asked)
    apart = [tiny_engine.generate([one])[0] for one in asked]
    assert [c.label_logprobs for c in together] == [pytest.approx(c.label_logprobs, abs=1e-4) for c in apart]
    assert together[0].label_logprobs != pytest.approx(together[2].label_logprobs, abs=1e-2)


def test_an_adapter_changes_answers_and_switching_it_off_restores_the_base(
    tiny_engine: TransformersEngine, adapter: EngineAdapter
) -> None:
    base = request("sky", labels=LABELS)
    before = tiny_engine.generate([base])[0].label_logprobs
    mixed = tiny_engine.generate([base, replace(base, adapter=adapter)])
    assert mixed[0].label_logprobs == pytest.approx(before, abs=1e-6)
    assert mixed[1].label_logprobs != pytest.approx(before, abs=1e-3)
    assert tiny_engine.generate([base])[0].label_logprobs == pytest.approx(before, abs=1e-6)


def test_a_prior_moves_the_choice(tiny_engine: TransformersEngine) -> None:
    plain = tiny_engine.generate([request("sky", labels=LABELS)])[0]
    handicapped = tuple(5.0 if label == plain.text else 0.0 for label in LABELS)
    assert tiny_engine.generate([request("sky", labels=LABELS, label_prior=handicapped)])[0].text != plain.text
    (whole,) = tiny_engine.generate([request("sky", labels=LABELS, whole=True)])
    prior = tuple(value + (label == "green") for label, value in zip(LABELS, whole.label_logprobs, strict=True))
    levelled = request("sky", labels=LABELS, whole=True, label_prior=prior)
    assert tiny_engine.generate([levelled])[0].text == LABELS[0]


def test_shared_prefixes_are_computed_once(tiny_engine: TransformersEngine) -> None:
    before = tiny_engine.usage
    tiny_engine.generate([request(thing, labels=("red", "green", "blue")) for thing in THINGS])
    spent = tiny_engine.usage - before
    assert spent.calls == len(THINGS)
    assert spent.computed_prompt_tokens < spent.prompt_tokens / 2


def test_samples_follow_their_seed_and_not_the_batch(tiny_engine: TransformersEngine) -> None:
    hot = Sampling(temperature=1.0, max_tokens=8, seed=1)
    asked = [request(thing, sampling=hot) for thing in THINGS]
    first = [c.text for c in tiny_engine.generate(asked)]
    assert [c.text for c in tiny_engine.generate(asked)] == first
    assert tiny_engine.generate(asked[2:3])[0].text == first[2]
    other = [replace(one, sampling=replace(hot, seed=2)) for one in asked]
    assert [c.text for c in tiny_engine.generate(other)] != first


def test_closed_answers_are_drawn_at_a_temperature(tiny_engine: TransformersEngine) -> None:
    def share(**parts: object) -> float:
        asked = [request("sky", labels=LABELS, sampling=Sampling(temperature=1.0, seed=n), **parts) for n in range(400)]
        return sum(answer.text == "red" for answer in tiny_engine.generate(asked)) / 400

    (greedy,) = tiny_engine.generate([request("sky", labels=LABELS)])
    expected = math.exp(greedy.label_logprobs[0])
    assert share() == pytest.approx(expected, abs=0.1)
    # A prior is subtracted before the draw, as it is before the best label is taken.
    even = share(label_prior=greedy.label_logprobs)
    assert even == pytest.approx(0.25, abs=0.1)
    assert share() == share()


def test_a_nucleus_of_nothing_is_greedy(tiny_engine: TransformersEngine) -> None:
    greedy = tiny_engine.generate([request("sky", sampling=Sampling(max_tokens=6))])[0].text
    narrow = Sampling(temperature=1.0, top_p=1e-6, max_tokens=6, seed=3)
    assert tiny_engine.generate([request("sky", sampling=narrow)])[0].text == greedy


def test_a_stop_string_ends_the_answer_before_it(tiny_engine: TransformersEngine) -> None:
    whole = tiny_engine.generate([request("sky", sampling=Sampling(max_tokens=12))])[0]
    stop = whole.text[4:7]
    cut = tiny_engine.generate([request("sky", sampling=Sampling(max_tokens=12, stop=(stop,)))])[0]
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.completion_tokens < whole.completion_tokens


def test_rows_that_end_at_different_steps_keep_their_own_answers(tiny_engine: TransformersEngine) -> None:
    lone = [tiny_engine.generate([request(thing, sampling=Sampling(max_tokens=12))])[0].text for thing in THINGS]
    stop = (lone[0][3:5], lone[2][8:10])
    asked = [request(thing, sampling=Sampling(max_tokens=12, stop=stop)) for thing in THINGS]
    assert tiny_engine.generate(asked) == [tiny_engine.generate([one])[0] for one in asked]


def test_a_prompt_over_the_context_is_an_error_of_its_own(tiny_engine: TransformersEngine) -> None:
    fine, long = tiny_engine.generate([request("sky", labels=LABELS), request("sky " * 600, labels=LABELS)])
    assert fine.error is None
    assert long.error is not None
    assert "512" in long.error


def test_answers_that_the_model_cannot_tell_apart_are_refused(tiny_engine: TransformersEngine) -> None:
    with pytest.raises(ProgramError, match=r"Two of the possible answers '1', 'one', '1' are the same tokens"):
        tiny_engine.generate([request("sky", labels=("1", "one", "1"))])


def test_an_adapter_that_does_not_load_is_an_engine_error(tiny_engine: TransformersEngine, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(EngineError, match="does not load"):
        tiny_engine.generate([request("sky", labels=LABELS, adapter=EngineAdapter(tmp_path, "0" * 64))])


def test_a_model_folder_without_weights_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"has no \*\.safetensors weights"):
        resolve_model(str(tmp_path))


def test_training_has_the_prompt_tokens_of_the_engine(tiny_engine: TransformersEngine) -> None:
    one = request("sky")
    row = encode(tiny_engine.vocabulary.template, TrainingRow(one.messages, "blue"))
    prompt = tiny_engine.render(one)
    assert tuple(row["input_ids"][: len(prompt)]) == prompt
    assert row["labels"] == [-100] * len(prompt) + row["input_ids"][len(prompt) :]
    assert row["input_ids"][-1] == tiny_engine.tokenizer.eos_token_id


def test_training_lowers_the_loss_and_is_the_same_twice(tiny_model: BaseModel, tmp_path: Path) -> None:
    rows = [TrainingRow((Message("user", f"Thing {n}"),), LABELS[n % 2]) for n in range(16)]
    settings = LoraConfig(rank=4, learning_rate=0.02, epochs=3)
    curves = [train(tiny_model, rows, settings, tmp_path / name, held_out=4) for name in ("one", "two")]
    assert curves[0].loss == curves[1].loss
    assert adapter_sha256(tmp_path / "one") == adapter_sha256(tmp_path / "two")
    assert curves[0].loss[-1][1] < curves[0].loss[0][1]
    assert [epoch for epoch, _ in curves[0].val_loss] == [1, 2, 3]
    best = min(curves[0].val_loss, key=lambda point: point[1])[0]
    assert curves[0].best_epoch == best


def test_the_loss_is_the_mean_over_completion_tokens(tiny_model: BaseModel, tmp_path: Path) -> None:
    rows = [TrainingRow((Message("user", "a " * n),), "red green blue"[: 4 + n]) for n in range(1, 7)]
    settings = LoraConfig(rank=2, epochs=1, batch_size=6, learning_rate=1e-6)
    curve = train(tiny_model, rows, settings, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tiny_model.path, dtype=torch.float32)
    engine = TransformersEngine(tiny_model, EngineConfig(device="cpu"))
    total, count = 0.0, 0
    for row in rows:
        item = encode(engine.vocabulary.template, row)
        start = item["labels"].count(-100)
        with torch.inference_mode():
            logits = model(torch.tensor([item["input_ids"]])).logits[0]
        logprobs = torch.log_softmax(logits, dim=-1)
        for position in range(start, len(item["input_ids"])):
            total -= float(logprobs[position - 1, item["input_ids"][position]])
            count += 1
    assert curve.loss[0][1] == pytest.approx(total / count, rel=1e-4)

"""From options, file and `--set` to the settings of a run."""

import json
import shlex
from pathlib import Path

import pytest

from bt_cli.options.settings import gather
from bt_cli.options.sweep import SweepRequest
from bt_cli.options.sweep_arguments import SweepArguments
from bt_cli.options.sweep_extension import choice_of
from bt_core.errors import ConfigError
from bt_core.steps.sweep.choice import Choice
from bt_runtime.sweep_tasks import told


def test_options_win_over_the_file_and_set_wins_over_options(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("task: iris\nseed: 1\nw:\n  rank: 4\n  epochs: 9\n")
    settings = gather({"seed": 2, "model": None}, file, ["w.epochs=5"], "continents")
    assert (settings.config.task, settings.config.seed) == ("iris", 2)
    assert (settings.config.w.rank, settings.config.w.epochs) == (4, 5)


def test_only_what_was_set_travels_and_in_its_own_type() -> None:
    given = ["w.epochs=5", "w.learning_rate=2e-4", 'w.target_modules=["q_proj"]', "decoding.closed=free"]
    settings = gather({"rows.train": 30}, None, given, "iris")
    assert settings.overrides == {
        "task": "iris",
        "rows": {"train": 30},
        "w": {"epochs": 5, "learning_rate": 2e-4, "target_modules": ["q_proj"]},
        "decoding": {"closed": "free"},
    }
    assert settings.parameters["task"] == "iris"
    assert json.loads(settings.parameters["config"])["w"]["epochs"] == 5


def test_nothing_set_leaves_every_pipeline_parameter_alone() -> None:
    assert gather({}).parameters == {}
    assert gather({}, default_task="iris").parameters == {"task": "iris"}


def test_a_text_may_hold_an_equals_sign() -> None:
    assert gather({}, None, ["task=a.b:c", 'decoding.stop=["="]']).config.decoding.stop == ("=",)


def test_local_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").touch()
    settings = gather({"data": "rows.jsonl", "model": "org/model"})
    assert settings.config.data == str(tmp_path.resolve() / "rows.jsonl")
    assert settings.config.model == "org/model"


def test_a_folder_named_like_the_embedded_model_does_not_hide_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    embedded = gather({}).config.model
    (tmp_path / embedded).mkdir()
    assert gather({"model": embedded}).config.model == embedded


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("w.epochs", "`--set` takes key=value, but was given 'w.epochs'"),
        ("=5", "`--set` takes key=value, but was given '=5'"),
        ("w.target_modules=[q_proj]", "broken JSON"),
        ('w={"rank": 4, "rank": 8}', "`--set w=...` is broken JSON (the key 'rank' is there twice)"),
        ('w={"learning_rate": NaN}', "`--set w=...` is broken JSON (NaN is no JSON number)"),
        ("w=" + "[" * 3000, "`--set w=...` is broken JSON (it is nested more than 100 levels deep)"),
    ],
    ids=["no-value", "no-key", "no-json", "key-twice", "nan", "deep"],
)
def test_a_wrong_assignment_says_how_it_is_written(assignment: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        gather({}, None, [assignment])
    assert sentence in str(caught.value)


def test_defaults_of_a_command_give_way_to_everything_that_was_set(tmp_path: Path) -> None:
    defaults = {"w.headroom_samples": 4}
    assert gather({}, default_task="iris", defaults=defaults).config.w.headroom_samples == 4
    file = tmp_path / "settings.yaml"
    file.write_text("w: {headroom_samples: 2}")
    assert gather({}, file, default_task="iris", defaults=defaults).config.w.headroom_samples == 2
    assert gather({}, file, ["w.headroom_samples=0"], "iris", defaults).config.w.headroom_samples == 0


@pytest.mark.parametrize(
    ("assignment", "mistake"),
    [
        ("seed=4294967296", "`seed` is '4294967296', but input should be less than 4294967296"),
        ("data_seed=4294967296", "`data_seed` is '4294967296', but input should be less than 4294967296"),
        ("w.learning_rate=inf", "`w.learning_rate` is 'inf', but input should be a finite number"),
        ("w.learning_rate=nan", "`w.learning_rate` is 'nan', but input should be a finite number"),
    ],
)
def test_a_number_that_a_later_step_could_not_use_is_refused_at_once(assignment: str, mistake: str) -> None:
    with pytest.raises(ConfigError) as caught:
        gather({}, None, [assignment], "iris")
    assert str(caught.value).startswith(f"1 mistake in the configuration: {mistake}. ")


def test_a_file_with_too_large_a_seed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("seed: 4294967296\n")
    with pytest.raises(ConfigError, match="`seed` is 4294967296, but input should be less than 4294967296"):
        gather({}, tmp_path / "run.yaml", [], "iris")


@pytest.mark.parametrize("text", ["{{$.inputs.parameters['seed']}}", "{{$}}", "{{inputs.parameters.x}}", "{{{{", "{ {"])
def test_placeholders_of_kubeflow_in_a_users_text_stay_text(text: str) -> None:
    from kfp.local import placeholder_utils

    settings = gather({}, None, ["decoding.stop=" + json.dumps([text])], "iris")
    config = settings.parameters["config"]
    inputs = {"inputs": {"parameterValues": {"config": config, "seed": 7}}, "outputs": {"outputFile": "out"}}
    (arrived,) = placeholder_utils.replace_placeholders(
        full_command=[config],
        executor_input_dict=inputs,
        pipeline_resource_name="run",
        task_resource_name="task",
        pipeline_root="root",
        unique_pipeline_id="id",
    )
    assert json.loads(arrived)["decoding"]["stop"] == [text]
    assert "{{" not in config


@pytest.mark.parametrize("text", ["{{$.inputs.parameters['seed']}}", "{{{{", "plain"])
def test_the_command_of_a_sweep_arrives_as_it_was_written(text: str) -> None:
    settings = gather({"task": "iris"}, assignments=[f"data=rows {text}.jsonl"])
    request = SweepRequest((("p",), ("p", "w")), (0, 1, 2), settings, margin=0.02)
    assert f"data=rows {text}.jsonl" in shlex.split(request.command)
    parameter = request.parameters["command"]
    assert "{{" not in parameter
    assert told(parameter) == request.command


@pytest.mark.parametrize("text", ["", "bt sweep", '"bt" sweep', '"bt'])
def test_a_command_that_someone_typed_stays_as_it_is(text: str) -> None:
    assert told(text) == text


def test_a_task_with_a_placeholder_in_its_name_is_refused() -> None:
    settings = gather({}, default_task="{{$}}:task")
    with pytest.raises(ConfigError, match="begins a placeholder of Kubeflow"):
        _ = settings.parameters


@pytest.mark.parametrize(
    ("choice", "parameters", "options"),
    [
        (Choice(), {}, []),
        (Choice(named="p -> w@1"), {"ship": "p -> w@1"}, ["--ship", "p -> w@1"]),
        (Choice(99.5), {"max_prompt_tokens": 99.5}, ["--max-prompt-tokens", "99.5"]),
    ],
    ids=["best", "named", "priced"],
)
def test_the_rule_for_the_program_to_ship_travels_only_where_it_was_given(
    choice: Choice, parameters: dict[str, object], options: list[str]
) -> None:
    settings = gather({"task": "iris"})
    request = SweepRequest((("p",), ("p", "w")), (0, 1), settings, 0.05, choice=choice)
    given = {"ship", "max_prompt_tokens"} & request.parameters.keys()
    assert {name: request.parameters[name] for name in given} == parameters
    words = shlex.split(request.command)
    assert words[words.index("0.05") + 1 :] == options
    arguments = SweepArguments(command=request.command, parameters=request.parameters, run_id="r")
    assert choice_of(arguments) == choice
    with pytest.raises(ConfigError, match="is no program of this sweep"):
        SweepRequest((("p",),), (0,), settings, 0.05, choice=Choice(named="p@1"))

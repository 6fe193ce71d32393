"""The tasks of a sweep that no single strategy has, from the paths of a component's artifacts to its report."""

from collections.abc import Sequence
from pathlib import Path

from bt_core.formats.rows import ScoredRow, compared_rows, read_results
from bt_core.formats.sweep import Sweep
from bt_core.json_text import BrokenJson, parse_json
from bt_core.records import StageReport
from bt_core.steps.folders import SealedFolder
from bt_core.steps.handover import stage_reports
from bt_core.steps.sweep.folders import ComparedFolder, ScoredFolder
from bt_core.steps.sweep.tree import labelled
from bt_core.strategy import parse_strategy
from bt_runtime.finish import Metrics, finish, show
from bt_runtime.reports import write_report
from bt_runtime.traces import Times, track_test_rows
from bt_runtime.tracking import track_sweep, tracked


def run_scores(
    programs: Sequence[tuple[str, str]], test: str, vanilla_seed: int, stage: str, scored: str, metrics: Metrics
) -> str:
    """Score programs of one seed on the sealed rows.

    Args:
        programs: path and address of the artifact with each program, the vanilla one first.
        test: path of the artifact with the sealed rows.
        vanilla_seed: the seed under which the vanilla program is scored, since it is the same under every seed.
        stage: label of the task.
        scored: path of the folder to write.
        metrics: the component's metrics output.

    Returns:
        The reports of all scores as one text.

    Raises:
        BtError: when an input is not usable or the engine failed.
    """
    from bt_core.steps.sweep.score import score_programs

    sealed, folder = SealedFolder(Path(test)), ScoredFolder(Path(scored))
    config = sealed.config
    places = [(Path(path), address) for path, address in programs][config.seed != vanilla_seed :]
    scores: list[StageReport] = []
    all_reports: list[StageReport] = []
    shown: dict[str, float] = {}
    for (program, _), finished in zip(places, score_programs(places, sealed, stage, folder), strict=True):
        behind = stage_reports(program)
        scores.append(tracked(finished, config, behind, nested=True))
        all_reports += labelled(config.seed, [*behind, scores[-1]])
        shown[f"test/{scores[-1].params['arm']}"] = scores[-1].metrics["test/score"]
    show(shown, metrics)
    folder.write(config, all_reports)
    return write_report(*scores)


def run_compare(
    seeds: Sequence[str],
    strategies: Sequence[str],
    margin: float,
    look: tuple[int, int, float],
    choice: tuple[float, str],
    command: str,
    compared: str,
    metrics: Metrics,
) -> tuple[str, str]:
    """Compare the arms of all seeds.

    Args:
        seeds: path of the artifact with the scores of each seed.
        strategies: the arms as written.
        margin: the largest gain that is not worth having.
        look: the number of this look, how many were planned, and the chance of any false claim at any of them.
        choice: the most prompt tokens a row that the shipped program may take (0: any), and its name (empty: none).
        command: how to run the sweep again, as a text in JSON, in which placeholders of Kubeflow can be avoided; or a
            text as it is, which someone has given in Kubeflow's UI.
        compared: path of the folder to write.
        metrics: the component's metrics output.

    Returns:
        The report as text, and the address of the program to ship.

    Raises:
        DataError: when reports are missing, or programs were scored on different rows.
        ConfigError: when there is no such look, or no program of that name.
    """
    from bt_core.statistics.judging.looks import Look
    from bt_core.steps.sweep.choice import Choice
    from bt_core.steps.sweep.compare_arms import compare_arms

    folder, arms = ComparedFolder(Path(compared)), list(map(parse_strategy, strategies))
    scored = [ScoredFolder(Path(seed)) for seed in seeds]
    report, program = compare_arms(scored, arms, folder, margin, Look(*look), told(command), Choice(*choice))
    return write_report(finish(report, folder.config, metrics)), program


def told(command: str) -> str:
    """The command of `run_compare` as a person would write it."""
    try:
        return str(parse_json(command)) if command.startswith('"') else command
    except BrokenJson:
        return command


def run_report(compared: str, winner: str, sweep: str, html: str, markdown: str, program: str, metrics: Metrics) -> str:
    """Write sweep.json and its report as a page and as Markdown, and track the result of the whole sweep.

    Args:
        compared: path of the folder that `run_compare` wrote.
        winner: path of the artifact with the program to ship.
        sweep, html, markdown, program: paths of the artifacts to write.
        metrics: the component's metrics output.

    Returns:
        The report as text.

    Raises:
        BtError: when an input is damaged.
    """
    from bt_core.steps.sweep.report_sweep import report_sweep

    folder, content, ship = ComparedFolder(Path(compared)), Path(sweep), Path(program)
    config = folder.config
    report = report_sweep(folder, Path(winner), content, ship)
    publish(content, Path(html), Path(markdown))
    files = {"program": ship, "results.jsonl": folder.results, "sweep.json": content}
    files |= {"report.html": Path(html), "report.md": Path(markdown)}

    def record_result(run_id: str | None) -> None:
        owner = track_sweep(report, config, files, run_id)
        if owner:
            before, after = (read_results(path, ScoredRow) for path in (folder.vanilla, folder.results))
            times = Times(report.ended, Sweep.read(content).cost.seconds)
            track_test_rows(folder.traces, compared_rows(before, after), config, ship, owner, times)

    return write_report(finish(report, config, metrics, files, record_result=record_result))


def publish(sweep: Path, html: Path, markdown: Path) -> None:
    """Write the report of a sweep as an HTML page and as Markdown.

    Raises:
        DataError: when the file is missing or is no sweep.json of this version.
    """
    from bt_report import render_html, render_markdown

    content = Sweep.read(sweep)
    html.write_text(render_html(content), encoding="utf-8")
    markdown.write_text(render_markdown(content), encoding="utf-8")

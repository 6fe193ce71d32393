"""The report shows the figures of sweep.json, loads nothing, and never turns a user's text into markup."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import escape
from itertools import combinations, groupby, pairwise
from pathlib import Path
from typing import Any

import pytest

from bt_report import render_html, render_markdown
from tests.report.page import Element, read_page
from tests.report.sweeps import INJECTION, TWENTY, as_sweep, empty, injected, odd, ordinary

SWEEPS: list[Callable[[], dict[str, Any]]] = [ordinary, lambda: ordinary(TWENTY), odd, injected, empty]
NAMES = ["ordinary", "twenty arms", "odd", "injected", "empty"]
every_sweep = pytest.mark.parametrize("sweep", [make() for make in SWEEPS], ids=NAMES)

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(not BROWSER, reason="no Chromium is installed")


def _html(content: dict[str, Any]) -> str:
    return render_html(as_sweep(content))


def _markdown(content: dict[str, Any]) -> str:
    return render_markdown(as_sweep(content))


def _numbers(text: str) -> list[float]:
    """All numbers of a text; intervals are `low to high`."""
    found = re.findall(r"[+−-]?\d[\d,]*(?:\.\d+)?", text)
    return [float(number.replace(",", "").replace("−", "-")) for number in found]


def _p_value(contrast: dict[str, Any] | None) -> list[float]:
    if contrast is None:
        return []
    value = contrast["p_value"] if contrast["adjusted"] is None else contrast["adjusted"]
    return [max(round(value, 3), 0.001)]  # `< 0.001` reads as 0.001


def _three(estimate: dict[str, Any] | None) -> list[float]:
    return [] if estimate is None else [round(estimate[name], 3) for name in ("mean", "low", "high")]


def _expected(sweep: dict[str, Any]) -> dict[str, list[list[float]]]:
    """Name -> the numbers of the leaderboard's columns: score, both differences with p, validation, prompt tokens."""
    vanilla = sweep["vanilla"]
    lines = {"vanilla": [_three(vanilla), [], [], [], [], [], [round(vanilla["prompt_tokens_per_example"])]]}
    for arm in sweep["arms"]:
        lines[arm["name"]] = [
            _three(arm),
            _three(arm["versus_vanilla"]),
            _p_value(arm["versus_vanilla"]),
            _three(arm["versus_prompts"]),
            _p_value(arm["versus_prompts"]),
            [round(arm["validation"], 3)],
            [round(arm["prompt_tokens_per_example"])],
        ]
    return lines


def _leaderboard(page: Element) -> dict[str, list[list[float]]]:
    table = page.by_id("leaderboard-table")
    (body,) = table.all("tbody")
    names = [next(row.all("span")).text for row in body.all("tr")]
    lines = dict(zip(names, ([_numbers(cell) for cell in row[1:8]] for row in table.rows()), strict=True))
    return {name: [*columns[:6], columns[6][:1]] for name, columns in lines.items()}


@every_sweep
def test_leaderboard_has_the_numbers_of_the_file(sweep: dict[str, Any]) -> None:
    shown = _leaderboard(read_page(_html(sweep)))
    assert shown == _expected(sweep)
    means = [columns[0][0] for columns in shown.values()]
    assert means == sorted(means, reverse=True)


@every_sweep
def test_markdown_has_the_numbers_of_the_file(sweep: dict[str, Any]) -> None:
    part = _markdown(sweep).partition("## Leaderboard")[2].partition("Test score of each seed")[0]
    rows = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("|")][2:]
    shown = {
        re.sub(r"\(seed \d+ shipped\) $", "", cells[0]).strip(): [_numbers(cell.strip()) for cell in cells[1:8]]
        for cells in rows
    }
    assert shown == _expected(sweep)


def test_verdict_comes_first_with_the_figures_that_led_to_it() -> None:
    sweep = ordinary()
    page = read_page(_html(sweep))
    assert page.by_id("verdict").text == sweep["verdict"]["label"]
    shown = {row[0]: _numbers(row[1]) for row in page.by_id("figures").rows()}
    best = max((arm for arm in sweep["arms"] if not arm["has_weights"]), key=lambda arm: arm["validation"])
    tuned = max((arm for arm in sweep["arms"] if arm["has_weights"]), key=lambda arm: arm["validation"])
    assert shown == {
        f"{tuned['name']} minus {best['name']}": _three(tuned["versus_prompts"]),
        f"{tuned['name']} minus vanilla": _three(tuned["versus_vanilla"]),
        f"{best['name']} minus vanilla": _three(best["versus_vanilla"]),
    }


def test_the_shipped_program_has_its_own_score_beside_its_arms_mean() -> None:
    sweep = ordinary()
    winner = sweep["winner"]
    arm = next(arm for arm in sweep["arms"] if arm["name"] == winner["arm"])
    assert winner["score"] != pytest.approx(arm["mean"], abs=0.001)
    page = read_page(_html(sweep))
    shown = page.by_id("shipped").text
    assert as_sweep(sweep).shipped.replace("`", "") == shown
    assert f"scores {winner['score']:.3f} by itself" in shown
    (marked,) = [row for row in page.by_id("leaderboard-table").rows() if "shipped" in row[0]]
    assert marked[0].endswith(f"seed {winner['seed']} shipped")
    markdown = _markdown(sweep)
    assert as_sweep(sweep).shipped in markdown
    assert f"| {winner['arm']} (seed {winner['seed']} shipped) |" in markdown.replace("\\", "")
    assert f"test score {winner['score']:.3f}" in markdown


def test_every_seed_is_in_the_tables() -> None:
    sweep = ordinary()
    page = read_page(_html(sweep))
    seeds = {row[0]: [_numbers(cell) for cell in row[1:]] for row in page.by_id("seeds-table").rows()}
    tree = {row[0]: [_numbers(cell) for cell in row[2:]] for row in page.by_id("tree-table").rows()}
    for arm in sweep["arms"]:
        by_seed = zip(arm["by_seed"].values(), arm["validation_by_seed"].values(), strict=True)
        assert seeds[arm["name"]] == [[round(test, 3), round(validation, 3)] for test, validation in by_seed]
        nodes = [node for node in sweep["nodes"] if node["strategy"] == arm["name"]]
        shown = ("validation", "validation_before", "traces_kept", "traces_total")
        assert tree[arm["name"]] == [[round(float(node[name]), 3) for name in shown] for node in nodes]


def test_what_constant_answers_score_stands_beside_the_scores() -> None:
    sweep = ordinary()
    said = "Always answering the most frequent label of train scores 0.200 on the test rows; no single answer scores"
    assert said in str(read_page(_html(sweep)).by_id("baselines").text)
    assert said in _markdown(sweep)
    kept = next(node for node in sweep["nodes"])
    assert f"{kept['traces_kept']} of {kept['traces_total']} traces kept" in _markdown(sweep)
    without = sweep | {"baselines": None}
    assert "Always answering" not in _html(without) + _markdown(without)


@every_sweep
def test_page_is_small_and_loads_nothing(sweep: dict[str, Any]) -> None:
    html = _html(sweep)
    assert len(html.encode()) < 300_000
    page = read_page(html)
    assert not list(page.all("script", "link", "img", "iframe", "object", "embed", "base", "image", "use"))
    links = [e.attributes[name] for e in page.all() for name in ("src", "href", "xlink:href") if name in e.attributes]
    assert links
    targets = {element.attributes.get("id") for element in page.all()}
    assert all(link.startswith("#") and link[1:] in targets for link in links)
    (style,) = page.all("style")
    assert "url(" not in style.text
    assert "@import" not in style.text
    assert not [name for element in page.all() for name in element.attributes if name.startswith("on")]


@pytest.mark.parametrize("make", [odd, injected])
def test_what_users_write_stays_text(make: Callable[[], dict[str, Any]]) -> None:
    sweep = make()
    page = read_page(_html(sweep))
    assert INJECTION in page.text
    markdown = _markdown(sweep)
    prose = re.sub(r"^(`{3,})\w+\n.*?^\1$", "", markdown, flags=re.DOTALL | re.MULTILINE)
    prose = re.sub(r"(?<!\\)`[^`\n]*`", "", prose)
    assert "script>" in prose
    assert not re.findall(r"(?<!\\)<|(?<!\\)\[|(?<!\\)`", prose)
    for is_table, lines in groupby(prose.splitlines(), key=lambda line: line.startswith("|")):
        assert not is_table or len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


def test_what_the_metric_says_stands_beside_the_answer_it_is_about() -> None:
    sweep = odd()
    assert f"Metric: {INJECTION}" in read_page(_html(sweep)).text
    assert _markdown(sweep).count(" (metric: ") == 1
    assert 'class="note">Metric: ' not in _html(ordinary({"p": 0.6, "p -> w": 0.8}))


def test_the_report_says_how_to_ship_another_program() -> None:
    content = ordinary({"p": 0.6, "p -> w": 0.8})
    for text in (read_page(_html(content)).text, _markdown(content).replace("`", "")):
        assert re.search(r"--ship NAME and another --out ships another program, .* p -> w@\d", text)
    content["winner"] |= {"chosen_by": "name"}
    named = as_sweep(content).shipped
    assert named.endswith("where its test score was the reason, that score is likely too high.")
    content["winner"] |= {"chosen_by": "validation within the price", "max_prompt_tokens": 90.0}
    priced = as_sweep(content).shipped
    assert priced.endswith("It is the best by validation of those that take at most 90 prompt tokens a row.")
    assert priced.replace("`", "") in read_page(_html(content)).text


@every_sweep
def test_page_is_accessible(sweep: dict[str, Any]) -> None:
    page = read_page(_html(sweep))
    levels = [int(heading.tag[1]) for heading in page.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for table in page.all("table"):
        assert next(table.all("caption")).text
        assert all(head.attributes.get("scope") for head in table.all("th"))
    for plot in page.all("svg"):
        if plot.attributes.get("aria-hidden") != "true":
            named = [page.by_id(name) for name in plot.attributes["aria-labelledby"].split()]
            assert [element.tag for element in named] == ["title", "desc"]
            assert all(element.text for element in named)
    ids = [element.attributes["id"] for element in page.all() if "id" in element.attributes]
    assert len(ids) == len(set(ids))


def _luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_colours_have_contrast_in_light_and_dark() -> None:
    (style,) = read_page(_html(ordinary())).all("style")
    schemes = [
        dict(re.findall(r"--([\w-]+): (#\w{6});", block)) for block in re.findall(r":root \{[^}]*\}", style.text)
    ]
    assert len(schemes) == 2
    for colours in schemes:
        for ink in ("ink", "muted", "vanilla", "prompts", "weights"):
            for ground in ("paper", "raised"):
                dark, light = sorted((_luminance(colours[ink]), _luminance(colours[ground])))
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)


def test_skipped_steps_are_shown() -> None:
    page = read_page(_html(odd()))
    assert "a step had nothing to do" in page.by_id("leaderboard-table").text
    (idle,) = [edge for edge in page.all("path") if edge.attributes["class"] == "edge idle"]
    assert idle.attributes["d"].startswith("M")
    assert "vanilla stays the program." in page.text


def test_demos_have_their_fields_in_the_order_of_the_prompt() -> None:
    sweep = json.loads(json.dumps(ordinary(), sort_keys=True))  # as in the file
    shown = _markdown(sweep).partition("### place")[2].partition("### ")[0]
    assert re.findall(r"^1\. (\w+): [^;]*; (\w+): [^;]*; (\w+):", shown, flags=re.MULTILINE) == [
        ("city", "country", "continent")
    ]
    page = read_page(_html(sweep))
    assert ["city", "country", "continent"] in [[name.text for name in demo.all("dt")] for demo in page.all("li")]


def _browse(*arguments: str, folder: Path) -> str:
    assert BROWSER
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, check=True, timeout=120).stdout


@needs_browser
@pytest.mark.slow
def test_browser_shows_the_same_numbers(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(_html(ordinary()), encoding="utf-8")
    page = read_page(_browse("--dump-dom", path.as_uri(), folder=tmp_path))
    assert _leaderboard(page) == _expected(ordinary())


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize("make", [lambda: ordinary(TWENTY), injected, odd], ids=["twenty arms", "injected", "odd"])
def test_phone_scrolls_inside_tables_and_never_the_page(make: Callable[[], dict[str, Any]], tmp_path: Path) -> None:
    """A frame as wide as a phone: a browser's own window cannot be made so narrow."""
    frame = f'<iframe width="390" height="800" srcdoc="{escape(_html(make()))}"></iframe>'
    measure = "onload = () => { document.title = frames[0].document.documentElement.scrollWidth }"
    path = tmp_path / "frame.html"
    path.write_text(f"<title>unknown</title>{frame}<script>{measure}</script>", encoding="utf-8")
    dom = _browse("--dump-dom", path.as_uri(), folder=tmp_path)
    assert 300 < _numbers(dom.partition("<title>")[2].partition("<")[0])[0] <= 390


def test_labels_of_a_plot_never_overlap() -> None:
    """Read from the page: every name in a plot of quality and price has room of its own."""
    page = read_page(_html(ordinary(TWENTY)))
    for name in ("call-plot-title", "make-plot-title"):
        (plot,) = [svg for svg in page.all("svg") if svg.attributes.get("aria-labelledby", "").startswith(name)]
        names = [text for text in plot.all("text") if "halo" in text.attributes["class"]]
        assert len(names) >= 14
        boxes = [(float(text.attributes["x"]), float(text.attributes["y"]), 7.0 * len(text.text)) for text in names]
        assert not [
            pair
            for pair in combinations(boxes, 2)
            if abs(pair[0][1] - pair[1][1]) < 12 and min(x + wide for x, _, wide in pair) > max(x for x, _, _ in pair)
        ]

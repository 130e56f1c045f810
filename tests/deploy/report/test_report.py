"""`pope report` over run folders: its files are complete, consistent and safe to open."""

import base64
import csv
import io
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from broker.connection import Client, connect
from broker.errors import UsageError
from broker.keys import Keys
from broker.metrics import Metrics
from broker.run_record import open_run
from conf.load import dump
from deploy.cluster.redis_server import EmbeddedRedis
from deploy.cluster.secret_environment import URL_VARIABLE
from deploy.report.build import report
from deploy.report.canvas import save
from deploy.report.contents import contents
from deploy.report.experiments import experiments
from deploy.report.figure_spec import Figure
from deploy.report.page import render
from deploy.report.run_reader import find_runs, read_run
from deploy.store.metric_files import MetricFile, path_of
from tests.reports import ended
from tests.synthetic_run import GROUPS, HARD, HOSTILE, STEPS, configured, synthetic_run

REPOSITORY = Path(__file__).parents[3]
FIGURES = {
    "outcome", "solvability", "evaluations", "reward", "entropy", "trajectory", "cost", "transfer", "first_solves",
    "guidance", "shares", "reward_change", "cosines", "starvation", "starvation_length", "lag", "throughput", "times",
    "accounting", "optimizer",
}  # fmt: skip
SECTIONS = {"results", "learning", "transfer", "interference", "pipeline", "problems", "runs"}


class Page(HTMLParser):
    """Tags with their attributes, the text outside of scripts and styles, and whether every tag is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "line", "polyline"):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["script"]:
            self.scripts.append(data)
        elif self._open[-1:] != ["style"]:
            self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def runs(redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two experiments of two seeds, one with easy problems and diagnostics; its name needs escaping."""
    root = tmp_path_factory.mktemp("runs")
    client = connect(redis_server.start(), client_name="test")
    for seed in (0, 1):
        synthetic_run(client, root / f"plain-s{seed}", seed=seed, arms=("unguided", "guided"))
        arms = ("unguided", "guided", "easy")
        synthetic_run(client, root / f"a$b<i>-s{seed}", seed=seed, arms=arms, skill=0.3, diagnostics=True)
    client.close()
    return root


@pytest.fixture(scope="module")
def written(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "report"
    report([runs], out, Console(file=io.StringIO()), url=None, num_rollouts=2)
    return out


@pytest.fixture(scope="module")
def page(written: Path) -> Page:
    return Page((written / "report.html").read_text())


def test_every_section_and_every_figure_is_there(page: Page, written: Path) -> None:
    assert {s["id"] for s in page.of("section")} == SECTIONS
    assert {f["id"] for f in page.of("figure")} == {f"figure-{name}" for name in FIGURES}
    assert {path.stem for path in (written / "figures").glob("*.png")} == FIGURES
    assert all((written / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG") for name in FIGURES)


def loads(html: str) -> list[str]:
    """What style sheets load, in the page and in its pictures; a reference into the same picture loads nothing."""
    pictures = [base64.b64decode(each).decode() for each in re.findall(r"data:image/svg\+xml;base64,([^\"]*)", html)]
    return [found for text in [html, *pictures] for found in re.findall(r"url\((?!#)[^)]*|@import[^;]*", text)]


def test_the_page_loads_nothing_from_elsewhere(page: Page, written: Path) -> None:
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
            target = attributes.get(name) or ""
            assert target == "" or target.startswith(("#", "data:image/svg+xml;base64,")), (tag, name)
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
    policy = next(m["content"] for m in page.of("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    html = (written / "report.html").read_text()
    assert loads(html) == []
    planted = html.replace("</style>", "body { background: url(http://x.example/y) }</style>")
    assert loads(planted) == ["url(http://x.example/y"]


def test_every_picture_has_an_alternative_text(page: Page) -> None:
    assert len(page.of("img")) == len(FIGURES)
    assert all(len(picture["alt"] or "") > 40 for picture in page.of("img"))


def test_what_a_model_wrote_is_text_and_nothing_else(page: Page) -> None:
    assert len(page.of("script")) == 1
    assert "alert" not in "".join(page.scripts)
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    shown = HOSTILE.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
    assert page.text.count(shown) >= 8
    assert not set("\x1b\u202e") & set(page.text)


def test_the_guidance_is_marked_in_the_prompt_of_the_guided_arm_alone(written: Path) -> None:
    html = (written / "report.html").read_text()
    groups = re.findall(r'<div class="group">\n<h4>(.*?)</h4>\n<pre>(.*?)</pre>', html, flags=re.S)
    assert len(groups) == 2 * 2 * 4  # experiments, problems, before and after with guidance and without
    for head, prompt in groups:
        marked = re.findall(r'<mark title="guidance">(.*?)</mark>', prompt)
        assert len(marked) == (", guided:" in head)
        assert all(re.fullmatch(r"&lt;i&gt;step \d&lt;/i&gt;", each) for each in marked)


def test_every_problem_has_a_row_with_a_line_for_each_arm(page: Page) -> None:
    assert "plain, seed 0: 15 problems" in page.text
    lines = [attributes["class"] for attributes in page.of("polyline")]
    assert (lines.count("unguided"), lines.count("guided"), lines.count("easy")) == (4 * HARD, 4 * HARD, 2 * HARD // 2)


def rows(path: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_text(), newline="")))


def test_the_csv_of_a_figure_says_what_the_json_says(written: Path) -> None:
    document = json.loads((written / "report.json").read_text())
    assert set(document["figures"]) == FIGURES
    for name, figure in document["figures"].items():
        head, *body = rows(written / "figures" / f"{name}.csv")
        assert head == figure["columns"]
        assert body == [["" if value is None else str(value) for value in row] for row in figure["rows"]], name


def test_the_table_is_the_same_in_markdown_csv_and_page(written: Path, page: Page) -> None:
    head, *body = rows(written / "table.csv")
    records = [dict(zip(head, row, strict=True)) for row in body]
    after = next(
        record
        for record in records
        if [record[name] for name in ("experiment", "stage", "arm", "k")] == ["plain", "after", "unguided", "1"]
    )
    assert (after["method"], after["seeds"]) == ("t over seeds", "0 1")
    assert float(after["mean"]) == pytest.approx(sum(map(float, after["values"].split())) / 2)
    text = f"{100 * float(after['mean']):.1f} [{100 * float(after['lower']):.1f}, {100 * float(after['upper']):.1f}]"
    markdown = (written / "table.md").read_text()
    assert text in markdown
    assert text in page.text
    assert markdown.splitlines()[2].startswith("| base, measured by a\\$b\\<i\\>")


def test_problems_csv_has_every_problem_and_arm(written: Path) -> None:
    _, *body = rows(written / "problems.csv")
    assert len(body) == 4 * 2 * HARD + 2 * HARD // 2
    assert {row[0] for row in body} == {"plain", "a$b<i>"}


def test_the_same_runs_give_the_same_page_and_the_same_pictures(runs: Path, tmp_path: Path) -> None:
    found = [contents(experiments([read_run(runs / "plain-s0")]), num_rollouts=1) for _ in range(2)]
    pictures = dict.fromkeys(FIGURES, b"")
    assert render(found[0], pictures) == render(found[1], pictures)
    figures = [next(f for f in each.sections[1].figures if isinstance(f, Figure)) for each in found]
    assert save(figures[0], tmp_path / "0.png") == save(figures[1], tmp_path / "1.png")
    assert (tmp_path / "0.png").read_bytes() == (tmp_path / "1.png").read_bytes()


def test_a_killed_run_gets_a_report_of_the_files_it_has(runs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cut"
    shutil.copytree(runs / "plain-s0", folder)
    for name in ("summary.json", "ledger.json", "balance.json", "measurements.json", "metrics/groups.jsonl"):
        (folder / name).unlink()
    (tmp_path / "report/figures").mkdir(parents=True)
    (tmp_path / "report/figures/solvability.png").write_text("of an earlier report")
    out = io.StringIO()
    written = report([folder], tmp_path / "report", Console(file=out), url=None, num_rollouts=1)
    text = Page(written.read_text()).text
    assert "groups.jsonl: not written, and the run's Redis cannot be read" in text
    for name in ("measurements.json", "summary.json"):
        assert f"{name}: missing (not written yet, or the run was killed)" in text
        assert f"{name}: missing (" in " ".join(out.getvalue().split())
    assert "k unguided rollouts was not drawn: no run has unguided rollouts" in text
    assert (tmp_path / "report/figures/entropy.png").exists()
    assert not (tmp_path / "report/figures/solvability.png").exists()


def test_a_run_that_goes_on_is_read_from_its_redis(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis", fsync="everysec", max_memory_gib=0.1, listen="127.0.0.1") as server:
        config = configured(0, ["unguided"])
        folder = tmp_path / "live"
        folder.mkdir()
        text = dump(config).replace("url: null", f"url: {server.url}")
        (folder / "settings.yaml").write_text(text)
        client: Client = connect(server.url, client_name="test")
        keys = Keys("synthetic")
        open_run(client, keys, "hash", resume=False)
        metrics = Metrics(client, keys, keep=100)
        (folder / "metrics").mkdir()
        file = MetricFile(path_of(folder / "metrics", "groups"), metrics)
        for successes in range(300):  # more than Redis keeps
            metrics.report(ended(successes, problem_id="p", step=3))
            file.follow() if successes % 50 == 0 else None
        read = read_run(folder, server.url)
        client.close()
    assert not read.over
    assert [(g.problem_id, g.successes, g.reward_sum) for g in read.groups] == [("p", n, float(n)) for n in range(300)]
    assert read.balance is not None


def test_records_come_back_as_they_were_written(runs: Path) -> None:
    read = read_run(runs / "plain-s1")
    assert (len(read.groups), read.rollouts, read.steps, read.over) == (GROUPS, 8 * GROUPS, STEPS, True)
    assert len(read.hard) == HARD
    assert not read.missing


def test_a_run_without_a_step_can_have_finished(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "plain-s0", tmp_path / "run")
    (tmp_path / "run/metrics/learner.jsonl").write_bytes(b"")
    read = read_run(tmp_path / "run")
    assert (read.over, read.steps, len(read.groups)) == (True, 0, GROUPS)


def test_the_folder_of_a_sweep_stands_for_its_runs(runs: Path) -> None:
    assert [path.name for path in find_runs([runs])] == ["a$b<i>-s0", "a$b<i>-s1", "plain-s0", "plain-s1"]
    with pytest.raises(UsageError, match="is named twice"):
        find_runs([runs, runs / "plain-s0"])


def test_the_runs_of_a_sweep_come_in_its_order(runs: Path, tmp_path: Path) -> None:
    """So an experiment keeps its colour while the sweep fills; runs that are not in the sweep come last."""
    shutil.copytree(runs, tmp_path / "runs")
    shutil.copytree(runs / "plain-s0", tmp_path / "runs/another")
    rows = [{"name": f"{name}-s{seed}", "experiment": name} for seed in (0, 1) for name in ("plain", "a$b<i>")]
    sweep = {"sweep": "x", "experiments": ["plain", "not yet", "a$b<i>"], "seeds": [0, 1], "runs": rows}
    (tmp_path / "runs/sweep.json").write_text(json.dumps(sweep))
    found = [path.name for path in find_runs([tmp_path / "runs"])]
    assert found == ["plain-s0", "plain-s1", "a$b<i>-s0", "a$b<i>-s1", "another"]
    (tmp_path / "runs/sweep.json").write_text("{")
    with pytest.raises(UsageError, match=r"sweep\.json is damaged: .*move it away"):
        find_runs([tmp_path / "runs"])


def test_a_damaged_file_is_named(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "plain-s0", tmp_path / "run")
    (tmp_path / "run/metrics/learner.jsonl").write_text("{\n")
    with pytest.raises(UsageError, match=r"learner\.jsonl is damaged: .*move it away"):
        read_run(tmp_path / "run")


def pope(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.cli", "report", *words]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)


def test_bad_input_ends_with_one_line(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    (tmp_path / "file").write_text("")
    live = tmp_path / "live/run"
    live.mkdir(parents=True)
    (live / "settings.yaml").write_text(dump(configured(0, ["unguided"])).replace("url: null", "url: redis://h"))
    for words, remedy in (
        ([str(tmp_path / "file")], "holds no run: name the folder that holds settings.yaml"),
        ([str(runs / "plain-s0"), "--out", str(tmp_path / "file")], "--out: "),
        ([str(live), "--url", "redis://127.0.0.1:1/0"], "127.0.0.1:1"),
        ([str(runs / "plain-s0"), "--rollouts", "-1"], "--rollouts"),
    ):
        refused = pope(*words)
        assert (refused.returncode, remedy in refused.stderr) == (2, True), refused
        assert len(refused.stderr.splitlines()) == 1


def test_help_has_examples() -> None:
    assert "pope report runs/hard-s0" in " ".join(pope("--help").stdout.split())

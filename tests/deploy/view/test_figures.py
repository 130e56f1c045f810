"""The figures of a run, of a mining run and of a fine-tuning, read back from matplotlib."""

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from actors.problems.mining import MinedProblem
from actors.problems.prefix_search import ChosenPrefix, PrefixTrial
from conf.load import load
from deploy.view import figure_kit, mining_figure, run_figure, sft_figure
from learner.sft_batches import Curriculum
from tests.reports import learner_step, sft_step

CONFIG = load(None, ["sft.data=demos.jsonl"])


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every figure that is saved."""
    figures: list[Any] = []
    save = figure_kit.save_png

    def spy(figure: Figure, path: Path, title: str) -> None:
        figures.append(figure)
        save(figure, path, title)

    monkeypatch.setattr(figure_kit, "save_png", spy)
    return figures


def labels(axis: Any) -> list[str]:
    return [text.get_text() for text in axis.get_legend().get_texts()]


def mined(name: str, bucket: str | None, successes: int) -> MinedProblem:
    return MinedProblem(
        problem_id=name, bucket=bucket, reason="", samples=128, successes=successes, evidence=128, truncated=0,
        unjudged=0, lower=0.0, upper=1.0, mean_completion_tokens=1.0, longest_completion_tokens=1,
    )  # fmt: skip


def test_a_run_is_four_panels(tmp_path: Path, drawn: list[Any]) -> None:
    run_figure.draw(
        tmp_path / "f.png",
        title="a run",
        learner=[learner_step(step, lag_mean=1.5, lag_max=6, entropy=0.4) for step in (1, 2)],
        solved={"unguided": [(0, 0.0), (2, 0.5)]},
        success={"guided": [(1, 0.25)]},
        evaluated=[(2, 0.1)],
        measured={
            "before": {"unguided": {"pass@8": 0.02, "pass@1": 0.01}},
            "after": {"guided": {"pass@1": 0.9, "pass@8": 1.0}},
        },
    )
    (figure,) = drawn
    measured, solved, success, age, entropy = figure.axes
    assert figure.get_suptitle() == "a run"
    assert [bar.get_height() for bar in measured.patches] == [0.01, 0.9, 0.02, 1.0]
    assert [text.get_text() for text in measured.texts] == ["@1\n1%", "@1\n90%", "@8\n2%", "@8\n100%"]
    assert [text.get_text() for text in measured.get_xticklabels()] == ["unguided\nbefore", "guided\nafter"]
    assert labels(solved) == ["unguided"]
    assert labels(success) == ["guided", "evaluated, pass@1"]
    assert labels(age) == ["lag, mean", "lag, max", "entropy (right)"]
    assert age.get_ylim()[1] > 6
    assert list(entropy.lines[0].get_ydata()) == [0.4, 0.4]


def test_a_run_that_trained_nothing_says_what_is_lacking(tmp_path: Path, drawn: list[Any]) -> None:
    run_figure.draw(tmp_path / "f.png", title="t", learner=[], solved={}, success={}, evaluated=[], measured={})
    assert [axis.texts[0].get_text() for axis in drawn[0].axes] == [
        "not measured", "no data", "no data", "no step was trained",
    ]  # fmt: skip
    assert (tmp_path / "f.png").stat().st_size > 1000


def test_mining_shows_solve_rates_by_bucket_and_the_search_for_prefixes(tmp_path: Path, drawn: list[Any]) -> None:
    records = [mined("p", "hard", 0), mined("q", "hard", 0), mined("r", None, 10)]
    chosen = [ChosenPrefix("p", 1, 2, "x", ""), ChosenPrefix("q", None, 2, "x", "")]
    trials = [PrefixTrial("p", 0, "x", 8, 0, 1), PrefixTrial("p", 1, "xy", 8, 4, 1), PrefixTrial("q", 1, "y", 8, 0, 1)]
    mining_figure.draw(tmp_path / "all.png", records, chosen, trials, CONFIG)
    mining_figure.draw(tmp_path / "rates.png", records, [], [], CONFIG)
    rates, useful, success = drawn[0].axes
    assert labels(rates) == ["hard (2)", "none (1)"]
    assert [bar.get_height() for bar in useful.patches] == [0, 1, 1]
    assert [tick.get_text() for tick in useful.get_xticklabels()] == ["1", "2", "none"]
    assert list(success.lines[0].get_ydata()) == [0.0, 0.25]
    assert len(drawn[1].axes) == 1
    assert drawn[1].get_suptitle() == "pope · builtin:tiny · 3 problems"


def test_a_fine_tuning_shows_loss_entropy_and_where_its_epochs_end(tmp_path: Path, drawn: list[Any]) -> None:
    reports = [sft_step(step, loss=3 - step / 4, entropy=0.5) for step in range(1, 7)]
    sft_figure.draw(tmp_path / "f.png", reports, Curriculum(num_examples=4, batch_samples=2, epochs=3, seed=0), CONFIG)
    for axis, first in zip(drawn[0].axes, (2.75, 0.5), strict=True):
        curve, *ends = axis.lines
        assert curve.get_ydata()[0] == first
        assert [line.get_xdata()[0] for line in ends] == [2.5, 4.5]
        assert axis.get_ylim()[0] == 0
    assert "demos.jsonl · 4 demonstrations · 6 steps" in drawn[0].get_suptitle()

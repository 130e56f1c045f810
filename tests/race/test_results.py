"""Table, Markdown and race.json of finished runs."""

import json
from pathlib import Path

import numpy as np

from tests.race import corrections, results
from tests.race.outcome import Outcome
from tests.race.picture import draw, held
from tests.race.test_outcome import outcome, unguided


def race_of_three() -> dict[str, list[Outcome]]:
    """pope reaches every level in one seed of two, TRL in its one; `mine` has too few groups."""
    return {
        "pope": [outcome(unguided([0] * 100 + [8] * 100), seed=0), outcome(unguided([0] * 160), seed=1)],
        "trl": [outcome(unguided([0] * 200 + [8] * 100), "trl", seed=0)],
        "mine": [outcome(unguided([0] * 5), "mine")],
    }


def test_the_json_has_the_agreed_form_and_null_where_a_level_was_never_reached(tmp_path: Path) -> None:
    path = results.save_json(tmp_path, results.rows(race_of_three()))
    pope = json.loads(path.read_text())["pope"]
    wanted = {"seed", "s_to_50", "s_to_90", "groups_to_50", "groups_to_90", "final"}
    assert wanted <= pope[0].keys()
    assert pope[0] == {
        "seed": 0, "s_to_25": 125.0, "s_to_50": 150.0, "s_to_75": 175.0, "s_to_90": 190.0, "groups_to_25": 125,
        "groups_to_50": 150, "groups_to_75": 175, "groups_to_90": 190, "final": 1.0, "groups": 200, "seconds": 200.0,
    }  # fmt: skip
    assert (pope[1]["s_to_90"], pope[1]["groups_to_90"], pope[1]["final"]) == (None, None, 0.0)


def test_a_range_counts_never_as_later_than_every_time() -> None:
    assert results.spread([93.0, None, 78.0]) == "93 (78 to never)"
    assert results.spread([None, None, 78.0]) == "never (78 to never)"
    assert results.spread([1234.0]) == "1,234"
    assert results.spread([None]) == "never"
    assert results.spread([]) == "-"
    assert results.cells("mine", results.rows(race_of_three())["mine"])[-1] == "-", "too few groups for a success"


def test_the_table_of_a_page_has_one_row_for_each_racer_and_compares_medians() -> None:
    text = results.markdown({"trl": race_of_three()["trl"], "fast": [outcome(unguided([8] * 100), "fast")]})
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 4
    assert rows[2].startswith("| trl | 1 | 225 | 250 | 275 | 290 | 225 |")
    assert len({line.count("|") for line in rows}) == 1
    assert "fast over trl, medians to 90 %: 0.34 of the seconds, 0.34 of the groups" in text


def test_no_share_is_told_where_a_median_is_never() -> None:
    told = results.comparisons(results.rows(race_of_three()))
    assert told[0] == "pope over trl, medians to 90 %: no finite share of the seconds, no finite share of the groups"


def test_finished_runs_are_read_back_in_the_order_of_the_table(tmp_path: Path) -> None:
    runs = race_of_three()
    for name in reversed(runs):
        for run in reversed(runs[name]):
            results.save(tmp_path, run)
    assert results.load_all(tmp_path) == {name: runs[name] for name in ("pope", "trl", "mine")}


def test_the_picture_is_drawn_also_without_enough_groups(tmp_path: Path) -> None:
    for runs in (race_of_three(), {"mine": race_of_three()["mine"]}):
        for path in draw(tmp_path, runs):
            assert path.stat().st_size > 1000


def test_a_step_function_keeps_its_newest_value() -> None:
    xs, ys = np.array([1.0, 2.0, 4.0]), np.array([0.1, 0.2, 0.4])
    assert held(xs, ys, np.array([1.0, 1.9, 2.0, 3.0, 9.0])).tolist() == [0.1, 0.1, 0.2, 0.2, 0.4]


def test_the_table_of_corrections_shows_the_end_of_every_seed_and_the_median_to_75_percent() -> None:
    learns, fails = unguided([0] * 100 + [8] * 100), unguided([0] * 160)
    text = corrections.markdown(
        {
            "lag-0": [outcome(learns, "lag-0")],
            "gspo-1": [outcome(learns, "gspo-1", seed=0), outcome(fails, "gspo-1", seed=1)],
            "gspo-2": [outcome(learns, "gspo-2", seed=seed) for seed in range(3)],
        }
    )
    (row,) = (line for line in text.splitlines() if line.startswith("| gspo"))
    assert row == "| gspo | 100 0 | 100 100 100 (175) | - | - |"
    assert text.endswith("Without a lag: 100 (175).\n")

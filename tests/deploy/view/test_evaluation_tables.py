import msgspec
import pytest

from actors.evaluation.results import Result, evaluation_report
from broker.errors import UsageError
from conf.schema import Sampling
from deploy.view.evaluation_tables import detail_table, main_table, read_reports, to_json, to_markdown


def results(source, solved, *, samples=4, timeouts=0, version=0):
    """One problem for each number of successes in `solved`."""
    return [
        Result(
            problem_id=f"{source}-{i}",
            source=source,
            samples=samples,
            verdicts={"correct": c, "wrong": samples - c - timeouts, "timeout": timeouts},
            truncated=1,
            completion_tokens=samples * (10 + i),
            longest_completion_tokens=50 + i,
            policy_version=version,
        )
        for i, c in enumerate(solved)
    ]


BASE = evaluation_report({"hard": results("hard", [0, 1]), "AIME25": results("AIME25", [4, 0])}, [1, 2], "base")
TRAINED = evaluation_report({"hard": results("hard", [2, 4], version=100)}, [1, 2], "hard + guide")


def test_rows_are_checkpoints_and_each_set_has_a_column_a_k():
    """hard, base: pass@1 = (0 + 1/4) / 2 = 12.5 %, pass@2 = (0 + 1/2) / 2 = 25 %;
    trained: (1/2 + 1) / 2 = 75 %, pass@2 = (1 - 1/6 + 1) / 2 = 91.67 %."""
    assert main_table([BASE, TRAINED]).splitlines() == [
        "| run          | hard pass@1 | hard pass@2 | AIME25 pass@1 | AIME25 pass@2 |",
        "|--------------|------------:|------------:|--------------:|--------------:|",
        "| base         |       12.50 |       25.00 |         50.00 |         50.00 |",
        "| hard + guide |       75.00 |       91.67 |             – |             – |",  # noqa: RUF001
    ]


def cells(table, row):
    """Column -> cell of the row with that number."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return dict(zip(lines[0], lines[row + 2], strict=True))


def test_the_details_hold_intervals_truncation_verdicts_and_tokens():
    row = cells(detail_table([evaluation_report({"hard": results("hard", [0, 1], timeouts=1)}, [1], "base")]), 0)
    assert (row["run"], row["set"], row["weights"], row["problems"]) == ("base", "hard", "0", "2")
    assert row["pass@1"].startswith("16.67 [0.00, 33.33]")  # (0 + 1/3) / 2: the timeout is no attempt
    assert (row["truncated"], row["correct"], row["wrong"], row["timeout"]) == ("25.00", "12.50", "62.50", "25.00")
    assert (row["tokens per completion"], row["longest"]) == ("10.5", "51")


def test_a_mean_over_fewer_problems_says_so():
    mixed = [*results("hard", [4, 4]), *results("more", [0], timeouts=3)]
    mixed = [msgspec.structs.replace(result, source="hard") for result in mixed]
    row = cells(detail_table([evaluation_report({"hard": mixed}, [1, 2], "base")]), 0)
    assert row["pass@2"].endswith("of 2 problems")
    assert not row["pass@1"].endswith("problems")


def test_a_bar_in_a_label_does_not_end_its_cell():
    assert "| a \\| b |" in main_table([msgspec.structs.replace(TRAINED, label="a | b")])


def test_reports_come_back_from_their_file(tmp_path):
    path = tmp_path / "eval.json"
    path.write_bytes(to_json([BASE, TRAINED]))
    assert read_reports([path]) == [BASE, TRAINED]


def test_files_merge_into_one_table_and_sets_of_one_label_into_one_row(tmp_path):
    more = evaluation_report({"HMMT25": results("HMMT25", [1, 1])}, [1, 2], "base")
    paths = [tmp_path / name for name in ("base.json", "trained.json", "hmmt.json")]
    for path, each in zip(paths, (BASE, TRAINED, more), strict=True):
        path.write_bytes(to_json([each]))
    rows = read_reports(paths)
    assert [(row.label, [s.name for s in row.sets]) for row in rows] == [
        ("base", ["hard", "AIME25", "HMMT25"]),
        ("hard + guide", ["hard"]),
    ]
    assert to_markdown(rows).startswith("| run          | hard pass@1 | hard pass@2 | AIME25 pass@1 |")


def test_one_set_measured_twice_under_one_label_is_refused(tmp_path):
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    for path in (first, second):
        path.write_bytes(to_json([TRAINED]))
    with pytest.raises(UsageError, match=r"2\.json: hard of 'hard \+ guide' is already in .*1\.json"):
        read_reports([first, second])


def test_intervals_of_two_levels_do_not_share_a_row(tmp_path):
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    first.write_bytes(to_json([TRAINED]))
    second.write_bytes(to_json([evaluation_report({"x": results("x", [1])}, [1], TRAINED.label, confidence=0.9)]))
    with pytest.raises(UsageError, match="same confidence"):
        read_reports([first, second])


def test_rows_that_were_sampled_differently_are_marked():
    cool, hot = Sampling(0.6, 0.95, None, 16384), Sampling(0.8, 1.0, None, 32768)
    base = evaluation_report({"hard": results("hard", [0, 1])}, [1], "base", sampling=cool)
    alike = msgspec.structs.replace(TRAINED, sampling=cool)
    assert "sampl" not in main_table([base, alike])
    assert cells(detail_table([base, alike]), 1)["sampling"] == "temperature 0.6, top-p 0.95, at most 16,384 tokens"
    for other, shown in ((hot, "temperature 0.8, at most 32,768 tokens"), (None, "not recorded")):
        table = main_table([base, msgspec.structs.replace(TRAINED, sampling=other)])
        assert [cells(table, row)["sampling"] for row in (0, 1)] == [str(cool), shown]
        assert table.endswith("**The rows were sampled differently and do not compare.**\n")


def test_the_sampling_of_a_report_comes_back_and_does_not_mix_within_a_row(tmp_path):
    cool = Sampling(0.6, 0.95, 20, 16384)
    reports = [
        evaluation_report({name: results(name, [1])}, [1], "base", sampling=sampling)
        for name, sampling in (("x", cool), ("y", cool), ("z", None))
    ]
    paths = [tmp_path / f"{name}.json" for name in "xyz"]
    for path, report in zip(paths, reports, strict=True):
        path.write_bytes(to_json([report]))
    assert read_reports(paths[:1]) == reports[:1]
    assert [row.sampling for row in read_reports(paths[:2])] == [cool]
    with pytest.raises(UsageError, match=r"z\.json: 'base' was sampled with not recorded, in the files before it with"):
        read_reports(paths)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"\xff{", "is not a report of an evaluation"),
        (b'{"schema": 1, "reports": [{"label": 3}]}', r"is not a report of an evaluation: .*\$\.reports\[0\]"),
        (b'{"schema": 2, "reports": []}', "has schema 2, but this version reads 1"),
    ],
)
def test_a_file_that_is_no_evaluation_is_named(tmp_path, content, message):
    path = tmp_path / "eval.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as raised:
        read_reports([path])
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)

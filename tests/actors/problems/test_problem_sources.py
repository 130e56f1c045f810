"""Every source is read into problems and rejected rows: files by their columns, hub data sets by their adapters.

The hub is not contacted: its data sets are local folders in its layout, read by the real `datasets` library.
"""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from actors.problems import hub_datasets as hub
from actors.problems import problem_sources as sources
from actors.problems.catalog import load_problem_set
from actors.problems.jsonl import write_problems, write_rejected
from actors.problems.mixture import ARM_BUCKET
from actors.problems.problem_sources import READERS, read_source
from actors.problems.row_layout import BUCKETS, COLUMNS, content_id
from broker.errors import UsageError
from broker.records import Problem
from conf.rules.problems import ARMS, DATA_SETS, FIELDS, FILE_ENDINGS
from conf.schema import ProblemSettings, VerifierSettings
from tests.user_module import user_module

UNGUIDED = {"unguided": 1}
SUM = {"problem": "What is 1+1?", "answer": "2", "solution": "1+1=2."}


def write_json(path, rows):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text(json.dumps(rows))
    return str(path)


def write_parquet(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return str(path)


def read(source, **settings):
    return read_source(ProblemSettings(source=str(source), **settings), 0)


# Files --------------------------------------------------------------------------------------------------------------


def test_the_same_rows_in_three_formats_are_the_same_problems(tmp_path):
    rows = [SUM, {**SUM, "problem": "What is 2+2?", "answer": "4"}]
    found = [
        read(write_json(tmp_path / "set.jsonl", rows)),
        read(write_json(tmp_path / "set.json", rows)),
        read(write_parquet(tmp_path / "set.parquet", rows)),
    ]
    seen = [[(p.id, p.statement, p.answer, p.solution) for p in one.problems] for one in found]
    assert seen[0] == seen[1] == seen[2]
    assert [one.rows for one in found] == [{p.id: n for n, p in enumerate(found[0].problems, 1)}] * 3


def test_an_id_is_the_hash_of_the_statement_with_normalized_white_space():
    digest = hashlib.sha256(b"What is 1+1?").hexdigest()
    assert content_id("set", " What  is\n1+1? ") == f"set-{digest[:12]}"


def test_columns_are_mapped_by_name_and_into_nested_values(tmp_path):
    row = {"ask": [{"content": "What is 1+1?"}], "gold": {"value": 2.0}, "key": 7, "steps": ["", "first", "second"]}
    fields = {"statement": "ask.0.content", "answer": "gold.value", "id": "key", "solution": "steps"}
    (problem,) = read(write_json(tmp_path / "set.jsonl", [row]), fields=fields).problems
    assert (problem.id, problem.statement, problem.answer, problem.solution) == ("7", "What is 1+1?", "2", "first")


def test_steps_and_answer_in_one_text_are_separated_and_calculator_annotations_removed(tmp_path):
    row = {"question": "How much?", "answer": "He makes 9*120=$<<9*120=1080>>1,080.\n#### 1,080"}
    (problem,) = read(write_json(tmp_path / "set.jsonl", [row])).problems
    assert (problem.answer, problem.solution) == ("1080", "He makes 9*120=$1,080.")


@pytest.mark.parametrize("field", ["problem", "answer", "solution", "guidance", "id", "source"])
def test_a_row_with_half_a_surrogate_pair_is_rejected(tmp_path, field):
    """JSON can spell it, but UTF-8 cannot encode it, so that writing the problem would fail."""
    found = read(write_json(tmp_path / "a.jsonl", [{**SUM, field: "x\ud800y"}, {**SUM, "problem": "2+0?"}]))
    assert [(r.row, r.id, r.reason) for r in found.rejected] == [(1, "row 1", "not_unicode")]
    assert f'"{field}" holds half of a surrogate pair' in found.rejected[0].detail
    assert [p.statement for p in found.problems] == ["2+0?"]
    write_rejected(tmp_path / "why.jsonl", found.rejected)


def test_a_complete_surrogate_pair_is_a_character(tmp_path):
    found = read(write_json(tmp_path / "a.jsonl", [{**SUM, "problem": "\U0001f600 + 1?"}]))
    assert "\\ud83d" in (tmp_path / "a.jsonl").read_text()
    assert found.problems[0].statement == "\U0001f600 + 1?"


def test_rows_that_cannot_be_trained_on_are_rejected_with_row_and_reason(tmp_path):
    rows = [
        SUM,
        {"problem": "  ", "answer": "1"},
        {"problem": "What is 3+3?", "answer": ""},
        {"problem": "What is 4+4?", "answer": None},
        {"problem": "Prove that 1+1=2.", "answer": "2"},
        {"problem": "What is 5+5?", "answer": "proof"},
        {"problem": "What is 6+6?", "answer": "{12"},
        {"problem": "What is\n1+1?", "answer": "two"},
        {"problem": "Show that x=2 is a root and find the other one.", "answer": "3"},
    ]
    found = read(write_json(tmp_path / "set.jsonl", rows))
    assert [p.answer for p in found.problems] == ["2", "3"]
    assert [(r.row, r.reason) for r in found.rejected] == [
        (2, "empty_statement"), (3, "no_answer"), (4, "no_answer"), (5, "proof_only"), (6, "proof_only"),
        (7, "unparsable_answer"), (8, "duplicate"),
    ]  # fmt: skip
    assert found.num_rows == 9
    assert found.rejected[0].id == "row 2"
    assert found.rejected[-1].detail == (
        f"the same statement as {found.problems[0].id}, whose answer is '2' and not 'two'"
    )
    write_rejected(tmp_path / "why.jsonl", found.rejected)
    lines = [json.loads(line) for line in (tmp_path / "why.jsonl").read_text().splitlines()]
    assert lines[1] == {
        "row": 3, "id": content_id("set", "What is 3+3?"), "reason": "no_answer",
        "detail": '"answer" is empty; write the answer itself, or remove the row',
    }  # fmt: skip


def test_levels_are_filtered_whether_they_are_numbers_or_words(tmp_path):
    rows = [{**SUM, "problem": f"{n}?", "level": level} for n, level in enumerate([4, "Level 5", 5.5, "easy", None])]
    found = read(write_json(tmp_path / "set.jsonl", rows), levels=[4.5, 5.5])
    assert [p.statement for p in found.problems] == ["1?", "2?"]
    assert [r.detail for r in found.rejected] == [
        "its level is 4, problems.levels asks for 4.5 to 5.5",
        "it has no level, problems.levels asks for 4.5 to 5.5",
        "it has no level, problems.levels asks for 4.5 to 5.5",
    ]


@pytest.mark.parametrize(
    ("name", "rows", "settings", "complaint"),
    [
        ("set.json", {"problem": "x"}, {}, r"set\.json: a JSON dict, not a list"),
        ("set.json", [SUM, 3], {}, r"set\.json: item 2: a JSON int, not an object"),
        ("set.json", [], {}, r"set\.json: no problem in it"),
        ("set.jsonl", [{"q": "x", "answer": "1"}], {"fields": {"statement": "question"}},
         r'set\.jsonl:1: no "question"; .* this one has q, answer; problems\.fields\.statement names it'),
        ("set.jsonl", [SUM], {"fields": {"solution": "solutoin"}},
         r"problems\.fields\.solution=solutoin: .*has no such column.* did you mean solution\?"),
        ("set.jsonl", [SUM], {"levels": [1, 2]}, r"set\.jsonl:1: problems\.levels needs a level; name its column"),
        ("set.jsonl", [{**SUM, "guidance": 1}], {}, r'set\.jsonl:1: "guidance" is a JSON int'),
        ("set.csv", [SUM], {}, r"set\.csv: give a file that ends in \.jsonl, \.json or \.parquet"),
    ],
)  # fmt: skip
def test_a_row_with_a_wrong_form_is_refused_with_its_location(tmp_path, name, rows, settings, complaint):
    with pytest.raises(UsageError, match=complaint):
        read(write_json(tmp_path / name, rows), **settings)


def test_an_unreadable_json_or_parquet_file_is_refused_with_its_name(tmp_path):
    (tmp_path / "set.json").write_text('[{"problem": "x",\n]')
    with pytest.raises(UsageError, match=r"set\.json: not JSON \(.*line 2, column 1\)"):
        read(tmp_path / "set.json")
    (tmp_path / "set.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UsageError, match=r"set\.parquet: not a readable Parquet file"):
        read(tmp_path / "set.parquet")
    with pytest.raises(UsageError, match=r"none\.parquet: not a readable Parquet file"):
        read(tmp_path / "none.parquet")
    row = {"problem": "x", "answer": "1", "id": "a"}
    with pytest.raises(UsageError, match=r"twice\.parquet: row 2: \"id\" 'a' is already that of row 1"):
        read(write_parquet(tmp_path / "twice.parquet", [row, {**row, "problem": "y"}]))


def test_written_problems_are_read_back_equal(tmp_path):
    problems = [
        Problem(id="a", statement="$x$?\nyes", answer="1", bucket="hard", source="s", solution="One.\n\nTwo.",
                guidance="One."),
        Problem(id="b", statement="y?", answer="\\frac{1}{2}", bucket="easy", source="s", solution="S", guidance=""),
        Problem(id="c", statement="z\u2028?", answer="3", bucket="easier", source="elsewhere", system="Be brief."),
    ]  # fmt: skip
    write_problems(tmp_path / "problems.jsonl", problems)
    found = read(tmp_path / "problems.jsonl")
    assert (found.problems, found.rejected) == (problems, [])
    assert not list(tmp_path.glob("*.tmp"))


def test_a_byte_order_mark_windows_line_ends_and_nan_in_other_columns_are_accepted(tmp_path):
    lines = [SUM, {**SUM, "problem": "What is 2+3?", "answer": "5", "pass_rate": float("nan"), "id": float("nan")}]
    text = "\r\n".join(map(json.dumps, lines))
    (tmp_path / "set.jsonl").write_bytes(b"\xef\xbb\xbf" + text.encode())
    (tmp_path / "set.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(lines).encode())
    for name in ("set.jsonl", "set.json"):
        found = read(tmp_path / name)
        assert [p.answer for p in found.problems] == ["2", "5"]
        assert not found.rejected


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), "", "N/A", "none", [], ["?"], "\\text{unknown}"])
def test_a_missing_answer_is_rejected_by_name(tmp_path, value):
    found = read(write_json(tmp_path / "set.jsonl", [SUM, {**SUM, "problem": "What is 2+3?", "answer": value}]))
    assert [(r.row, r.reason) for r in found.rejected] == [(2, "no_answer")]


def test_missing_answers_and_short_floats_of_a_table(tmp_path):
    answers = pyarrow.array([1.0, float("nan"), None, 0.1], pyarrow.float32())
    table = pyarrow.table({"problem": ["1?", "2?", "3?", "4?"], "answer": answers})
    pyarrow.parquet.write_table(table, tmp_path / "set.parquet")
    found = read(tmp_path / "set.parquet")
    assert [p.answer for p in found.problems] == ["1", "0.1"]
    assert [r.detail.split(",")[0] for r in found.rejected] == [
        '"answer" is NaN', '"answer" is empty; write the answer itself',
    ]  # fmt: skip


def test_a_number_that_matches_nothing_is_rejected(tmp_path):
    rows = [{**SUM, "answer": True}, {**SUM, "problem": "How long?", "answer": 3.141592653589793}]
    found = read(write_json(tmp_path / "set.jsonl", rows))
    assert [(r.row, r.reason) for r in found.rejected] == [(1, "unmatchable_answer"), (2, "unmatchable_answer")]


TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is 1+1?"},
    {"role": "assistant", "content": "It is \\boxed{2}."},
]


@pytest.mark.parametrize(
    ("row", "fields"),
    [
        ({"messages": TURNS}, {}),
        ({"prompt": TURNS}, {}),
        ({"conversations": [{"from": t["role"], "value": t["content"]} for t in TURNS]}, {}),
        ({"chat": TURNS}, {"statement": "chat"}),
        ({"prompt": json.dumps(TURNS)}, {}),
        ({"prompt": str(TURNS)}, {}),
        ({"prompt": TURNS}, {"statement": "prompt.0.content"}),
        ({"data": {"turns": TURNS}}, {"statement": "data.turns.1.content", "solution": "data.turns.1.content"}),
        ({"problem": "What is 1+1?", "system": "Be brief.", "solution": "It is \\boxed{2}."}, {}),
    ],
)
@pytest.mark.parametrize("write", [write_json, write_parquet])
def test_a_conversation_is_read_by_roles_whatever_position_is_named(tmp_path, row, fields, write):
    suffix = ".jsonl" if write is write_json else ".parquet"
    (problem,) = read(write(tmp_path / f"set{suffix}", [{**row, "answer": "2"}]), fields=fields).problems
    assert (problem.statement, problem.system, problem.solution) == ("What is 1+1?", "Be brief.", "It is \\boxed{2}.")


def test_conversations_and_statements_that_text_cannot_hold_are_rejected_by_name(tmp_path):
    rows = [
        {"messages": [TURNS[1], {"role": "tool", "content": "2"}]},
        {"messages": TURNS[:1]},
        {"messages": []},
        {"problem": "nan"},
        {"problem": "What is in <image>?"},
        {"problem": "What is here? ![](https://example.org/a.png)"},
        {"problem": "What is it?", "images": ["a.png"]},
        {"problem": "What is 0+2?", "images": []},
    ]
    found = read(write_json(tmp_path / "set.jsonl", [{**row, "answer": "2"} for row in rows]))
    assert [r.reason for r in found.rejected] == [
        "tool_turn", "empty_statement", "empty_statement", "empty_statement", "not_text", "not_text", "not_text",
    ]  # fmt: skip
    assert [p.statement for p in found.problems] == ["What is 0+2?"]


def test_of_several_questions_the_last_is_the_problem_and_they_are_counted(tmp_path):
    rows = [{"messages": [*TURNS, {"role": "user", "content": "What is 2+2?"}], "answer": "4"}, {**SUM}]
    found = read(write_json(tmp_path / "set.jsonl", rows))
    assert [p.statement for p in found.problems] == ["What is 2+2?", SUM["problem"]]
    assert found.problems[0].system == TURNS[0]["content"]
    assert found.explain() == "2 problems; rejected rows: none; without the turns before the last question: 1"


def test_one_statement_with_contradicting_answers_is_rejected_in_both_rows(tmp_path):
    rows = [SUM, {**SUM, "answer": "3"}, {**SUM, "answer": "2.0"}, {**SUM, "problem": "0+1?", "answer": "1"}]
    found = read(write_json(tmp_path / "set.jsonl", rows))
    assert [p.statement for p in found.problems] == ["0+1?"]
    assert [(r.row, r.reason) for r in found.rejected] == [
        (1, "conflicting_answers"), (2, "conflicting_answers"), (3, "duplicate"),
    ]  # fmt: skip
    assert "the same statement as row 2, whose answer is '3' and not '2'" in found.rejected[0].detail


# The problems of a run ----------------------------------------------------------------------------------------------


def test_a_run_gets_the_buckets_its_arms_draw_from(tmp_path):
    rows = [{**SUM, "problem": f"{bucket}?", "bucket": bucket} for bucket in ("hard", "easy", "easier")]
    source = write_json(tmp_path / "set.jsonl", rows)
    for arms, buckets in ((UNGUIDED, ["hard"]), ({"unguided": 1, "easier": 1}, ["hard", "easier"])):
        found = load_problem_set(ProblemSettings(source=source, arms=arms), 0)
        assert [p.bucket for p in found.problems] == buckets


def test_a_run_without_a_usable_problem_is_refused_with_the_reasons(tmp_path):
    rows = [{"problem": "x?", "answer": ""}, {"problem": "y?", "answer": "t(0,4]"}]
    source = write_json(tmp_path / "set.jsonl", rows)
    with pytest.raises(UsageError, match=r"0 problems; rejected rows: 1 no_answer, 1 unparsable_answer; pope problems"):
        load_problem_set(ProblemSettings(source=source), 0)


def test_guidance_in_the_file_replaces_a_solution(tmp_path):
    row = {"problem": "x?", "answer": "1", "guidance": "Think."}
    (problem,) = load_problem_set(ProblemSettings(source=write_json(tmp_path / "set.jsonl", [row])), 0).problems
    assert problem.guidance == "Think."


# The hub ------------------------------------------------------------------------------------------------------------

DAPO_BEFORE = (
    "Solve the following math problem step by step. The last line of your response should be of the form Answer: "
    "$Answer (without quotes) where $Answer is the answer to the problem.\n\n"
)
DAPO_AFTER = '\n\nRemember to put your answer on its own line after "Answer:".'
STATEMENT = "What is\n\n$1+1$?"


def dapo(index, statement=STATEMENT):
    return {
        "data_source": "math_dapo",
        "prompt": [{"content": DAPO_BEFORE + statement + DAPO_AFTER, "role": "user"}],
        "ability": "MATH",
        "reward_model": {"ground_truth": "2", "style": "rule-lighteval/MATH_v2"},
        "extra_info": {"index": index},
    }


LAYOUTS = {
    "dapo-math-17k": ("data/dapo-math-17k.parquet", [dapo("a"), dapo("b", "What is 2+0?"), dapo("a")]),
    "omni-math": (
        "test.jsonl",
        [
            {"domain": ["Algebra"], "difficulty": level, "problem": statement, "solution": "It is 2.", "answer": "2",
             "source": "HMMT_2"}
            for level, statement in ((4.0, STATEMENT), (7.5, "What is 2+0?"))
        ],
    ),
    "acereason-math": ("math.jsonl", [{"problem": STATEMENT, "answer": "2"}]),
    "aime-2025": (
        "data/train-00000-of-00001.parquet",
        [{"problem_idx": 1, "problem": STATEMENT, "answer": 2, "problem_type": ["Algebra"]}],
    ),
    "hmmt-2025": (
        "data/train-00000-of-00001.parquet",
        [{"problem_idx": 1, "problem": STATEMENT, "answer": "$2$", "problem_type": ["Algebra"]}],
    ),
    "gsm8k": (
        "main/train-00000-of-00001.parquet", [{"question": STATEMENT, "answer": "It is <<1+1=2>>2.\n#### 2"}],
    ),
    "math-500": (
        "test.jsonl",
        [{"problem": STATEMENT, "solution": "It is 2.", "answer": "2", "subject": "Algebra", "level": 2,
          "unique_id": "test/algebra/1.json"}],
    ),
}  # fmt: skip
GSM8K_CARD = """---
configs:
- config_name: main
  data_files:
  - split: train
    path: main/train-*
  - split: test
    path: main/test-*
---
"""


def as_on_the_hub(folder: Path, name: str) -> Path:
    """A folder in the layout of the data set."""
    path, rows = LAYOUTS[name]
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (write_parquet if path.endswith(".parquet") else write_json)(folder / path, rows)
    if name == "gsm8k":
        write_parquet(folder / "main/test-00000-of-00001.parquet", [{"question": "Other?", "answer": "No.\n#### 3"}])
        (folder / "README.md").write_text(GSM8K_CARD)
    return folder / path


@pytest.fixture
def on_the_hub(tmp_path, monkeypatch):
    """`on_the_hub(name)` makes a short name refer to a local folder. The cache of `datasets` is local too."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")

    def point(name):
        file = as_on_the_hub(tmp_path / name, name)
        monkeypatch.setitem(hub.HUB_DATASETS, name, replace(hub.HUB_DATASETS[name], hub_id=str(tmp_path / name)))
        return file

    return point


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_hub_data_set_is_read_through_the_real_library(on_the_hub, name):
    on_the_hub(name)
    found = read(name)
    first = found.problems[0]
    assert (first.statement, first.answer, first.id) == (STATEMENT, "2", content_id(name, STATEMENT))
    assert first.solution == ("It is 2." if name in ("omni-math", "gsm8k", "math-500") else None)
    assert first.source == name
    assert not found.rejected
    assert len(found.problems) == (2 if name in ("dapo-math-17k", "omni-math") else 1)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_hub_data_set_can_be_read_from_its_own_file(tmp_path, name):
    (first, *_) = (found := read(f"{name}:{as_on_the_hub(tmp_path, name)}")).problems
    assert (first.id, first.source) == (content_id(name, STATEMENT), name)
    assert not found.rejected


def test_omni_math_is_filtered_by_difficulty(on_the_hub):
    on_the_hub("omni-math")
    found = read("omni-math", levels=[6, 10])
    assert [p.statement for p in found.problems] == ["What is 2+0?"]
    assert found.reasons() == {"outside_levels": 1}


def test_the_split_can_be_chosen_and_a_wrong_one_is_named(on_the_hub):
    on_the_hub("gsm8k")
    assert [p.answer for p in read("gsm8k", split="test").problems] == ["3"]
    with pytest.raises(UsageError, match=r"problems\.source=gsm8k: .*Unknown split.*see problems\.split"):
        read("gsm8k", split="tset")


def test_an_unreachable_hub_is_a_one_line_error_with_a_remedy():
    with pytest.raises(UsageError, match="source=aime-2025: MathArena/aime_2025: cannot be loaded: ") as caught:
        read("aime-2025", split="nowhere")
    assert "download a file of it and give problems.source=aime-2025:FILE" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_and_code_list_the_same_names():
    assert tuple(hub.HUB_DATASETS) == DATA_SETS
    assert set(COLUMNS) == set(FIELDS)
    assert {*READERS, ".parquet"} == set(FILE_ENDINGS)
    assert tuple(ARM_BUCKET) == ARMS
    assert set(ARM_BUCKET.values()) == set(BUCKETS)


# Real data ----------------------------------------------------------------------------------------------------------

SHARED = Path(os.environ.get("POPE_SHARED_DATA", Path(sources.__file__).parents[3] / "shared" / "data"))
REAL = {
    "aime24.jsonl": (30, {}),
    "aime_1983_2023.json": (975, {}),
    "gsm8k_test.jsonl": (1319, {}),
    "olympiadbench.jsonl": (673, {"1965": "is a sentence", "2045": "'t(0,4]' cannot be verified"}),
}
"""File -> (number of problems, {id of a rejected row: part of its detail})."""


@pytest.mark.parametrize("name", REAL)
def test_real_problems_load_and_the_rest_has_a_reason(name):
    if not (SHARED / name).exists():
        pytest.skip(f"{SHARED / name} does not exist; set POPE_SHARED_DATA to the folder of the real problems")
    loaded, rejected = REAL[name]
    found = load_problem_set(ProblemSettings(source=str(SHARED / name)), 0)
    assert {row.id: row.reason for row in found.rejected} == dict.fromkeys(rejected, "unparsable_answer")
    assert all(part in row.detail for row in found.rejected for part in [rejected[row.id]])
    assert len(found.problems) == loaded
    assert loaded >= 0.98 * found.num_rows
    assert all(problem.solution for problem in found.problems)


# Functions of the user ----------------------------------------------------------------------------------------------

ROWS = """
def capitals(seed):
    yield {"problem": "Capital of France?", "answer": "Paris", "solution": "It has a tower. Paris.", "id": f"fr-{seed}"}
    yield {"problem": "Name a town.", "answer": ""}
    yield {"problem": "Complete: def f(): ...", "answer": "assert f() == **1**", "bucket": "easy"}

def broken(seed):
    yield {"problem": "1+1?", "answer": "2"}
    raise OSError("the server is away")

def tuples(seed):
    return [("1+1?", "2")]

def empty(seed):
    return []
"""


@pytest.fixture
def rows(tmp_path):
    with user_module(tmp_path, "plugin_rows", ROWS):
        yield


@pytest.mark.usefixtures("rows")
def test_rows_of_a_function_are_read_as_those_of_a_file_and_answers_of_another_verifier_as_they_are():
    settings = ProblemSettings(source="plugin_rows:capitals", arms={"unguided": 1, "easy": 1})
    found = load_problem_set(settings, 7, VerifierSettings(judge="exact_match"))
    france, code = found.problems
    assert (france.id, france.answer, france.solution) == ("fr-7", "Paris", "It has a tower. Paris.")
    assert (france.source, code.answer, code.bucket) == ("plugin_rows:capitals", "assert f() == **1**", "easy")
    assert code.id.startswith("capitals-")
    assert found.reasons() == {"no_answer": 1}


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", r"problems.source=plugin_rows:broken failed after 1 rows: OSError: the server is away"),
        ("tuples", r"problems.source=plugin_rows:tuples failed after 1 rows: TypeError: a row is a mapping .* a tuple"),
        ("empty", r"problems.source=plugin_rows:empty: the source has no rows"),
    ],
)
def test_a_function_that_gives_no_rows_is_an_error_of_one_line(name, message):
    with pytest.raises(UsageError, match=message):
        read(f"plugin_rows:{name}")

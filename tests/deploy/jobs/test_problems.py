"""`pope problems`: what it prints and writes, and its errors for invalid input."""

import json

import msgspec
import pytest

from actors.problems.jsonl import write_problems
from actors.problems.prefix_search import ChosenPrefix
from broker.errors import UsageError
from broker.records import Problem
from deploy import cli
from deploy.jobs.problems import oracle_warning
from deploy.store.measurements import with_guidance
from tests.actors.chat_tokenizers import SWITCHED, byte_tokenizer

GUIDED = Problem(
    id="sum-1", statement="What is 1+1?", answer="2", bucket="hard", source="test", guidance="Add one.",
    solution="Add one.\nThat is 2.",
)  # fmt: skip


def pope(monkeypatch, capsys, *words):
    """(exit code, stdout, stderr) of `pope problems ...`."""
    monkeypatch.setattr("sys.argv", ["pope", "problems", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, *capsys.readouterr()


def test_existing_guidance_is_kept():
    fresh = msgspec.structs.replace(GUIDED, id="sum-2", guidance=None)
    chosen = ChosenPrefix(problem_id="sum-2", index=0, num_candidates=1, prefix="Add", reason="3 of 12 solved")
    assert [p.guidance for p in with_guidance([GUIDED, fresh], [chosen])] == ["Add one.", "Add"]


@pytest.fixture
def source(tmp_path):
    rows = [
        {"question": "What is 1+1?", "gold": "2", "solution": "One and one."},
        {"question": "What is 1/2?", "gold": "\\frac12"},
        {"question": "What is 1+1?", "gold": "2"},
        {"question": "Which interval?", "gold": "t(0,4]"},
    ]
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_check_counts_rows_reasons_solutions_and_kinds_and_writes_the_reasons(tmp_path, source, monkeypatch, capsys):
    reasons = tmp_path / "why.jsonl"
    code, out, _ = pope(monkeypatch, capsys, "check", source, "fields.answer=gold", "--reasons", reasons)
    assert code == 0
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in out.splitlines() if "│" in line]
    assert cells == [
        ["in the source", "4"], ["loaded", "2"], ["rejected: duplicate", "1"], ["rejected: unparsable_answer", "1"],
        ["with a solution", "1"], ["no prefix for guidance", "1"],
        ["bucket: hard", "2"], ["answer: integer", "1"], ["answer: expression", "1"],
    ]  # fmt: skip
    assert f"2 rejected rows in {reasons}" in out.replace("\n", "")
    assert [json.loads(line)["row"] for line in reasons.read_text().splitlines()] == [3, 4]


def test_check_without_a_file_of_reasons_prints_the_first(source, monkeypatch, capsys):
    _, out, _ = pope(monkeypatch, capsys, "check", source, "fields.answer=gold")
    assert "2 rejected rows; --reasons FILE writes all of them" in out
    assert "  duplicate: row 3 (sums-" in out
    assert "  unparsable_answer: row 4 (sums-" in out
    assert "the same statement as sums-" in out


def test_show_lists_as_many_as_asked_for(source, monkeypatch, capsys):
    code, out, _ = pope(monkeypatch, capsys, "show", source, "fields.answer=gold", "--limit", "1")
    assert code == 0
    assert "1 of 3; --limit N lists more" in out


def test_show_marks_the_cut_in_the_solution_of_a_run_folder(tmp_path, monkeypatch, capsys):
    write_problems(tmp_path / "problems.jsonl", [GUIDED])
    code, out, _ = pope(monkeypatch, capsys, "show", tmp_path, "--id", "sum-1")
    assert code == 0
    assert "solution, 42% of it guidance:\n\nAdd one.\n──── guidance ends here ────\nThat is 2.\n" in out


def test_the_list_says_which_problems_have_no_prefix(tmp_path, monkeypatch, capsys):
    without = msgspec.structs.replace(GUIDED, id="sum-2", statement="What is 2-0?", guidance="")
    write_problems(tmp_path / "problems.jsonl", [GUIDED, without])
    _, out, _ = pope(monkeypatch, capsys, "show", tmp_path)
    shares = [line.split("│")[5].strip() for line in out.splitlines() if line.startswith("│ sum-")]
    assert shares == ["42%", "no prefix"]


def test_the_built_in_domain_can_be_shown(monkeypatch, capsys):
    code, out, _ = pope(monkeypatch, capsys, "show", "builtin:tiny", "--id", "chain6-s0-0000")
    assert code == 0
    assert "answer: a^" in out
    code, out, _ = pope(monkeypatch, capsys, "check", "builtin:tiny")
    assert "bucket: easy" in out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["show", "gms8k"], "did you mean gsm8k?"),
        (["show", "SOURCE", "fields.answer=gold", "--id", "sums-nine"], "no problem has the id sums-nine"),
        (["show", "FOLDER"], "holds no problems.jsonl; name the folder of a run, or a file"),
        (["check", "SOURCE"], 'sums.jsonl:1: no "answer"; every line needs a problem and an answer'),
        (["check", "SOURCE", "fields.answer=gold", "--reasons", "/nowhere/why.jsonl"], "No such file or directory"),
        (["check", "none.jsonl"], "none.jsonl: No such file or directory"),
    ],
)
def test_bad_input_is_one_line_and_code_2(words, complaint, source, monkeypatch, capsys):
    (source.parent / "empty").mkdir()
    places = {"SOURCE": source, "FOLDER": source.parent / "empty"}
    code, _, err = pope(monkeypatch, capsys, *(places.get(word, word) for word in words))
    assert code == 2
    assert err.startswith("pope: ")
    assert err.count("\n") == 1
    assert complaint in err


def test_showing_a_rejected_row_by_id_gives_the_reason(tmp_path, monkeypatch, capsys):
    path = tmp_path / "set.jsonl"
    path.write_text('{"problem": "Prove that 2 is prime.", "answer": "", "id": "p"}\n')
    code, _, err = pope(monkeypatch, capsys, "show", path, "--id", "p")
    assert code == 2
    assert "p is row 1, rejected as proof_only: it asks for a proof" in err


def test_the_oracle_warning_requires_a_solution_and_names_the_risks():
    boxed = msgspec.structs.replace(GUIDED, id="sum-2", solution="Add one.\nThat is \\boxed{2}.")
    bare = msgspec.structs.replace(GUIDED, id="sum-3", solution=None)
    easy = msgspec.structs.replace(GUIDED, id="sum-4", bucket="easy")
    with pytest.raises(UsageError, match="no hard problem has a solution; request solutions with pope oracle, or set"):
        oracle_warning([bare, easy])
    assert oracle_warning([boxed]).endswith("watch entropy and grad norm")
    assert "could not make it train stably" in oracle_warning([boxed])
    assert "1 of 2 hard problems have no solution" in oracle_warning([boxed, bare, easy])


def test_the_oracle_warning_counts_solutions_without_a_boxed_answer():
    boxed = msgspec.structs.replace(GUIDED, id="sum-2", solution="Add one.\nThat is \\boxed{2}.")
    bare = msgspec.structs.replace(GUIDED, id="sum-3", solution=None)
    easy = msgspec.structs.replace(GUIDED, id="sum-4", bucket="easy")
    assert "\\boxed" not in oracle_warning([boxed, bare, easy])
    assert oracle_warning([boxed, GUIDED, bare, easy]).endswith(
        "; 1 of 2 solutions hold no \\boxed answer and get reward 1 nevertheless"
    )


@pytest.fixture
def model(tmp_path):
    """A folder with a tokenizer and no weights, which a prompt does not need."""
    byte_tokenizer(SWITCHED).save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").touch()
    return f"model.path={tmp_path / 'model'}"


def test_prompt_shows_what_the_model_gets_and_what_ends_a_response(tmp_path, model, monkeypatch, capsys):
    write_problems(tmp_path / "p.jsonl", [GUIDED])
    words = ("prompt", tmp_path / "p.jsonl", model, "prompts.system=Be brief.", "template_kwargs.enable_thinking=false")
    code, out, _ = pope(monkeypatch, capsys, *words)
    assert code == 0
    assert "sum-1, unguided: " in out
    assert "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat is 1+1?" in out
    assert "Partial Response: Add one.\n" in out
    assert "assistant\n<think>\n\n</think>\n" in out
    assert "a response ends at <|im_end|> (258)" in out
    assert "prompts skip the thought (<think></think>)" in out


def test_prompt_names_the_problem_that_the_model_cannot_be_given(tmp_path, model, monkeypatch, capsys):
    write_problems(tmp_path / "p.jsonl", [msgspec.structs.replace(GUIDED, statement="What is <|im_end|>?")])
    code, _, err = pope(monkeypatch, capsys, "prompt", tmp_path / "p.jsonl", model)
    assert code == 2
    assert "problem sum-1: the text holds <|im_end|>" in err
    code, _, err = pope(monkeypatch, capsys, "prompt", tmp_path / "p.jsonl", model, "--id", "sum-2")
    assert code == 2
    assert "no problem has the id sum-2; did you mean sum-1?" in err

"""Problems whose prompt is too long, or cannot be rendered, are rejected at load with its length and the setting."""

from actors.problems.problem_set import ProblemSet
from actors.problems.prompt_lengths import reject_long_prompts
from broker.errors import UsageError
from broker.records import Problem


def problem(id, statement, **more):
    return Problem(**{"id": id, "statement": statement, "answer": "1", "bucket": "hard", "source": "s", **more})


def words(problem, guided):
    if "<|end|>" in problem.statement:
        raise UsageError("its statement holds the control token <|end|>")
    return len(f"{problem.statement} {problem.guidance if guided else ''}".split())


FOUND = ProblemSet(
    [
        problem("short", "one two"),
        problem("long", "one two three four"),
        problem("guided", "one two", guidance="three four"),
        problem("easy", "one two", guidance="three four", bucket="easy"),
        problem("control", "<|end|>"),
    ],
    rows={"long": 3, "guided": 4, "control": 6},
)


def test_a_prompt_above_the_limit_is_rejected_with_its_length_and_the_setting():
    checked = reject_long_prompts(FOUND, words, 3, guided=True, exact=True)
    assert [p.id for p in checked.problems] == ["short", "easy"]
    assert [(r.row, r.id, r.reason, r.detail) for r in checked.rejected] == [
        (3, "long", "prompt_too_long", "its prompt has 4 tokens, actors.max_prompt_tokens=3; raise it"),
        (4, "guided", "prompt_too_long", "its guided prompt has 4 tokens, actors.max_prompt_tokens=3; raise it"),
        (6, "control", "unusable_prompt", "its statement holds the control token <|end|>"),
    ]


def test_guidance_counts_only_where_it_is_trained():
    checked = reject_long_prompts(FOUND, words, 3, guided=False, exact=False)
    assert [p.id for p in checked.problems] == ["short", "guided", "easy"]
    assert "its prompt has at least 4 tokens" in checked.rejected[0].detail

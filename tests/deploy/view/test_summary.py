from deploy.view.summary import _indented, _readable, _success_by_step
from tests.reports import ended


def test_model_output_is_shown_as_plain_text():
    shown = _indented("a\x1b[31mred\n```\n# not a heading" + "x" * 5000)
    assert "\x1b" not in shown
    assert "\\x1b[31mred" in shown
    assert all(line.startswith("    ") for line in shown.splitlines())
    assert shown.endswith("more characters)")
    assert len(shown) < 2500


def test_samples_name_problem_arm_verdict_and_weights():
    sample = {"problem": "p1", "arm": "guided", "verdict": "wrong", "version": "7", "prompt": "2+2?", "completion": ""}
    text = _readable([sample])
    assert "## p1 · guided · wrong · weights 7" in text
    assert "(empty)" in text


def test_success_by_step_is_the_mean_over_judged_rollouts_of_an_arm():
    groups = [
        ended(4, arm="guided", step=3),
        ended(0, arm="guided", step=3, judged=4),
        ended(0, arm="guided", step=4, judged=0),
        ended(8, step=3),
    ]
    assert _success_by_step(groups) == {"guided": [(3, 0.25)], "unguided": [(3, 1.0)]}

"""Families of chat models: their prompts, ends and settings are those of the reviewed files."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from actors.template_rendering import TemplateFault
from deploy.run.model_prompts import ModelPrompts
from tests.actors.model_families import CASES, FAMILIES, PROBLEM, TEMPLATES, Case, rendered, save_family

DATED = Case("llama3")


@pytest.mark.parametrize("name", CASES)
def test_a_family_reads_the_reviewed_prompt_and_demonstration(name: str, tmp_path: Path) -> None:
    expected = (TEMPLATES / f"{name}.txt").read_text()
    assert rendered(CASES[name], save_family(CASES[name].family, tmp_path)) == expected


def test_every_reviewed_file_belongs_to_a_case_and_says_that_its_template_is_ours() -> None:
    assert {path.stem for path in TEMPLATES.glob("*.txt")} == set(CASES)
    for path in TEMPLATES.glob("*.jinja"):
        assert path.stem in {family.template for family in FAMILIES.values()}
        assert "Written for these tests" in path.read_text()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_response_ends_at_every_token_that_a_family_lists(name: str, tmp_path: Path) -> None:
    prompts = ModelPrompts.of(Case(name).config, save_family(name, tmp_path))
    listed = set(json.loads((tmp_path / "generation_config.json").read_text())["eos_token_id"])
    assert listed <= set(prompts.stop_ids)
    assert prompts.builder.template.end_id in prompts.stop_ids, "a demonstration ends as a response may"


def test_a_thought_is_switched_off_by_a_setting_where_the_template_has_the_switch(tmp_path: Path) -> None:
    texts = {
        name: ModelPrompts.of(CASES[name].config, save_family("qwen3", tmp_path)).builder.text(PROBLEM, guided=False)
        for name in ("qwen3", "qwen3-no-thinking")
    }
    assert texts["qwen3-no-thinking"] == texts["qwen3"] + "<think>\n\n</think>\n\n"
    case = Case("smollm2", template_kwargs={"enable_thinking": False})
    with pytest.raises(TemplateFault, match=r"prompts\.template_kwargs\.enable_thinking=false has no effect"):
        ModelPrompts.of(case.config, save_family("smollm2", tmp_path))


def test_a_template_that_writes_the_date_of_the_day_is_told_with_the_variable_that_fixes_it(tmp_path: Path) -> None:
    save_family("llama3", tmp_path)
    told = list(ModelPrompts.of(DATED.config, tmp_path).facts())
    assert told[-1] == "prompts hold the date of the day; prompts.template_kwargs.date_string fixes it"
    days = {f"Today Date: {datetime.now(UTC).astimezone():%d %b %Y}"}
    text = ModelPrompts.of(DATED.config, tmp_path).builder.text(PROBLEM, guided=False)
    days.add(f"Today Date: {datetime.now(UTC).astimezone():%d %b %Y}")
    assert any(day in text for day in days)
    assert not any("date" in fact for fact in ModelPrompts.of(CASES["llama3"].config, tmp_path).facts())

"""Every causal LM of transformers: the learner equals the model or refuses it by name, as docs/models.md says.

After an update of transformers, `python -m tests.learner.architectures > docs/models.md` writes the page again.
"""

import pytest
import torch
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from tests.learner.architectures import NOT_TRIED, TRIED, VARIANTS, outcome
from tests.rules.source import REPOSITORY

torch.set_num_threads(1)
PAGE = (REPOSITORY / "docs" / "models.md").read_text()
LINES = {line.split("`")[1]: line for line in PAGE.splitlines() if line.startswith("| `")}


@pytest.mark.parametrize("name", TRIED)
def test_the_learner_equals_the_model_or_refuses_it_as_the_page_says(name: str) -> None:
    found = outcome(name)
    assert found.line == LINES[name]
    assert "DIFFERENT" not in found.line, "the model check found it, but nothing refused it by name"


def test_the_page_lists_every_causal_model_of_transformers() -> None:
    assert set(LINES) == set(TRIED) == set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) - set(NOT_TRIED) | set(VARIANTS)
    assert sum(line.split("|")[2].strip() == "equal" for line in LINES.values()) >= 90

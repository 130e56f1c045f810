"""The memory of learner ranks and engines against hand calculations, and the page that shows that of one shared GPU.

`python -m tests.deploy.plan.test_memory` prints the tables of docs/quickstart-gpu.md.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from conf.errors import ConfigError
from conf.load import load
from deploy.plan.memory import GIB, MemoryPlan, memory_plan, trained_bytes
from deploy.plan.model_sizes import KNOWN, ModelSizes

PAGE = Path(__file__).parents[3] / "docs" / "quickstart-gpu.md"
QWEN3 = {name: KNOWN[f"Qwen/{name}"] for name in ("Qwen3-0.6B", "Qwen3-1.7B", "Qwen3-4B")}
CARDS = (24, 48, 80)
"""GB, of 10^9 bytes: a card has a little more."""
CONFIG = load(None, ["hardware=gpu1"])
LONGEST = CONFIG.actors.max_model_tokens


def planned(model: str) -> MemoryPlan:
    return memory_plan(CONFIG, ModelSizes.of(QWEN3[model]))


def parts_table() -> str:
    """GiB of every part."""
    plans = {model: planned(model) for model in QWEN3}
    lines = [f"| GiB | {' | '.join(plans)} |", "|---" + "|--:" * len(plans) + "|"]
    for side in ("learner", "engine"):
        names = getattr(next(iter(plans.values())), side)
        for name in names:
            cells = (f"{getattr(each, side)[name] / GIB:.1f}" for each in plans.values())
            lines.append(f"| {side}: {name} | {' | '.join(cells)} |")
    totals = (f"{each.learner_bytes / GIB:.1f}" for each in plans.values())
    lines.append(f"| **learner in all** | {' | '.join(totals)} |")
    kv_cache = (f"{each.kv_bytes / 1024:.0f}" for each in plans.values())
    lines.append(f"| KiB of KV cache a token | {' | '.join(kv_cache)} |")
    return "\n".join(lines) + "\n"


def cards_table() -> str:
    """What fits on which card."""
    lines = ["| model | card | `actors.gpu_memory_utilization` | tokens in the KV cache | longest sequences at once |"]
    lines.append("|---|--:|--:|--:|--:|")
    for model in QWEN3:
        for card in CARDS:
            share = planned(model).largest_engine_share(card * 1e9)
            each = replace(planned(model), engine_share=share)
            tokens = each.kv_tokens(card * 1e9)
            cells = [f"{share:.2f}", f"{tokens:,}", f"{tokens // LONGEST}"]
            if not each.fits(card * 1e9, LONGEST):
                cells = ["does not fit", "", ""]
            lines.append(f"| {model} | {card} GB | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def test_the_sizes_of_a_model_are_those_of_its_layers() -> None:
    sizes = ModelSizes.of(QWEN3["Qwen3-0.6B"])
    layer = 2 * 1024 * 2048 + 2 * 1024 * 1024 + 3 * 1024 * 3072  # q and o, k and v, the MLP
    assert sizes.parameters == 28 * layer + 151936 * 1024 == 595_984_384
    assert planned("Qwen3-0.6B").kv_bytes == 2 * 28 * 8 * 128 * 2 == 112 * 1024
    assert sizes.body_parameters == 28 * layer
    untied = ModelSizes.of(dict(QWEN3["Qwen3-0.6B"]) | {"tie_word_embeddings": False})
    assert untied.parameters - sizes.parameters == 151936 * 1024
    assert untied.body_parameters == sizes.body_parameters
    assert ModelSizes.of(QWEN3["Qwen3-4B"]).parameters == pytest.approx(4.02e9, rel=1e-3)


def test_the_learner_holds_twenty_bytes_a_parameter_and_the_settings_decide_the_rest() -> None:
    parts = planned("Qwen3-0.6B").learner
    assert parts["weights, gradients, moments"] == 20 * 595_984_384
    assert parts["logits of a chunk"] == 3 * 4 * 512 * 151936
    larger = replace(CONFIG, learner=replace(CONFIG.learner, gradient_checkpointing=False))
    without = memory_plan(larger, ModelSizes.of(QWEN3["Qwen3-0.6B"])).learner
    assert without["activations of a row"] > 10 * parts["activations of a row"]


@pytest.mark.parametrize(
    ("dtype", "stage", "ranks", "expected"),
    [
        ("bfloat16", 0, 1, 2 + 2 + 4 + 4 + 8),
        ("bfloat16", 0, 4, 2 + 2 + 4 + (4 + 8) / 4),  # stage 1, because gradients are summed in float32
        ("bfloat16", 2, 4, 2 + 2 + (4 + 4 + 8) / 4),
        ("bfloat16", 3, 4, (2 + 2 + 4 + 4 + 8) / 4),
        ("float32", 0, 4, 4 + 4 + 8),
        ("float32", 3, 2, (4 + 4 + 4 + 8) / 2),  # DeepSpeed keeps a master copy of what it divides
    ],
)
def test_zero_divides_a_parameters_bytes_by_the_ranks(dtype: str, stage: int, ranks: int, expected: float) -> None:
    assert trained_bytes(dtype, stage, ranks) == expected


def test_an_engine_of_two_gpus_has_half_the_weights_and_twice_the_room_for_the_cache() -> None:
    sizes = ModelSizes.of(QWEN3["Qwen3-4B"])
    one, two = (
        memory_plan(load(None, ["hardware=node8", "num_actors=3", f"tensor_parallel={n}"]), sizes) for n in (1, 2)
    )
    assert two.engine["weights"] == one.engine["weights"] / 2 == sizes.parameters
    more = two.kv_tokens(80e9) - 2 * one.kv_tokens(80e9)
    assert more == pytest.approx(2 * sizes.parameters / two.kv_bytes, abs=2)


def test_the_kv_cache_is_what_the_weights_leave_of_the_engines_share() -> None:
    each, card = planned("Qwen3-0.6B"), 24e9
    left = 0.3 * card - 2 * 595_984_384 - 3 * 4 * 32 * 151936 - 1.5 * GIB
    assert each.kv_tokens(card) == int(left // (112 * 1024)) > 10 * LONGEST
    assert each.fits(card, LONGEST)
    assert not replace(each, engine_share=0.5).fits(card, LONGEST), "the learner has too little"
    assert not replace(each, engine_share=0.1).fits(card, LONGEST), "the engine has too little"


def test_the_settings_that_ship_fit_the_card_they_name() -> None:
    each = planned("Qwen3-0.6B")
    assert each.fits(24e9, LONGEST)
    assert each.engine_share <= each.largest_engine_share(24e9)


def test_the_page_shows_this_plan() -> None:
    text = PAGE.read_text()
    assert parts_table() in text
    assert cards_table() in text
    assert "**No GPU has run this yet.**" in text


REFUSED = (
    "actors.num_actors=2", "learner.num_ranks=2", "weights.backend=nccl", "actors.tensor_parallel=2",
)  # fmt: skip


@pytest.mark.parametrize("setting", REFUSED)
def test_what_cannot_share_a_gpu_is_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match=rf"{setting.partition('=')[0]}=.* with deploy\.share_gpu=true: .*; set"):
        load(None, ["hardware=gpu1", setting])


if __name__ == "__main__":
    print(parts_table())
    print(cards_table())

"""What a model can hold is compared with the settings before anything starts."""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

from broker.errors import UsageError
from conf.load import load
from deploy.run.model_limits import CPU_HEAD_SIZES, require_fit

PLAIN = {
    "model_type": "qwen3", "vocab_size": 1024, "hidden_size": 128, "num_attention_heads": 4, "head_dim": 32,
    "max_position_embeddings": 4096, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
}  # fmt: skip
LONGEST = ("actors.max_prompt_tokens=512", "actors.max_completion_tokens=1024", "learner.row_tokens=4096")


def special(content: str, number: int) -> dict[str, Any]:
    return {"id": number, "content": content, "special": True}


LENGTHS = ("actors.max_prompt_tokens=512", "actors.max_completion_tokens=256", "sft.max_tokens=768")


class Model:
    """A folder with the small files of a model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.tokenizer(1024)

    def config(self, without: tuple[str, ...] = (), **values: Any) -> "Model":
        config = {name: value for name, value in PLAIN.items() if name not in without} | values
        (self.folder / "config.json").write_text(json.dumps(config))
        return self

    def tokenizer(self, num_tokens: int, *added: dict[str, Any], as_list: bool = False, template: str = "") -> "Model":
        names = [f"t{i}" for i in range(num_tokens)]
        vocab: Any = [[name, 0.0] for name in names] if as_list else {name: i for i, name in enumerate(names)}
        (self.folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocab}, "added_tokens": added}))
        (self.folder / "chat_template.jinja").write_text(template)
        return self

    def refusal(self, *overrides: str) -> str:
        """Why the model is refused; "" when it is not."""
        try:
            config = load(None, ["model.path=mine", *LENGTHS, *overrides])
            require_fit(config, self.folder, config.run_samplings)
        except UsageError as error:
            name, _, reason = str(error).partition(": ")
            return reason if name == "model.path=mine" and "\n" not in reason else f"not one line: {error}"
        return ""


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return Model(tmp_path / "model")


def test_a_model_that_fits_is_taken(model: Model) -> None:
    assert model.config().refusal(*LONGEST) == ""
    assert model.config(max_position_embeddings=1536).refusal(*LONGEST) == "", "the longest sequence just fits"


@pytest.mark.parametrize("name", ["max_position_embeddings", "n_positions", "max_seq_len", "seq_length"])
def test_positions_are_compared_with_the_longest_sequence(model: Model, name: str) -> None:
    config = model.config(without=("max_position_embeddings",), **{name: 1200})
    refusal = config.refusal(*LONGEST)
    assert f"{name}=1200" in refusal
    assert "actors.max_prompt_tokens=512 + actors.max_completion_tokens=1024 = 1536" in refusal
    assert "lower actors.max_completion_tokens to 688" in refusal
    assert "lower actors.max_prompt_tokens" in model.config(max_position_embeddings=512).refusal(*LONGEST)


def test_budgets_of_evaluation_and_mining_count_where_they_are_sampled(model: Model) -> None:
    short = model.config(max_position_embeddings=1024)
    assert "actors.max_prompt_tokens=512 + evaluation.max_completion_tokens=2048 = 2560" in short.refusal(
        "evaluation.max_completion_tokens=2048"
    )
    assert short.refusal("mining.max_completion_tokens=2048") == "", "a training run does not mine"
    mining = load(None, ["mining.max_completion_tokens=2048"])
    with pytest.raises(UsageError, match=r"mining\.max_completion_tokens=2048"):
        require_fit(mining, short.folder, [mining.mining_sampling])


def test_demonstrations_are_compared_with_the_positions(model: Model) -> None:
    short = model.config(max_position_embeddings=800)
    assert short.refusal("sft.data=full_oracle", "sft.max_tokens=900").endswith(
        "sft.max_tokens=900; lower sft.max_tokens to 800, or take a model with a longer context"
    )
    assert short.refusal("sft.max_tokens=900") == "", "no demonstration is used"


@pytest.mark.parametrize(
    ("rope", "fits"),
    [
        ({"rope_type": "linear", "factor": 2.0}, True),
        ({"type": "linear", "factor": 2}, True),
        ({"rope_type": "linear", "factor": 1.2}, False),
        ({"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 128}, False),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256}, False),
        (
            {"full_attention": {"rope_type": "linear", "factor": 8.0}, "sliding_attention": {"rope_type": "default"}},
            True,
        ),
    ],
)
def test_rotary_scaling_counts_where_the_configuration_states_the_shorter_length(
    model: Model, rope: dict[str, Any], fits: bool
) -> None:
    scaled = model.config(max_position_embeddings=1024, rope_parameters=rope)
    assert (scaled.refusal(*LONGEST) == "") is fits
    assert (
        model.config(max_position_embeddings=1024, rope_parameters=None, rope_scaling=rope).refusal(*LONGEST) == ""
    ) is fits


def test_rotary_positions_that_depend_on_the_length_stay_below_the_change(model: Model) -> None:
    rope = {"rope_type": "longrope", "original_max_position_embeddings": 1024}
    long = model.config(max_position_embeddings=131072, rope_parameters=rope)
    assert "type longrope) change beyond 1024 tokens" in long.refusal(*LONGEST)
    assert long.refusal("actors.max_completion_tokens=512") == ""


def test_the_language_part_of_a_model_of_several_parts_counts(model: Model) -> None:
    several = model.config(max_position_embeddings=None, text_config={"max_position_embeddings": 700})
    assert "max_position_embeddings=700" in several.refusal()


def test_heads_are_divided_among_the_gpus_of_an_engine(model: Model) -> None:
    cuda = ("deploy.device=cuda", "model.dtype=bfloat16", "actors.tensor_parallel=8")
    assert (
        "its 12 attention heads cannot be divided among actors.tensor_parallel=8 GPUs; set it to one of 1, 2, 3, 4, 6"
        in (model.config(num_attention_heads=12).refusal(*cuda))
    )
    assert model.config(num_attention_heads=16).refusal(*cuda) == ""


@pytest.mark.parametrize("values", [{"head_dim": 24}, {"head_dim": None, "hidden_size": 96}])
def test_sizes_of_heads_that_the_engine_has_no_kernel_for_on_a_cpu(model: Model, values: dict[str, Any]) -> None:
    odd = model.config(**values)
    assert "have 24 dimensions" in odd.refusal()
    assert odd.refusal("deploy.device=cuda") == ""
    assert model.config(kv_lora_rank=16, **values).refusal() == "", "latent attention has heads of other sizes"


def test_the_sizes_of_heads_are_those_of_the_installed_engine() -> None:
    spec = importlib.util.find_spec("vllm")
    assert spec is not None
    assert spec.submodule_search_locations
    source = Path(spec.submodule_search_locations[0], "v1", "attention", "backends", "cpu_attn.py").read_text()
    listed = re.search(r"def get_supported_head_sizes\(cls\).*?return \[([\d, ]+)\]", source, re.DOTALL)
    assert listed is not None
    assert tuple(map(int, listed[1].split(","))) == CPU_HEAD_SIZES


@pytest.mark.parametrize("as_list", [False, True])
def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(model: Model, as_list: bool) -> None:
    short = model.config(vocab_size=900).tokenizer(1024, as_list=as_list)
    assert "token ids up to 1023, but the model embeds only vocab_size=900" in short.refusal()
    assert model.config(vocab_size=1600).refusal() == "", "a padded vocabulary is no fault"


def test_a_special_token_beyond_the_embeddings_matters_only_where_a_prompt_uses_it(model: Model) -> None:
    model.config()
    assert model.tokenizer(1024, special("<image>", 1024), template="{{ text }}").refusal() == ""
    assert "ids up to 1024" in model.tokenizer(1024, special("<|turn|>", 1024), template="<|turn|>{{ text }}").refusal()
    assert "ids up to 1024" in model.tokenizer(1024, {"id": 1024, "content": "word", "special": False}).refusal()


def test_models_that_cannot_be_trained_are_refused_by_name(model: Model) -> None:
    assert "quantised (quantization_config of config.json: awq)" in (
        model.config(quantization_config={"quant_method": "awq", "bits": 4}).refusal()
    )
    assert "encoder-decoder" in model.config(is_encoder_decoder=True).refusal()


def test_missing_and_damaged_files_are_named(model: Model) -> None:
    with pytest.raises(UsageError, match=r"no config\.json in"):
        require_fit(load(None), model.folder, load(None).run_samplings)
    (model.folder / "config.json").write_text("{")
    with pytest.raises(UsageError, match=r"config\.json is damaged"):
        require_fit(load(None), model.folder, load(None).run_samplings)


def test_values_that_the_files_do_not_give_are_left_to_the_engine(model: Model) -> None:
    assert model.config(without=tuple(PLAIN)).refusal(*LONGEST) == ""
    (model.folder / "tokenizer.json").unlink()
    assert model.config().refusal() == ""

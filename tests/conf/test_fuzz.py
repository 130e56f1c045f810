"""Any file and any command line gives a RunConfig or a one-line ConfigError."""

import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from conf.errors import ConfigError
from conf.load import dump, load
from conf.names import SECTIONS, SETTINGS
from conf.schema import RunConfig

names = st.sampled_from([*SETTINGS, *SECTIONS]) | st.text(max_size=12)
parts = st.sampled_from(sorted({part for name in SETTINGS for part in name.split(".")})) | st.text(max_size=8)
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
    | st.sampled_from(["${oc.env:HOME}", "${", "???", "float32", "nccl", "redis://x", "1e-3", "cpu"])
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(parts | scalars, inner, max_size=4),
    max_leaves=12,
)
trees = st.dictionaries(parts | st.sampled_from(["defaults", "learner", "broker", "problems"]), values, max_size=4)


def settled(experiment: Path | None, overrides: list[str]) -> None:
    try:
        config = load(experiment, overrides)
    except ConfigError as error:
        message = str(error)
    else:
        message = ""
        assert isinstance(config, RunConfig)
        dump(config)
    assert "\n" not in message
    assert len(message) < 1000


def from_text(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "e.yaml"
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        settled(path, [])


@settings(max_examples=100, deadline=None)
@given(trees)
def test_any_tree_is_settings_or_one_error(tree: dict[Any, Any]) -> None:
    from_text(yaml.safe_dump(tree, allow_unicode=True))


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.sampled_from("abrunsed:{}[]-&*!?|>%@`\"'#, \n\t0159.e\x00é<~$"), max_size=40))
def test_any_text_is_settings_or_one_error(text: str) -> None:
    from_text(text)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.builds("{}={}".format, names, scalars) | st.text(max_size=20), max_size=3))
def test_any_override_is_settings_or_one_error(overrides: list[str]) -> None:
    settled(None, overrides)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(SETTINGS)), st.integers() | st.floats() | st.sampled_from(["true", "null", "[1]", "x"]))
def test_any_value_of_a_known_setting_is_settings_or_one_error(name: str, value: object) -> None:
    settled(None, [f"{name}={value}"])


def test_deep_nesting_is_one_error() -> None:
    from_text("run: " + "[" * 3000)
    from_text("run: " + "{a: " * 3000)
    settled(None, ["run.seed=" + "[" * 3000])

"""Import paths in settings: what is one, what is loaded, and which line says why it cannot be."""

import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conf.errors import ConfigError
from conf.load import load as load_settings
from conf.plugins import is_import_path, load, load_all, require

MODULE = """
limit = 3

def advantage(rewards):
    return rewards

def greedy(rewards, settings):
    return rewards

class Doubled:
    def __call__(self, rewards):
        return [2 * reward for reward in rewards]

class Needy:
    def __init__(self, factor):
        self.factor = factor
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], Path]]:
    """Writes a module of the working directory; what it imports is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def write(name: str, text: str) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize("path", ["a:b", "my_project.checks:Judge", "gsm8k:test", "_a.b2.c:_d"])
def test_an_import_path_is_dotted_names_a_colon_and_a_name(path: str) -> None:
    assert is_import_path(path)


@pytest.mark.parametrize(
    "value", ["mean", "builtin:tiny", "gsm8k:test.parquet", "a/b:c", "a.:b", "a:b.c", "1a:b", "a:", ":b", "a:b:c", ""]
)
def test_names_and_files_are_no_import_paths(value: str) -> None:
    assert not is_import_path(value)


def test_a_function_or_an_object_of_a_class_is_found_in_the_working_directory(
    write: Callable[[str, str], Path],
) -> None:
    write("plugin_a/deep/formulas.py", MODULE)
    assert load("preprocess.advantage", "plugin_a.deep.formulas:advantage")([1.0]) == [1.0]
    doubled = load("preprocess.advantage", "plugin_a.deep.formulas:Doubled")
    assert doubled([1.0]) == [2.0]
    assert load("preprocess.advantage", "plugin_a.deep.formulas:Doubled") is doubled, "it is created once"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("plugin_b.nothing:advantage", "there is no module plugin_b.nothing in "),
        ("nowhere:advantage", "there is no module nowhere in "),
        ("plugin_b:advantag", "has no advantag, it has limit, advantage, greedy, Doubled, Needy"),
        ("plugin_b:limit", "it is of type int and is called as limit(rewards); name a function or a class"),
        ("plugin_b:greedy", "it takes (rewards, settings) and is called as greedy(rewards); give it these parameters"),
        ("plugin_b:Needy", "Needy() raised TypeError: "),
        ("plugin_c:advantage", "importing plugin_c raised ZeroDivisionError: division by zero"),
        ("plugin_d:advantage", "plugin_d imports absent_library, which is not installed"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_setting_and_reason(
    write: Callable[[str, str], Path], path: str, reason: str
) -> None:
    write("plugin_b.py", MODULE)
    write("plugin_c.py", "1 / 0")
    write("plugin_d.py", "import absent_library")
    with pytest.raises(ConfigError) as caught:
        load("preprocess.advantage", path)
    assert str(caught.value).startswith(f"preprocess.advantage={path} cannot be used: ")
    assert reason in str(caught.value)
    assert caught.value.keys == ("preprocess.advantage",)


def test_the_version_of_a_plugin_is_the_digest_of_its_module(write: Callable[[str, str], Path]) -> None:
    file = write("plugin_e.py", MODULE)
    config = load_settings(None, ["preprocess.advantage=plugin_e:advantage"])
    (version,) = load_all(config).values()
    assert version == ("plugin_e:advantage", str(file), hashlib.sha256(MODULE.encode()).hexdigest())
    assert load_all(load_settings()) == {}


def test_a_role_loads_only_its_own(write: Callable[[str, str], Path]) -> None:
    write("plugin_f.py", MODULE)
    config = load_settings(None, ["preprocess.advantage=plugin_f:advantage", "learner.policy_loss=plugin_f:absent"])
    require(config, "preprocess.advantage")
    with pytest.raises(ConfigError, match=r"learner.policy_loss=plugin_f:absent cannot be used"):
        require(config, "learner.policy_loss")

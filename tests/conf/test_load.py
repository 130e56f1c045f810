"""YAML and overrides give one RunConfig, or a one-line error with its place."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from conf.errors import ConfigError
from conf.layers import CONF_FOLDER
from conf.load import dump, load, refuse_changes, settings_hash
from conf.names import SETTINGS
from conf.redact import redacted
from conf.schema import RunConfig


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def error_of(experiment: Path | None = None, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(experiment, overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


# Composition


def test_base_yaml_equals_the_defaults_of_the_schema() -> None:
    tree = yaml.safe_load((CONF_FOLDER / "base.yaml").read_text())
    assert tree.pop("defaults") == {"hardware": "cpu"}
    assert tree == yaml.safe_load(dump(RunConfig()))


def test_base_yaml_contains_every_setting() -> None:
    text = (CONF_FOLDER / "base.yaml").read_text()
    for name in SETTINGS:
        assert f"{name.rpartition('.')[2]}:" in text


def test_later_layers_win_setting_by_setting(tmp_path: Path) -> None:
    hardware = write(tmp_path, "big.yaml", "actors: {num_actors: 3, group_size: 4}\nlearner: {threads: 5}\n")
    experiment = write(tmp_path, "e.yaml", "actors: {group_size: 16}\nlearner: {threads: 6}\n")
    config = load(experiment, [f"hardware={hardware}", "learner.threads=7"])
    assert (config.actors.num_actors, config.actors.group_size, config.learner.threads) == (3, 16, 7)
    assert config.actors.max_num_seqs == load().actors.max_num_seqs


def test_an_experiment_chooses_its_parent_and_its_hardware(tmp_path: Path) -> None:
    write(tmp_path, "far.yaml", "deploy: {max_restarts: 9}\n")
    write(tmp_path, "parent.yaml", "defaults: {hardware: far.yaml}\nrun: {name: parent, seed: 3}\n")
    child = write(tmp_path, "child.yaml", "defaults: {experiment: parent.yaml}\nrun: {name: child}\n")
    config = load(child)
    assert (config.run.name, config.run.seed, config.deploy.max_restarts) == ("child", 3, 9)


def test_the_command_line_chooses_hardware_over_the_file(tmp_path: Path) -> None:
    experiment = write(tmp_path, "e.yaml", "defaults: {hardware: node8}\n")
    assert load(experiment).deploy.device == "cuda"
    assert load(experiment, ["hardware=cpu"]).deploy.device == "cpu"


def test_the_issue_commands_load() -> None:
    by_file = load(CONF_FOLDER / "experiments" / "pope.yaml", ["hardware=cpu", "learner.learning_rate=5e-4"])
    assert by_file.learner.learning_rate == 5e-4
    assert load(None, ["experiment=pope", "experiment=hard"]).problems.arms == {"unguided": 1}


def test_arms_are_replaced_as_a_whole_and_changed_one_by_one_on_the_command_line() -> None:
    assert load(None, ["problems.arms={guided: 3}"]).problems.arms == {"guided": 3}
    assert load(None, ["problems.arms.easy=2"]).problems.arms == {"unguided": 1, "guided": 1, "easy": 2}


def test_a_section_with_every_line_commented_out_changes_nothing(tmp_path: Path) -> None:
    assert load(write(tmp_path, "e.yaml", "learner:\n  # threads: 4\n")) == load()


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert load(write(tmp_path, "e.yaml", "# nothing yet\n")) == load()


# Values


@pytest.mark.parametrize(
    ("override", "name", "value"),
    [
        ("learner.learning_rate=5e-4", "learner.learning_rate", 5e-4),
        ("learner.learning_rate=0", "learner.learning_rate", 0.0),
        ("learner.max_lag=0", "learner.max_lag", 0),
        ("learner.max_lag=null", "learner.max_lag", None),
        ("learner.zero_stage=3", "learner.zero_stage", 3),
        ("run.resume=true", "run.resume", True),
        ("run.name=007", "run.name", "007"),
        ("run.name=1e-3", "run.name", "1e-3"),
        ("evaluation.k=[1,4]", "evaluation.k", [1, 4]),
        ("weights.folder=null", "weights.folder", None),
        ("weights.folder=/dev/shm/a=b", "weights.folder", "/dev/shm/a=b"),
        ("max_lag=2", "learner.max_lag", 2),
        ("ring.capacity=64", "broker.ring.capacity", 64),
    ],
)
def test_an_override_takes_the_type_of_its_setting(override: str, name: str, value: object) -> None:
    found: object = load(None, [override])
    for part in name.split("."):
        found = getattr(found, part)
    assert found == value
    assert type(found) is type(value)


def test_the_last_of_two_overrides_wins() -> None:
    assert load(None, ["run.seed=1", "seed=2"]).run.seed == 2


# Errors: place, key, value, rule, nearest valid name


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("learner.learning_rat=1", "learner.learning_rat=1: unknown setting; did you mean learner.learning_rate?"),
        ("learner.group_size=4", "learner.group_size=4: unknown setting; did you mean actors.group_size?"),
        ("lerner.threads=4", "lerner.threads=4: unknown setting; did you mean learner.threads?"),
        ("threads=4", "threads=4: it could be actors.threads or learner.threads; write one of them"),
        ("learner=4", "learner=4: a section, not a setting; it holds num_ranks, "),
        ("zzz=4", "zzz=4: unknown setting; the sections are run, model, "),
        ("lerner.zzzz=4", "lerner.zzzz=4: unknown setting; learner holds num_ranks, "),
        ("learner.zero_stage=1", "learner.zero_stage=1 must be one of 0, 2, 3"),
        ("learner.zero_stage=false", "learner.zero_stage=False must be one of 0, 2, 3"),
        ("model.dtype=bfloat", "model.dtype=bfloat must be one of float32, bfloat16; did you mean bfloat16?"),
        ("learner.batch_samples=64.5", "learner.batch_samples=64.5 must be a whole number"),
        ("learner.batch_samples=true", "learner.batch_samples=True must be a whole number"),
        ("learner.learning_rate=fast", "learner.learning_rate=fast must be a number"),
        ("learner.learning_rate=" + "9" * 400, "learner.learning_rate=99999"),
        ("learner.max_lag=some", "learner.max_lag=some must be a whole number or null"),
        ("run.resume=2", "run.resume=2 must be true or false"),
        ("evaluation.k=8", "evaluation.k=8 must be a list of whole numbers"),
        ("evaluation.k=[1,x]", "evaluation.k=[1, 'x'] must be a list of whole numbers"),
        ("problems.arms=guided", "problems.arms=guided must be a mapping of names to whole numbers"),
        ("problems.arms.guided=much", "problems.arms.guided=much must be a whole number"),
        ("learner.threads=[", "learner.threads=[ is not a YAML value"),
        ("learner.threads=!!python/name:os.system x", "is not a YAML value"),
        ("learner.threads", "learner.threads is not key=value"),
        ("learner.threads=", "learner.threads= is not key=value; write null for no value"),
        ("=3", "=3 is not key=value"),
        ("experiment=hrad", "experiment=hrad is neither one of adaback, clip_high, "),
        ("hardware=cpus", "nor the path of a .yaml; did you mean cpu?"),
    ],
)
def test_a_wrong_override_is_one_line(override: str, message: str) -> None:
    error = error_of(None, override)
    assert error.startswith("command line: ")
    assert message in error


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("run:\n  sed: 3\n", 2, "run.sed=3: unknown setting; did you mean run.seed?"),
        ("# c\nlearnr:\n  threads: 3\n", 2, "learnr={'threads': 3}: unknown setting; did you mean learner?"),
        ("learner: 3\n", 1, "learner=3: a section, not a setting"),
        ("learner: [1]\n", 1, "learner=[1]: a section, not a setting"),
        ("run:\n  name: 7\n", 2, "run.name=7 must be text (in quotes)"),
        ("run: {seed: -1}\n", 1, "run.seed=-1 is outside its range [0, 4.29497e+09]; the nearest valid value is 0"),
        ("model:\n\n  path: null\n", 3, "model.path=None must be text"),
        ("run: {seed: 1}\nrun: {seed: 2}\n", 2, "not valid YAML: found duplicate key run"),
        ("run: {seed: [\n", 2, "not valid YAML"),
        ("learner.threads: 3\n", 1, "the key learner.threads contains a dot"),
        ("run: {name: '${oc.env:HOME}'}\n", 1, "run.name=${oc.env:HOME} is not a literal value"),
        ("problems: {arms: {'${run.name}': 1}}\n", 1, "is not a literal value"),
        ("run: {name: '???'}\n", 1, "run.name=??? is not a literal value"),
        ("broker:\n  ring:\n    capacity: 100\n", 3, "broker.ring.capacity=100 is not a multiple of"),
    ],
)
def test_a_wrong_file_is_one_line_with_its_line_number(tmp_path: Path, text: str, line: int, message: str) -> None:
    error = error_of(write(tmp_path, "e.yaml", text))
    assert error.startswith(f"{tmp_path}/e.yaml:{line}: ")
    assert message in error


@pytest.mark.parametrize("text", ["- 1\n", "abc\n", "7\n"])
def test_a_file_without_sections_is_refused(tmp_path: Path, text: str) -> None:
    assert "e.yaml: must hold `section: {setting: value}`" in error_of(write(tmp_path, "e.yaml", text))


def test_a_missing_file_names_its_neighbour(tmp_path: Path) -> None:
    write(tmp_path, "pope.yaml", "")
    assert error_of(tmp_path / "pop.yaml").endswith("pop.yaml: no such file; did you mean pope.yaml?")


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_bytes(b"\xff\xfe\x00run")
    assert "cannot be read" in error_of(tmp_path / "e.yaml")
    assert "cannot be read" in error_of(tmp_path)


def test_an_experiment_that_inherits_from_itself_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "defaults: {experiment: b.yaml}\n")
    write(tmp_path, "b.yaml", "defaults: {experiment: a.yaml}\n")
    assert "cannot inherit from itself" in error_of(tmp_path / "a.yaml")


def test_unknown_defaults_are_refused(tmp_path: Path) -> None:
    error = error_of(write(tmp_path, "e.yaml", "defaults: {hardwear: cpu}\n"))
    assert "defaults={'hardwear': 'cpu'} must be {experiment: NAME, hardware: NAME}" in error


def test_a_file_and_an_experiment_by_name_contradict_each_other() -> None:
    error = error_of(CONF_FOLDER / "experiments" / "pope.yaml", "experiment=hard")
    assert "experiment=hard contradicts the file" in error


@pytest.mark.parametrize(
    "name",
    [
        "..", ".", "../up", "a/b", "/etc", "a\\b", ".hidden", "-rf", "a b", "a\nb", "a\x00b", "UPPER",
        "ünicode", "a" * 65, "{other}", "a:b", "a*", "%2e%2e", "~root", "$HOME",
    ],
)  # fmt: skip
def test_a_run_name_cannot_leave_its_folder_or_its_keys(name: str) -> None:
    assert "run.name" in error_of(None, f"run.name={name}")


# Dump, redaction, hash


def test_a_dump_loads_to_the_same_settings(tmp_path: Path) -> None:
    config = load(None, ["experiment=hard_guide_easy", "hardware=node8", "max_lag=4", "run.name=again"])
    assert load(write(tmp_path, "settings.yaml", dump(config))) == config


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    url = "redis://user:s3cret@db:6380/0"
    config = load(write(tmp_path, "mine.yaml", f"broker: {{url: '{url}'}}\n"))
    assert config.broker.url == url
    assert "s3cret" not in dump(config)
    assert "redis://user:***@db:6380/0" in dump(config)
    for override in (f"broker.ulr={url}", f"broker.url=http{url}", f"broker.url={url}${{x}}", f"learner.threads={url}"):
        assert "s3cret" not in error_of(None, override)
    assert "s3cret" not in error_of(write(tmp_path, "e.yaml", f"broker: {{url: {{a: '{url}'}}}}\n"))


def test_a_password_on_the_command_line_is_refused() -> None:
    message = error_of(None, "broker.url=redis://:s3cret@db:6380/0")
    assert "POPE_BROKER_URL" in message
    assert "s3cret" not in message
    assert load(None, ["broker.url=redis://:***@db:6380/0"]).broker.url == "redis://:***@db:6380/0"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (None, None),
        ("redis://h:6380/0", "redis://h:6380/0"),
        ("redis://:pw@h", "redis://:***@h"),
        ("rediss://u:p@w@h/0", "rediss://u:***@h/0"),
        ("unix:///tmp/s?db=1&password=pw", "unix:///tmp/s?db=1&password=***"),
        ("unix://u:pw@/tmp/s", "unix://u:***@/tmp/s"),
    ],
)
def test_redaction_keeps_everything_but_the_password(url: str | None, shown: str | None) -> None:
    assert redacted(url) == shown


def test_the_hash_ignores_settings_that_may_change_on_resume() -> None:
    config = load()
    same = load(None, ["run.name=b", "root=/tmp", "resume=true", "max_steps=7", "max_groups=99", "url=redis://h"])
    assert settings_hash(config) == settings_hash(same)
    for override in ("learner.learning_rate=2e-3", "run.seed=1", "problems.arms={unguided: 1}", "learner.max_lag=0"):
        assert settings_hash(load(None, [override])) != settings_hash(config)


def test_the_hash_does_not_depend_on_the_order_of_arms() -> None:
    one, two = ({"unguided": 1, "guided": 2}, {"guided": 2, "unguided": 1})
    config = RunConfig()
    hashes = {settings_hash(replace(config, problems=replace(config.problems, arms=arms))) for arms in (one, two)}
    assert len(hashes) == 1


def test_a_continuation_under_other_settings_is_refused_with_every_key_and_both_values() -> None:
    started = load(None, ["arms={unguided: 1, guided: 1}"])
    refuse_changes(started, load(None, ["arms={unguided: 1, guided: 1}", "max_steps=7", "run.resume=true"]))
    with pytest.raises(ConfigError) as raised:
        refuse_changes(started, load(None, ["arms={unguided: 1}", "learner.num_ranks=2", "capacity=256"]))
    for part in ("learner.num_ranks=2 (it has 1)", "ring.capacity=256 (it has 128)", "guided=nothing (it has 1)"):
        assert part in str(raised.value)

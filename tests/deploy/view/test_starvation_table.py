"""`pope starvation`: from a live server and from the file of a finished run, and what it prints."""

import io
import json
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from broker.connection import Client
from broker.errors import PopeError, UsageError
from broker.keys import Keys
from broker.run_record import open_run
from conf.load import dump, load
from conf.schema import RunConfig
from deploy.audit.command import audit
from deploy.cluster.secret_environment import URL_VARIABLE
from deploy.statistics.starvation import StarvationRow
from deploy.store.run_folder import RunFolder
from deploy.store.run_view import RunView
from deploy.store.starvation_file import Rows, starvation_saved, to_json
from deploy.view.starvation_table import select, table
from tests.broker.broker_parts import BrokerParts
from tests.cli import pope
from tests.groups import rollout_group, train_group


@pytest.fixture(autouse=True)
def url_of_the_server(monkeypatch: pytest.MonkeyPatch, redis_url: str) -> None:
    """Settings leave its password out."""
    monkeypatch.setenv(URL_VARIABLE, redis_url)


@pytest.fixture
def config(redis_url: str, run_name: str) -> RunConfig:
    config = load(None, [f"run.name={run_name}", "broker.connect_timeout_s=0.3", "actors.group_size=2",
                         "learner.batch_samples=2"])  # fmt: skip
    return replace(config, broker=replace(config.broker, url=redis_url))


@pytest.fixture
def folder(tmp_path: Path, config: RunConfig) -> RunFolder:
    (tmp_path / "settings.yaml").write_text(dump(config))
    return RunFolder(tmp_path)


@pytest.fixture
def broker(client: Client, keys: Keys) -> BrokerParts:
    """Of four groups one is filtered, one trained, one failed unwritten, one leased."""
    open_run(client, keys, "hash", resume=False)
    broker = BrokerParts(client, keys, batch_groups=1)
    for n, (arm, rewards) in enumerate((("unguided", (0.0, 0.0)), ("guided", (1.0, None)))):
        assert broker.claim(f"a/{n}") == n
        group = rollout_group(n, rewards, arm=arm, num_tokens=5 + n)
        broker.feed.publish(n, f"a/{n}", group)
        entry_id, _ = broker.read_one()
        if arm == "guided":
            broker.ring.put(entry_id, train_group(group), step=0)
        else:
            broker.ring.drop(entry_id, group, "zero_advantage", step=0)
    broker.ring.take(1, 2, max_lag=None)
    broker.ring.commit(1)
    broker.claim("a/2")
    broker.feed.fail(2, "a/2", "prompt_too_long")
    broker.claim("a/3")
    return broker


def read_starvation(path: Path) -> Rows:
    with RunView(path) as run:
        return run.starvation()


EXPECTED: Rows = (
    StarvationRow("hard", "guided", 6, (6, 6), 2, {"trained": 2}, 0, 1),
    StarvationRow("hard", "guided", None, None, 2, {"in_flight": 2}, 0, 0),
    StarvationRow("hard", "unguided", 1, (5, 5), 2, {"filtered.zero_advantage": 2}, 0, 0),
    StarvationRow("hard", "unguided", None, None, 2, {"failed.prompt_too_long": 2}, 0, 0),
)


def test_a_live_run_is_read_from_redis_and_sums_to_its_balance(folder: RunFolder, broker: BrokerParts) -> None:
    rows = read_starvation(folder.path)
    assert rows == EXPECTED
    balance, ended = broker.balance(), Counter[str]()
    for row in rows:
        ended.update(row.ended)
    assert ended == {
        "trained": 2 * balance.trained,
        "filtered.zero_advantage": 2 * balance.filtered["zero_advantage"],
        "failed.prompt_too_long": 2 * balance.failed["prompt_too_long"],
        "in_flight": 2 * sum(balance.in_flight.values()),
    }
    assert sum(row.rollouts for row in rows) == 2 * balance.issued
    broken = [finding.promise for finding in audit(folder.path).findings if not finding.holds]
    assert broken == ["recorded"], "nobody wrote a history"


@pytest.mark.parametrize("ending", [None, RuntimeError("a role failed")])
def test_the_table_outlives_its_run_however_that_ended(
    folder: RunFolder, broker: BrokerParts, config: RunConfig, ending: Exception | None
) -> None:
    folder.starvation.write_text("of an earlier run")
    with suppress(RuntimeError), starvation_saved(config, broker.client, folder, Console()):
        assert not folder.starvation.exists()
        if ending is not None:
            raise ending
    for key in broker.client.scan_iter(match=broker.keys.prefix + "*"):
        broker.client.delete(key)
    assert read_starvation(folder.path) == EXPECTED
    assert json.loads(folder.starvation.read_bytes())[0] == {
        "bucket": "hard",
        "arm": "guided",
        "length_decile": 6,
        "tokens": [6, 6],
        "rollouts": 2,
        "ended": {"trained": 2},
        "truncated": 0,
        "verifier_failure": 1,
    }


def test_a_run_of_an_older_version_is_not_read(folder: RunFolder, broker: BrokerParts, redis_url: str) -> None:
    broker.client.hdel(broker.keys.run, "layout")
    for command in ("starvation", "audit"):
        refused = pope(command, str(folder.path), variable=redis_url)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
        assert "another version of pope-rl began the run" in refused.stderr


def test_a_table_that_cannot_be_made_leaves_a_note(folder: RunFolder, broker: BrokerParts, config: RunConfig) -> None:
    broker.client.delete(broker.keys.rollout_outcomes)
    with pytest.raises(PopeError, match="4 rollouts were published, but the outcome of 0 is recorded"):
        read_starvation(folder.path)
    shown = io.StringIO()
    with starvation_saved(config, broker.client, folder, Console(file=shown, width=200)):
        pass
    assert "starvation.json was not written: 4 rollouts were published" in shown.getvalue()
    assert not folder.starvation.exists()


def test_an_end_that_is_counted_and_not_noted_fails_the_audit(
    folder: RunFolder, broker: BrokerParts, redis_url: str
) -> None:
    broker.client.setrange(broker.keys.ended, 0, "\0")
    assert audit(folder.path).violation is not None
    refused = pope("audit", str(folder.path), variable=redis_url)
    assert (refused.returncode, "group 0 was issued and is lost" in refused.stdout) == (1, True), refused.stdout


def test_the_table_fits_a_narrow_terminal(broker: BrokerParts) -> None:
    long = StarvationRow("hard", "unguided", 1, (10641, 16384), 123456, {"trained": 123456}, 123456, 123456)
    for width in (100, 160):
        shown = io.StringIO()
        Console(file=shown, width=width).print(table((*EXPECTED, long), "pope"))
        lines = shown.getvalue().splitlines()
        assert "…" not in shown.getvalue()
        assert max(map(len, (line.rstrip() for line in lines))) <= 100
        assert any(line.split() == ["hard/guided", "4", "50.0", "50.0", "25.0"] for line in lines)
        assert any(line.split() == ["10641-16384", "123456", *["100.0"] * 3] for line in lines)


def test_the_command_prints_a_table_or_json(folder: RunFolder, broker: BrokerParts) -> None:
    folder.starvation.write_bytes(to_json(EXPECTED))
    shown = pope("starvation", str(folder.path), "--arm", "guided")
    assert shown.returncode == 0, shown.stderr
    assert "hard/guided" in shown.stdout
    assert "hard/unguided" not in shown.stdout
    assert "lost to age (replaced or stale): 0.0% of all" in shown.stdout
    as_json = pope("starvation", str(folder.path), "--json")
    assert as_json.stdout.encode() == to_json(EXPECTED)


def test_bad_input_is_named(folder: RunFolder) -> None:
    with pytest.raises(UsageError, match="--arm easy: the run drew guided, unguided"):
        select(EXPECTED, "easy")
    with pytest.raises(UsageError, match="the run drew nothing yet"):
        select((), "easy")
    folder.starvation.write_text("[{}]")
    with pytest.raises(UsageError, match="damaged"):
        read_starvation(folder.path)

"""`pope ledger` and `pope audit` over run folders: a live server, a file, an embedded server that has ended."""

import io
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from actors.evaluation.intervals import jeffreys
from broker.balance import read_balance
from broker.connection import Client, connect
from broker.errors import BrokerUnreachable, UsageError
from broker.keys import Keys
from broker.ledger import LedgerRow, Outcome
from broker.run_record import open_run
from conf.load import dump, load
from conf.schema import RunConfig
from deploy.audit.command import audit
from deploy.cluster.redis_server import EmbeddedRedis
from deploy.cluster.secret_environment import URL_VARIABLE
from deploy.store.ledger_file import RunLedger, ledger_saved, posterior, to_json
from deploy.store.measurements import Measurement
from deploy.store.run_folder import RunFolder
from deploy.store.run_state import RunState
from deploy.store.run_view import RunView
from deploy.view.ledger_table import select, table
from deploy.view.summary import print_summary, summarise
from tests.broker.broker_parts import BrokerParts
from tests.cli import pope


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Redis of the user: TCP, with a password."""
    with EmbeddedRedis(tmp_path / "elsewhere", fsync="everysec", max_memory_gib=0.1, listen="127.0.0.1") as running:
        yield running


def run_folder(path: Path, url: str | None, name: str = "pope") -> tuple[RunFolder, RunConfig]:
    """A folder with the settings a run leaves."""
    config = load(None, [f"run.name={name}", "broker.connect_timeout_s=0.3"])
    config = replace(config, broker=replace(config.broker, url=url))
    folder = RunFolder(path)
    path.mkdir()
    folder.settings.write_text(dump(config))
    return folder, config


def one_group(client: Client, config: RunConfig) -> None:
    """The run's keys, with one guided group of p0 in the ring: one of two solved."""
    keys = Keys(config.run.name)
    open_run(client, keys, "hash", resume=False)
    BrokerParts(client, keys).put_one("a/0", step=3)


def read_ledger(path: Path, url: str | None = None) -> RunLedger:
    with RunView(path, url) as run:
        return run.ledger()


P0 = LedgerRow("p0", "guided", 2, 1, 3, (Outcome(3, 1, 2, 0),))


def test_a_password_left_out_of_the_settings_is_asked_for(
    tmp_path: Path, server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, config = run_folder(tmp_path / "run", server.url)
    one_group(connect(server.url, client_name="test"), config)
    for read in (audit, read_ledger):
        with pytest.raises(UsageError, match=rf":\*\*\*@.*settings\.yaml holds no password.*{URL_VARIABLE}.*--url"):
            read(folder.path)
    assert audit(folder.path, server.url).balance.in_flight["ring"] == 1
    assert read_ledger(folder.path, server.url).rows == (P0,)
    monkeypatch.setenv(URL_VARIABLE, server.url)
    assert audit(folder.path).balance.in_flight["ring"] == 1
    assert read_ledger(folder.path).rows == (P0,)


def test_a_server_that_does_not_know_the_run_is_not_taken_for_an_empty_one(
    tmp_path: Path, server: EmbeddedRedis
) -> None:
    folder, _ = run_folder(tmp_path / "run", server.url)
    with pytest.raises(UsageError, match=r":\*\*\*@.*holds no run named pope"):
        audit(folder.path, server.url)


def test_a_wrong_password_is_refused_without_showing_it(tmp_path: Path, server: EmbeddedRedis) -> None:
    folder, _ = run_folder(tmp_path / "run", server.url)
    wrong = server.url.replace("redis://:", "redis://:wrong")
    with pytest.raises(BrokerUnreachable, match="refused the password") as raised:
        audit(folder.path, wrong)
    assert "wrong" not in str(raised.value)


def test_a_run_with_the_embedded_server_needs_no_url(
    tmp_path: Path, server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a URL by mistake nor a variable meant for another run reads a strange server."""
    folder, config = run_folder(tmp_path / "run", None)
    with pytest.raises(UsageError, match=r"--url: .*leave --url out"):
        audit(folder.path, server.url)
    with pytest.raises(UsageError, match="redis is not there"):
        audit(folder.path)
    monkeypatch.setenv(URL_VARIABLE, server.url)
    with EmbeddedRedis(folder.redis, run="pope", max_memory_gib=0.1) as own:
        one_group(connect(own.url, client_name="test"), config)
        assert audit(folder.path).balance.issued == 1  # the server is up
        assert read_ledger(folder.path).rows == (P0,)
    assert audit(folder.path).balance.issued == 1  # the run was killed: its server is started over the data
    assert read_ledger(folder.path).rows == (P0,)


@pytest.mark.parametrize("ending", [None, RuntimeError("a role failed"), KeyboardInterrupt()])
def test_the_ledger_outlives_its_run_however_that_ended(
    tmp_path: Path, client: Client, redis_url: str, run_name: str, ending: BaseException | None
) -> None:
    folder, config = run_folder(tmp_path / "run", redis_url, run_name)
    folder.ledger.write_text("of an earlier run")
    with suppress(RuntimeError, KeyboardInterrupt), ledger_saved(config, client, folder, Console()):
        assert not folder.ledger.exists()  # a live run is read from Redis
        one_group(client, config)
        if ending is not None:
            raise ending
    for key in client.scan_iter(match=Keys(run_name).prefix + "*"):
        client.delete(key)
    ledger = read_ledger(folder.path)
    assert (ledger.run, ledger.step, ledger.rows) == (run_name, 0, (P0,))


def test_a_redis_that_is_gone_does_not_hide_why_the_run_failed(tmp_path: Path) -> None:
    shown = io.StringIO()
    with EmbeddedRedis(tmp_path / "redis", fsync="everysec", max_memory_gib=0.1) as server:
        folder, config = run_folder(tmp_path / "run", server.url)
        client = connect(server.url, client_name="test")

        def fail() -> None:
            with ledger_saved(config, client, folder, Console(file=shown, width=200)):
                server.stop()
                raise RuntimeError("a role failed")

        with pytest.raises(RuntimeError, match="a role failed"):
            fail()
    assert not folder.ledger.exists()
    assert "ledger.json was not written: Redis did not answer" in shown.getvalue()


def test_a_run_closes_with_its_transfer(tmp_path: Path, client: Client, redis_url: str, run_name: str) -> None:
    folder, config = run_folder(tmp_path / "run", redis_url, run_name)
    one_group(client, config)
    state = RunState(config, client, [])
    summary = summarise(config, state, Measurement({}), {}, folder, reason="done", wall_s=2.0, train_s=1.0)
    assert summary["transfer"] == {
        "guided_first": 1,
        "then_unguided": 0,
        "unguided_recently": 0,
        "recency_unknown": 0,
        "unguided_first": 0,
        "same_step": 0,
        "unsolved": 0,
        "recent_groups": 4,
    }
    shown = io.StringIO()
    print_summary(Console(file=shown, width=200), summary, folder)
    assert "  transfer: of 1 problem first solved with guidance, 0 (0%) were since solved without" in shown.getvalue()


def test_the_command_prints_rows_and_transfer(tmp_path: Path) -> None:
    folder, _ = run_folder(tmp_path / "run", None)
    folder.ledger.write_bytes(to_json(LEDGER))
    shown = pope("ledger", str(folder.path), "--sort", "recent", "--limit", "2")
    assert shown.returncode == 0, shown.stderr
    assert "2 of 3 rows" in shown.stdout
    assert "of 1 problem first solved with guidance, 1 (100%) was since solved without, 1 in one of" in shown.stdout
    rows = [line for line in shown.stdout.splitlines() if "step 1" in line or "never" in line]
    assert [row.split("│")[1].strip() for row in rows] == ["q[b]\\x1b", "p"]
    assert "1/8 2/8 at step 13" in rows[1]


def test_the_command_prints_json_that_names_the_problems(tmp_path: Path) -> None:
    folder, _ = run_folder(tmp_path / "run", None)
    folder.ledger.write_bytes(to_json(LEDGER))
    shown = json.loads(pope("ledger", str(folder.path), "--arm", "unguided", "--json").stdout)
    assert [row["problem_id"] for row in shown["rows"]] == ["p"]
    assert shown["rows"][0]["last"][-1] == {"step": 13, "successes": 2, "judged": 8, "group_id": None}
    assert shown["rows"][0]["posterior"] == pytest.approx(list(jeffreys(3, 16)))
    assert shown["transfer"]["guided_first"] == ["p"]


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["--arm", "guide"], "--arm guide: the ledger of pope has guided, unguided"),
        (["--sort", "luck"], "--sort"),
        (["--limit", "0"], "--limit"),
        (["--url", "redis://h"], "leave --url out"),
    ],
)
def test_bad_input_ends_with_one_line(tmp_path: Path, words: list[str], remedy: str) -> None:
    folder, _ = run_folder(tmp_path / "run", None)
    folder.ledger.write_bytes(to_json(LEDGER))
    refused = pope("ledger", str(folder.path), *words)
    assert refused.returncode == 2
    assert remedy in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["ledger", "audit"])
def test_a_folder_without_a_run_is_refused(tmp_path: Path, command: str) -> None:
    refused = pope(command, str(tmp_path))
    assert (refused.returncode, "holds no run" in refused.stderr) == (2, True)


def test_the_variable_reaches_the_command(tmp_path: Path, server: EmbeddedRedis) -> None:
    folder, config = run_folder(tmp_path / "run", server.url)
    client = connect(server.url, client_name="test")
    one_group(client, config)
    shown = pope("audit", str(folder.path), variable=server.url)
    assert shown.returncode == 0, shown.stderr
    counted, promises = shown.stdout.strip().split("\npromises\n")
    assert counted == read_balance(client, Keys("pope")).explain()
    assert "one end        holds   1 groups: 0 trained, 0 dropped, 1 in flight" in promises
    assert "not checked: no history of actor-0, preprocess-0, learner-0 in this folder" in promises
    client.hincrby(Keys("pope").counters, "replaced", 1)
    shown = pope("audit", str(folder.path), variable=server.url)
    assert (shown.returncode, shown.stderr) == (1, f"pope: {folder.path}: the balance does not hold\n")
    client.hincrby(Keys("pope").counters, "issued", 1)  # now the sums agree, and yet a group is missing
    shown = pope("audit", str(folder.path), variable=server.url)
    assert shown.returncode == 1
    assert shown.stderr == f"pope: {folder.path}: one end: group 1 was issued and is lost, 1 in all\n"


@pytest.mark.parametrize(
    ("content", "message"), [(b"{", "damaged"), (b'{"run": "x", "step": 0, "rows": [], "schema": 9}', "schema 9")]
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    folder, _ = run_folder(tmp_path / "run", None)
    folder.ledger.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_ledger(folder.path)


LEDGER = RunLedger(
    run="pope",
    step=40,
    rows=(
        LedgerRow("p", "guided", 8, 4, 2, (Outcome(2, 4, 8),)),
        LedgerRow("p", "unguided", 16, 3, 10, (Outcome(10, 1, 8), Outcome(13, 2, 8))),
        LedgerRow("q[b]\x1b", "guided", 8, 0, None, (Outcome(5, 0, 8),)),
    ),
)


def test_a_ledger_comes_back_from_its_json(tmp_path: Path) -> None:
    folder, _ = run_folder(tmp_path / "run", None)
    folder.ledger.write_bytes(to_json(LEDGER))
    assert read_ledger(folder.path) == LEDGER


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("problem", ["p/guided", "p/unguided", "q/guided"]),
        ("rate", ["q/guided", "p/unguided", "p/guided"]),
        ("attempts", ["p/unguided", "p/guided", "q/guided"]),
        ("first-solve", ["p/guided", "p/unguided", "q/guided"]),
        ("recent", ["q/guided", "p/unguided", "p/guided"]),
    ],
)
def test_rows_can_be_put_in_order(order: str, expected: list[str]) -> None:
    rows = select(LEDGER, order=order).rows  # type: ignore[arg-type]
    assert [f"{row.problem_id[0]}/{row.arm}" for row in rows] == expected


def test_an_empty_ledger_is_a_table_without_rows() -> None:
    assert table(RunLedger(run="x", step=0, rows=())).row_count == 0


def test_a_row_has_the_posterior_of_its_rate() -> None:
    """One of one: Beta(3/2, 1/2); with x = sin^2 t the angle has the distribution (2 t - sin 2t) / pi."""
    lower, upper = posterior(LedgerRow("p", "guided", 1, 1, 0))
    assert (lower, upper) == pytest.approx((0.14675, 0.99961), abs=5e-6)

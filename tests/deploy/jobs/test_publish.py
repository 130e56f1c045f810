"""`pope publish`: the folder loads as it is, answers as the checkpoint, tells nothing private, and can be pushed."""

import base64
import hashlib
import io
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from rich.console import Console
from transformers import AutoModelForCausalLM, AutoTokenizer

from actors.evaluation.results import EvaluationReport, evaluation_report
from broker.errors import UsageError
from deploy.jobs.publish import FILES, publish
from deploy.run.hub_upload import PushFailed
from deploy.store.measurements import Measurement
from deploy.store.run_folder import RunFolder
from deploy.view.evaluation_tables import to_json
from deploy.view.model_card import public_name
from tests.actors.chat_tokenizers import CHATML_TOKENS, byte_tokenizer
from tests.learner.tiny import tiny_lm
from tests.trained_run import STEP, trained_run

VOCABULARY = 256 + len(CHATML_TOKENS)
END = VOCABULARY - 1
CARD = "---\nlicense: other\nlicense_name: test-terms\n---\n# The base\n"
NEWLINES = re.compile(r"\n{3,}")


def model(seed: int = 0) -> Any:
    return tiny_lm(seed=seed, vocab_size=VOCABULARY, eos_token_id=END, max_position_embeddings=1024)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    settings = ("model.path=/home/someone/models/base", "problems.source=/home/someone/private/sums.jsonl")
    return trained_run(
        tmp_path_factory.mktemp("runs") / "trained", model(), byte_tokenizer(), *settings, base_card=CARD
    )


def published(run: RunFolder, **options: Any) -> tuple[Path, str]:
    """(the folder, what was printed)"""
    console = Console(file=io.StringIO(), width=200)
    folder = publish(run.path, console, **options)
    return folder, console.file.getvalue()  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def folder(run: RunFolder) -> Path:
    return published(run)[0]


# Contents


def test_transformers_loads_the_folder_and_gets_the_greedy_answers_of_the_checkpoint(folder: Path) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    loaded, own = AutoModelForCausalLM.from_pretrained(folder), model()
    for problem in ("What is 2 + 2?", "Name a prime."):
        turns = [{"role": "user", "content": problem}]
        prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True, return_tensors="pt")
        ids = prompt["input_ids"]
        for _ in range(24):
            with torch.no_grad():
                following = own(input_ids=ids, use_cache=False).logits[0, -1].argmax()
            ids = torch.cat([ids, following[None, None]], 1)
            if following == END:
                break
        assert loaded.generate(**prompt, do_sample=False, max_new_tokens=24).tolist() == ids.tolist()


def test_the_code_of_the_card_runs_as_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(folder)
    with redirect_stdout(io.StringIO()) as output:
        exec(compile(code.replace("max_new_tokens=256", "max_new_tokens=8"), "card", "exec"), {})  # noqa: S102
    assert output.getvalue().strip()


def test_generation_ends_and_samples_as_the_evaluation_did(folder: Path) -> None:
    loaded = AutoModelForCausalLM.from_pretrained(folder).generation_config
    assert loaded.eos_token_id == [END]
    assert (loaded.do_sample, loaded.temperature, loaded.top_p, loaded.top_k) == (True, 0.8, 1.0, 0)


def test_the_folder_holds_what_a_model_needs_and_nothing_private(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "README.md", "pope.json", "LICENSE"} <= names
    assert not names & {"notes.txt", "MANIFEST.json", "state"}, f"only {FILES} are published"
    for path in folder.glob("*.[jm][sd]*"):
        assert "/home/someone" not in path.read_text(), path.name
        assert str(folder.parent) not in path.read_text(), path.name


def test_the_card_tells_base_data_method_measurements_and_licence(folder: Path, run: RunFolder) -> None:
    text = (folder / "README.md").read_text()
    data: Any = huggingface_hub.ModelCard(text).data
    assert (data.license, data.library_name, data.pipeline_tag) == ("test-terms", "transformers", "text-generation")
    assert f"base after {STEP} steps of reinforcement learning" in text
    assert "Problems of sums.jsonl: 4 hard. Guidance: 3 hard problems with a useful prefix" in text
    assert "| `learner.policy_loss` | truncated\\_is |" in text
    rows = [line for line in text.splitlines() if line.startswith("| after, unguided ")]
    assert len(rows) == 1
    assert "75.00 [" in rows[0]
    assert "whose licence is test-terms; it applies to them as well" in text
    assert NEWLINES.search(text) is None


def test_the_provenance_names_weights_step_and_settings(folder: Path) -> None:
    provenance = json.loads((folder / "pope.json").read_bytes())
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert (provenance["step"], provenance["weights_sha256"], provenance["base_model"]) == (STEP, digest, "base")
    assert provenance["settings"]["problems"]["source"] == "sums.jsonl"
    assert provenance["settings"]["actors"]["temperature"] == 0.8
    assert not {"broker", "deploy", "run", "model"} & set(provenance["settings"])


def test_a_measurement_of_other_weights_is_left_out(run: RunFolder, tmp_path: Path) -> None:
    folder, _ = published(run, out=tmp_path / "earlier", step=STEP - 4)
    text = (folder / "README.md").read_text()
    assert "| before, unguided " in text
    assert "| after" not in text
    assert f"after {STEP - 4} steps" in text


def test_reports_of_evaluations_and_a_licence_are_added(run: RunFolder, tmp_path: Path) -> None:
    results = Measurement.load(run.measurements).results["after"]["unguided"]
    report: EvaluationReport = evaluation_report({"hard": results}, [1], "mine")
    (tmp_path / "report.json").write_bytes(to_json([report]))
    folder, _ = published(run, out=tmp_path / "out", reports=[tmp_path / "report.json"], licence="mit")
    text = (folder / "README.md").read_text()
    assert "Other problem sets, without guidance:" in text
    assert "| mine " in text
    assert 'license: "mit"' in text


def test_settings_of_the_prompt_are_in_the_code_and_a_card_without_metadata_has_no_licence(tmp_path: Path) -> None:
    settings = ("model.path=me/base", "prompts.system=Be brief.", "prompts.template_kwargs={enable_thinking: false}")
    template = byte_tokenizer("{{ enable_thinking }}" + byte_tokenizer().chat_template)
    run = trained_run(tmp_path / "run", model(), template, *settings, base_card="# A card of words")
    folder, printed = published(run)
    text = (folder / "README.md").read_text()
    assert '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": problem + request}]' in text
    assert 'return_tensors="pt", enable_thinking=False\n)' in text
    assert '{"chat_template_kwargs": {"enable_thinking": false}}' in text
    assert 'base_model: "me/base"' in text
    assert "licence is not on record here" in text
    assert "the licence of me/base is not known here; --license ID" in printed


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B"),
        ("builtin:tiny", "builtin:tiny"),
        ("/data/models/mine/", "mine"),
        ("runs/first/checkpoints/step-000200", "first, step-000200"),
        ("/x/runs/warm/sft/model", "warm, model"),
        ("gsm8k", "gsm8k"),
        ("runs/mine/problems.jsonl", "mine, problems.jsonl"),
    ],
)
def test_a_public_name_tells_nothing_of_folders(path: str, name: str) -> None:
    assert public_name(path) == name


# Input


def test_a_folder_is_replaced_only_if_this_command_made_it(run: RunFolder, tmp_path: Path) -> None:
    out = tmp_path / "out"
    published(run, out=out, step=STEP - 4)
    published(run, out=out)
    assert json.loads((out / "pope.json").read_bytes())["step"] == STEP
    (other := tmp_path / "thesis").mkdir()
    (other / "thesis.tex").write_text("years")
    with pytest.raises(UsageError, match="holds other files; name a new folder"):
        published(run, out=other)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["out", "thesis"], "no scratch folder is left"


def test_what_cannot_be_published_is_refused(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no settings\.yaml; name the folder of a run"):
        publish(tmp_path, Console())
    with pytest.raises(UsageError, match=r"--step 5: .*; the run holds step-000008, step-000012"):
        published(run, step=5)
    empty = trained_run(tmp_path / "run", model(), byte_tokenizer())
    for checkpoint in empty.checkpoints.glob("step-*"):
        (checkpoint / "model.safetensors").write_bytes(b"")
    with pytest.raises(UsageError, match="holds no intact checkpoint"):
        published(empty)


# The hub


@contextmanager
def hub(monkeypatch: pytest.MonkeyPatch, status: int = 200) -> Iterator[list[tuple[str, str]]]:
    """A hub on loopback that takes every file as text. Yields (path, body) of each POST."""
    posts: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            return

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            posts.append((self.path, body))
            if "preupload" in self.path:
                names = [file["path"] for file in json.loads(body)["files"]]
                kept = {"uploadMode": "regular", "shouldIgnore": False}
                return self.reply({"files": [{"path": name, **kept} for name in names]})
            address = f"{url}/me/mine"
            self.reply({"url": address, "commitUrl": f"{address}/commit/1", "commitOid": "1", "name": "me/mine"})

        def do_GET(self) -> None:
            self.reply({"id": "me/mine", "sha": "0" * 40, "siblings": []})

        def reply(self, value: object) -> None:
            body = json.dumps(value if status < 400 else {"error": "Invalid credentials"}).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    try:
        yield posts
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_push_makes_a_private_repository_and_commits_every_file(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub(monkeypatch) as posts:
        folder, printed = published(run, out=tmp_path / "out", repository="me/mine")
    path, made = posts[0]
    assert path == "/api/repos/create"
    assert (json.loads(made)["name"], json.loads(made)["visibility"]) == ("mine", "private")
    (commit,) = [body for path, body in posts if path.endswith("/commit/main")]
    lines = [json.loads(line) for line in commit.splitlines()]
    assert lines[0]["value"]["summary"] == f"step {STEP}"
    sent = {line["value"]["path"]: base64.b64decode(line["value"]["content"]) for line in lines[1:]}
    assert sent == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert "/me/mine" in printed.splitlines()[-1]


def test_a_push_without_network_or_access_says_so_and_keeps_the_folder(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with pytest.raises(PushFailed, match=r"HF_HUB_OFFLINE is set; unset it\. The folder .* is complete"):
        published(run, out=out, repository="me/mine")
    assert (out / "README.md").is_file()
    with hub(monkeypatch, status=401), pytest.raises(PushFailed, match=r"refuses .*log in with `hf auth login`"):
        published(run, out=out, repository="me/mine")
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(PushFailed, match=r"the hub cannot be reached .*check the network"):
        published(run, out=out, repository="me/mine")
    with pytest.raises(UsageError, match=r"--push a b: .*write it as OWNER/NAME"):
        published(run, out=out, repository="a b")

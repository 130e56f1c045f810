"""What no line of the product may do."""

import ast

from tests.rules.source import FILES, calls, imports

UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "jsonpickle", "joblib"}
UNSAFE_CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "pickle.load", "pickle.loads", "np.save",
    "np.load", "numpy.load", "torch.save", "torch.jit.load", "torch.hub.load", "yaml.unsafe_load", "yaml.full_load",
    "parse_expr", "sympify", "tempfile.mktemp", "importlib.import_module", "pydoc.locate",
}  # fmt: skip
MAY_CALL = {"conf/plugins.py": {"importlib.import_module"}}
"""Files that may make one of these calls: on what the user's settings name, never on data."""
YAML_LOADERS = {"SafeLoader", "CSafeLoader"}


def keyword(call: ast.Call, name: str) -> str | None:
    """The argument as source, or None when it is not given."""
    return next((ast.unparse(k.value) for k in call.keywords if k.arg == name), None)


def test_nothing_is_pickled() -> None:
    for file, module, line in imports():
        assert module.partition(".")[0] not in UNSAFE_MODULES, f"{file}:{line}"


def test_nothing_is_evaluated() -> None:
    for file, name, call in calls():
        assert name not in UNSAFE_CALLS - MAY_CALL.get(file, set()), f"{file}:{call.lineno}: {name}"
        assert keyword(call, "shell") in (None, "False"), f"{file}:{call.lineno}: a shell reads data as commands"


def test_no_model_brings_its_own_code() -> None:
    for file, name, call in calls():
        assert keyword(call, "trust_remote_code") in (None, "False"), f"{file}:{call.lineno}: {name}"


def test_files_are_loaded_as_data() -> None:
    for file, name, call in calls():
        if name == "torch.load":
            assert keyword(call, "weights_only") == "True", f"{file}:{call.lineno}: set weights_only=True"
        if name in ("yaml.load", "yaml.compose"):
            loader = keyword(call, "Loader") or ""
            assert loader.rpartition(".")[2] in YAML_LOADERS, f"{file}:{call.lineno}: {name} without a safe loader"


def test_nothing_listens_on_every_interface() -> None:
    for file, tree in FILES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert "0.0.0.0" not in node.value, f"{file}:{node.lineno}"


def test_every_console_shows_foreign_text_as_text() -> None:
    """`deploy.view.screen` alone makes consoles; nobody turns markup on again."""
    for file, name, call in calls():
        assert name != "Console" or file == "deploy/view/screen.py", f"{file}:{call.lineno}: use deploy.view.screen"
        assert not name.endswith("from_markup"), f"{file}:{call.lineno}: {name}"
        assert keyword(call, "markup") in (None, "False"), f"{file}:{call.lineno}: {name}"
        if name == "TextColumn" and "description" in ast.unparse(call):
            assert keyword(call, "markup") == "False", f"{file}:{call.lineno}: a description may be anybody's words"


def test_no_log_is_set_up_without_the_formatter_that_escapes() -> None:
    set_up, escaping = (
        {file for file, name, _ in calls() if name == wanted} for wanted in ("logging.basicConfig", "PlainFormatter")
    )
    assert set_up <= escaping


def test_no_error_is_swallowed_whole() -> None:
    for file, tree in FILES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, f"{file}:{node.lineno}: a bare except hides even Ctrl-C"
                broad = ast.unparse(node.type) in ("Exception", "BaseException")
                does_nothing = all(isinstance(line, ast.Pass) for line in node.body)
                assert not (broad and does_nothing), f"{file}:{node.lineno}: name the error that is expected here"

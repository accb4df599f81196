"""The house stands: floors import only downwards, one file knows CuPy, nothing dangerous, no file grows too long."""
import ast
from pathlib import Path

import pytest

import minimoe

ROOT = Path(minimoe.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
FLOORS = {"backend": 0, "files": 0, "streams": 0, "cudasim": 0, "kernels": 1, "tensor": 1, "autograd": 1,
          "gradcheck": 1, "ops": 1, "nn": 2, "optim": 2, "moe": 3, "models": 4, "data": 5, "training": 5, "study": 6,
          "plots": 6, "op_cases": 6, "op_cases_general": 6, "op_cases_moe": 6, "commands": 7, "cli": 7, "__main__": 7,
          "__init__": 8}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path):
    """Dotted names a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def floors_below(path: Path):
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "minimoe" and len(parts) > 1 and parts[1] in FLOORS:
            yield parts[1], FLOORS[parts[1]]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_floor_imports_only_its_own_and_those_below(path):
    own = FLOORS[name_of(path)]
    above = [name for name, floor in floors_below(path) if floor > own]
    assert not above, f"{path} is on floor {own} and imports {above}"


def test_the_simulator_knows_nothing_of_the_rest():
    known = {name for path in FILES if name_of(path) == "cudasim" for name, _ in floors_below(path)}
    assert known <= {"cudasim"}


def test_data_knows_no_tensor():
    known = {name for path in FILES if name_of(path) == "data" for name, _ in floors_below(path)}
    assert known <= {"data", "files"}


def test_only_backend_imports_cupy():
    assert [p for p in FILES for name in imports(p) if name.split(".")[0] in ("cupy", "cupyx")
            and p.name != "backend.py"] == []


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_is_unpickled_evaluated_or_given_to_a_shell_and_texts_name_their_encoding(path):
    modules = {name.split(".")[0] for name in imports(path)}
    compiler = {"subprocess"} if name_of(path) == "cudasim" else set()          # g++, by a list of words, never a shell
    assert not modules & {"pickle", "shelve", "marshal", "subprocess"} - compiler
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        assert not (isinstance(node.func, ast.Name) and called in ("eval", "exec", "compile"))
        keywords = {keyword.arg for keyword in node.keywords}
        assert "shell" not in keywords
        binary = any(isinstance(a, ast.Constant) and "b" in str(a.value) for a in node.args[1:2])
        if called in ("read_text", "write_text") and isinstance(node.func, ast.Attribute):
            assert "encoding" in keywords, f"{path}:{node.lineno}"
        if isinstance(node.func, ast.Name) and called == "open":
            assert "encoding" in keywords or binary, f"{path}:{node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_is_over_300_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def test_only_the_command_line_prints():
    printing = {name_of(path) for path in FILES for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"}
    assert printing <= {"cli", "commands"}

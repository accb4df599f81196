"""Nothing is run, imported or written but what was asked for. test_architecture.py forbids pickle, eval and shell.

What a process does is seen through Python's audit events, which no code can go round.
"""
import ast
import os
import subprocess
import sys
from pathlib import Path

import bad_checkpoints
import pytest
from refusal import listing, place

import minimoe
from minimoe.cudasim import build
from minimoe.cudasim.translate import translate

ROOT = Path(minimoe.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
TESTS = Path(__file__).parents[1]
NETWORK = {"socket", "socketserver", "ssl", "urllib", "http", "ftplib", "smtplib", "asyncio", "requests", "webbrowser"}
STARTS = {"system", "popen", "fork", "forkpty", "posix_spawn", "startfile"}     # of os, and exec* and spawn*
# who may do what others may not: a router's file is run because its owner named it; cells run in processes of our own
ALLOWED = {"exec_module": {"moe/make.py"}, "multiprocessing": {"study/pool.py"}}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_file_talks_to_a_network_starts_a_program_or_loads_what_could_run(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            modules = {name.split(".")[0] for name in names}
            assert not modules & (NETWORK | {"dill", "joblib", "cloudpickle", "yaml", "torch", "code", "runpy", "imp"})
            assert "multiprocessing" not in modules or name_of(path) in ALLOWED["multiprocessing"]
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            owner = getattr(getattr(node.func, "value", None), "id", "")
            assert called not in ("__import__", "mktemp", "getattr_static", "literal_eval", "globals", "locals")
            assert called != "exec_module" or name_of(path) in ALLOWED["exec_module"]
            assert not (owner == "os" and (called in STARTS or called.startswith(("exec", "spawn"))))
            assert not (owner in ("np", "numpy", "xp") and called in ("load", "save", "savez", "memmap", "fromfile"))
            assert "allow_pickle" not in {keyword.arg for keyword in node.keywords}


def python(program: str, tmp_path: Path, *arguments) -> str:
    """Runs a program whose home, cache and temporary folder are empty ones; returns what it printed."""
    own = {name: str(tmp_path / name.lower()) for name in ("HOME", "XDG_CACHE_HOME", "TMPDIR", "MPLCONFIGDIR")}
    for folder in (*own.values(), tmp_path / "here"):
        Path(folder).mkdir()
    paths = os.pathsep.join([*sys.path, *(str(TESTS / folder) for folder in ("training", "trust"))])
    done = subprocess.run([sys.executable, "-B", "-c", program, *map(str, arguments)], cwd=tmp_path / "here",
                          capture_output=True, text=True, encoding="utf-8",
                          env={"PATH": os.environ["PATH"], "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"} | own)
    assert done.returncode == 0, done.stderr
    return done.stdout


WATCH_WRITES = """
import os, sys
allowed, strange = os.path.realpath(sys.argv[1]), []
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod")
def watch(event, arguments):
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
        places = [path]
    elif event in CHANGES:
        places = [a for a in arguments[:2] if isinstance(a, (str, bytes, os.PathLike))]
    else:
        return
    strange.extend((event, place) for place in map(os.path.realpath, map(os.fsdecode, places))
                   if not place.startswith(allowed + os.sep) and place not in (allowed, os.devnull))
from minimoe import cli
from minimoe.commands import checks, runs
from small import small_task
runs.prepare_task = lambda config: small_task()
sys.addaudithook(watch)
out = sys.argv[1]
tiny = ["--d-model", "8", "--heads", "2", "--d-ff", "8", "--experts", "2", "--max-length", "32", "--epochs", "2",
        "--batch-size", "16", "--vocab-size", "300", "--save-every", "3", "--quiet"]
for argv in (["train", *tiny, "--out", out + "/run", "--json", out + "/train.json"],
             ["train", *tiny, "--out", out + "/run", "--resume"], ["train", *tiny],
             ["pretrain", *tiny, "--text", sys.argv[2], "--out", out + "/words"],
             ["predict", "the film was good", "--checkpoint", out + "/run", "--json", out + "/predict.json"],
             ["inspect", "the film", "--checkpoint", out + "/run", "--export", out + "/routes.csv"],
             ["predict", "the [MASK] was", "--checkpoint", out + "/words"], ["info", "--json", out + "/info.json"],
             ["evaluate", "--split", "dev", "--checkpoint", out + "/run", "--json", out + "/evaluate.json"],
             ["gradcheck", "--quiet", "--json", out + "/gradcheck.json"]):
    assert cli.main(argv) == 0, argv
print("STRANGE", strange)
"""


def test_commands_write_nothing_outside_the_folder_that_they_were_given(tmp_path):
    place(tmp_path, {"given/words.txt": "the film was good and the plot was not\n" * 90})
    out = tmp_path / "out"
    out.mkdir()
    said = python(WATCH_WRITES, tmp_path, out, tmp_path / "given" / "words.txt")
    assert said.splitlines()[-1] == "STRANGE []"
    assert sorted(p.name for p in out.iterdir()) == ["evaluate.json", "gradcheck.json", "info.json", "predict.json",
                                                     "routes.csv", "run", "train.json", "words"]
    own = [tmp_path / name for name in ("home", "xdg_cache_home", "tmpdir", "mplconfigdir", "here")]
    assert listing(*own) == {}


WATCH_RUNS = """
import sys
from pathlib import Path
import minimoe
from minimoe.training import load_checkpoint
RUNS = ("exec", "compile", "import", "os.system", "subprocess.Popen", "pickle.find_class", "os.exec", "os.posix_spawn",
        "ctypes.dlopen", "socket.connect", "marshal.loads")
seen = []
packaged = Path(minimoe.__file__).parent / "assets" / "sentiment"
load_checkpoint(packaged).model()                   # what is imported late is there now
sys.addaudithook(lambda event, arguments: seen.append((event, arguments[0])) if event in RUNS else None)
load_checkpoint(packaged).model()
refused = 0
for path in Path(sys.argv[1]).iterdir():
    try:
        load_checkpoint(path).model()
    except (ValueError, OSError):
        refused += 1
print(refused, seen)
"""


def test_reading_a_checkpoint_good_or_hostile_imports_and_runs_nothing(tmp_path):
    """A recipe for pickle is among them, under the checkpoint's name."""
    pickled = b"cos\nsystem\n(S'touch ran'\ntR."
    files = [*bad_checkpoints.DAMAGED.values(), *(data for data, _ in bad_checkpoints.HOSTILE.values()), pickled]
    place(tmp_path, {f"given/{i}.safetensors": data for i, data in enumerate(files)})
    said = python(WATCH_RUNS, tmp_path, tmp_path / "given")
    refused, seen = said.split(" ", 1)
    assert seen.strip() == "[]" and int(refused) > 80
    assert listing(tmp_path / "here") == {}


def test_a_router_that_a_checkpoint_names_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evil = ("from minimoe.moe import TopKRouter\nopen('ran', 'w', encoding='utf-8').close()\n"
            "class Evil(TopKRouter):\n    pass\n")
    for router in (f"{tmp_path}/evil.py:Evil", "evil.py:Evil", "Evil"):
        place(tmp_path, {"evil.py": evil, bad_checkpoints.FILE: bad_checkpoints.content(config__router=router)})
        with pytest.raises(ValueError, match="say where it is with --router"):
            minimoe.training.load_checkpoint(tmp_path).model()
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def base(tmp_path, monkeypatch):
    """A cache of kernels of its own."""
    if build.missing():
        pytest.skip(build.missing())
    build.runtime()                                 # from the usual cache: it takes long to compile
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for remembered in (build.cache_folder, build.kernel_library):
        remembered.cache_clear()
    yield tmp_path
    for remembered in (build.cache_folder, build.kernel_library):
        remembered.cache_clear()


def test_a_library_that_somebody_planted_in_an_open_cache_is_neither_loaded_nor_touched(base):
    """It has the right name and a right hash: only the folder's mode tells."""
    text, _ = translate('extern "C" __global__ void f(int* y) { y[0] = 5; }')
    planted = build.kernel_library(text, (), False)[1]
    before = planted.stat().st_mtime_ns
    planted.parent.chmod(0o777)
    for remembered in (build.cache_folder, build.kernel_library):
        remembered.cache_clear()
    loaded = build.kernel_library(text, (), False)[1]
    assert loaded.name == planted.name and loaded.parent != planted.parent
    assert planted.stat().st_mtime_ns == before and os.listdir(planted.parent) == [planted.name]


def test_an_open_mask_for_new_files_does_not_open_the_cache(base):
    before = os.umask(0)
    try:
        folder = build.cache_folder()
    finally:
        os.umask(before)
    assert folder == base / "minimoe" / "cudasim"
    assert [p.stat().st_mode & 0o777 for p in (folder, folder.parent)] == [0o700, 0o700]

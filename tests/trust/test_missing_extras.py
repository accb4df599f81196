"""Without tokenizers, matplotlib or CuPy everything else works, and what needs one of them names the extra."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
# Finders that do not see the packages, as if they had never been installed.
HIDE = """
import sys
hidden = set(filter(None, sys.argv[1].split(",")))

class Blind:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, *more):
        return None if name.split(".")[0] in hidden else self.finder.find_spec(name, *more)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Blind(finder) for finder in sys.meta_path]
"""
WORK = HIDE + """
import minimoe
from minimoe import cli
from minimoe.commands import runs
from small import small_task
whole = runs.prepare_task
runs.prepare_task = lambda config: small_task() if config.tokenizer == "word" else whole(config)
TINY = ["--d-model", "8", "--heads", "2", "--d-ff", "8", "--experts", "2", "--max-length", "32", "--batch-size", "16",
        "--max-steps", "2", "--vocab-size", "300", "--quiet"]
EVERYWHERE = [["train", *TINY, "--out", "run"], ["train", *TINY, "--out", "run", "--resume"],
              ["pretrain", *TINY, "--text", "words.txt", "--out", "lm"], ["predict", "a film", "--checkpoint", "run"],
              ["predict", "the [MASK] was", "--checkpoint", "lm"], ["inspect", "a film", "--export", "routes.csv"],
              ["gradcheck", "--quiet"], ["info"]]
open("words.txt", "w", encoding="utf-8").write("the film was good and the plot was not\\n" * 90)
for argv in EVERYWHERE:
    assert cli.main(argv) == 0, argv
assert set(minimoe.available_backends()) == {"numpy", "cupy", "cudasim"}
assert "layer" in minimoe.plots.experts_per_token(["a", "b"], [[1, 2]])
assert "<" in minimoe.plots.experts_per_token(["a", "b"], [[1, 2]], format="html")
NEEDY = {"tokenizers": ["train", *TINY, "--tokenizer", "wordpiece", "--no-baseline"],
         "matplotlib": ["inspect", "a film", "--plot", "a.png"], "cupy": ["train", *TINY, "--backend", "cupy"]}
for name in hidden:
    print(f"{name} STATUS", cli.main(NEEDY[name]), flush=True)
assert not hidden & {module.split(".")[0] for module in sys.modules}
"""
EXTRAS = {"tokenizers": 'WordPieceTokenizer needs the package tokenizers: pip install "minimoe[text]"',
          "matplotlib": 'pip install "minimoe[plots]"', "cupy": "CuPy is not installed: pip install 'minimoe[cuda13]'"}


def python(program: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    paths = os.pathsep.join([*sys.path, str(TESTS / "training")])
    return subprocess.run([sys.executable, "-c", program, *arguments], cwd=folder, capture_output=True, text=True,
                          encoding="utf-8", env={**os.environ, "PYTHONPATH": paths, "PYTHONUTF8": "1"})


@pytest.mark.parametrize("hidden", [*EXTRAS, ",".join(EXTRAS)])
def test_all_else_works_and_the_error_names_the_extra(hidden, tmp_path):
    done = python(WORK, tmp_path, hidden)
    assert done.returncode == 0, done.stderr
    for name in hidden.split(","):
        assert f"{name} STATUS 2" in done.stdout
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == len(hidden.split(","))     # one each, and nothing else was said
    for name in hidden.split(","):
        assert any(line.startswith("minimoe: ") and EXTRAS[name] in line for line in lines), lines
    assert not (tmp_path / "a.png").exists()


def test_a_checkpoint_of_pieces_of_words_names_the_extra(tmp_path):
    made = python("from minimoe.models import *; from minimoe.data import WordPieceTokenizer as W\n"
                  "from minimoe.training import save_checkpoint\n"
                  "tokenizer = W.train(['a film'], 20)\n"
                  "model = SequenceClassifier(EncoderConfig(tokenizer.vocab_size, d_model=8, n_heads=2, d_ff=4))\n"
                  "save_checkpoint('run', model, tokenizer=tokenizer, task={'name': 'x', 'label_names': ['a', 'b']})",
                  tmp_path)
    assert made.returncode == 0, made.stderr
    read = "from minimoe import cli; sys.exit(cli.main(['predict', 'a film', '--checkpoint', 'run']))"
    done = python(HIDE + read, tmp_path, "tokenizers")
    assert done.returncode == 2 and done.stderr == f"minimoe: {EXTRAS['tokenizers']}\n"
    assert python(HIDE + read, tmp_path, "").returncode == 0


LARGE = ("matplotlib", "cupy", "tokenizers", "torch", "sklearn", "hypothesis", "IPython", "scipy.optimize",
         "scipy.special", "scipy.stats", "multiprocessing.pool")


@pytest.mark.parametrize("first", ["import minimoe", "import minimoe.cudasim, minimoe.kernels",
                                   "from minimoe import cli; cli.main(['predict', 'a film'])",
                                   "from minimoe import cli; cli.main(['train', '--epochs', '0'])"])
def test_nothing_large_is_loaded_before_it_is_needed(first, tmp_path):
    done = python(f"{first}\nimport sys\nprint('LOADED', [m for m in {LARGE} if m in sys.modules])", tmp_path)
    assert done.stdout.splitlines()[-1] == "LOADED []", done.stderr


def test_importing_writes_nothing_prints_nothing_and_starts_no_thread(tmp_path):
    done = python("import threading, minimoe; assert threading.active_count() == 1", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "") and list(tmp_path.iterdir()) == []

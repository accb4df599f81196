"""The scripts beside the results of the grids: marks, the split of QQP, and everything that is published."""
import json
import subprocess
import sys
from pathlib import Path

import pytest

from minimoe.data import load_glue
from minimoe.study.tables import read_rows_csv

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "study"))
from grids import write_glue  # noqa: E402
from made_results import ROWS, result, write, write_rows  # noqa: E402


@pytest.fixture
def script(monkeypatch):
    """script(name) -> the module of benchmarks/name.py."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return __import__


@pytest.fixture
def published(tmp_path, script):
    """Results, a README with its two marks, and the call that publishes."""
    results, readme, shipped = tmp_path / "results", tmp_path / "README.md", tmp_path / "package" / "rows.csv"
    write_rows(results / "builtin", {"shuffled": [0.7, 0.75, 0.8], "budget": [0.72, 0.75, 0.79]})
    write(results / "builtin", result("budget4", 0, 0.6, config=ROWS["budget"][0] | {"mean_experts": 4}))
    readme.write_text("before\n<!-- results:start -->\nold\n<!-- results:end -->\nafter\n", encoding="utf-8")
    options = ["--results", str(results), "--readme", str(readme), "--shipped", str(shipped)]
    return results, readme, shipped, lambda *more: script("report_readme").main([*options, *more])


def test_one_command_writes_report_readme_and_shipped_rows(published, capsys):
    results, readme, shipped, publish = published
    assert publish() == 0
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- results:start -->\n\nAt equal compute") and "old" not in text
    assert text.endswith("\n\n<!-- results:end -->\nafter\n")
    assert "| sentiment (builtin) | budget | 3 | 0.00 | 0.7533 | +0.0033 ± 0.0153 |" in text
    assert "| sentiment (builtin) | accuracy | 3 | 0.500 | 0.750 ± 0.050 | 0.753 ± 0.035 |" in text
    assert "[builtin](benchmarks/results/builtin/report.md)" in text and "Further rows" not in text
    assert "- sentiment (builtin): Every row's mean beats the mark (best constant answer 0.500" in text
    assert "budget4" not in text                    # of another mean
    assert [row["row"] for row in read_rows_csv(shipped.read_text(encoding="utf-8"))] == [
        "shuffled", "budget", "budget4"]
    listed = capsys.readouterr().out.splitlines()
    assert str(results / "builtin" / "report.md") in listed and all(Path(path).is_file() for path in listed)


def test_grids_that_were_not_planned_are_summed_up_apart_and_do_not_enter_the_verdict(published):
    results, readme, shipped, publish = published
    publish()
    planned = readme.read_text(encoding="utf-8").partition("All tables")[0]
    write_rows(results / "ideas", {"shuffled": [0.7, 0.71, 0.72], "budget": [0.81, 0.8, 0.82]})
    assert publish() == 0
    text = readme.read_text(encoding="utf-8")
    assert text.startswith(planned.rstrip()) and (results / "ideas" / "report.md").is_file()
    assert "Further rows and attempts to do better (ideas). At equal compute" in text
    assert text.count("importance helps in 1 of 1 comparison.") == 1 and "importance helps" not in planned
    assert {row["grid"] for row in read_rows_csv(shipped.read_text(encoding="utf-8"))} == {"builtin", "ideas"}


def test_a_second_run_changes_nothing_and_a_check_agrees(published):
    _, readme, _, publish = published
    publish()
    before = readme.read_bytes()
    assert publish() == 0 and readme.read_bytes() == before and publish("--check") == 0


def test_a_check_finds_a_readme_that_was_typed_and_writes_nothing(published, capsys):
    results, readme, shipped, publish = published
    publish()
    typed = readme.read_text(encoding="utf-8").replace("0.7533", "0.9533")
    readme.write_text(typed, encoding="utf-8")
    capsys.readouterr()
    assert publish("--check") == 1 and "is not what the results say" in capsys.readouterr().out
    assert readme.read_text(encoding="utf-8") == typed


@pytest.mark.parametrize("text", ["", "<!-- results:start -->", "<!-- results:end --> <!-- results:start -->",
                                  "<!-- results:start --><!-- results:end --><!-- results:end -->"])
def test_a_readme_without_its_two_marks_is_left_alone(published, capsys, text):
    results, readme, _, publish = published
    readme.write_text(text, encoding="utf-8")
    assert publish() == 2 and readme.read_text(encoding="utf-8") == text
    assert not (results / "builtin" / "report.md").exists()
    assert "needs the lines <!-- results:start --> and <!-- results:end -->" in capsys.readouterr().err


def test_without_results_nothing_is_published(published, capsys):
    results, readme, _, publish = published
    for path in results.rglob("*.json"):
        path.unlink()
    before = readme.read_bytes()
    assert publish() == 2 and readme.read_bytes() == before and "no results here" in capsys.readouterr().err


def test_marks_are_added_to_those_that_are_there(script, tmp_path, capsys):
    glue, out = write_glue(tmp_path / "glue"), tmp_path / "marks.json"
    out.write_text('{"cola": {"kept": 1}}', encoding="utf-8")
    assert script("marks").main(["--data-dir", str(glue), "--task", "sst2", "--out", str(out)]) == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    assert list(found) == ["cola", "sst2"] and found["cola"] == {"kept": 1}
    assert found["sst2"]["constant"]["score"] == 0.6 and "sst2           constant  accuracy 0.600" in (
        capsys.readouterr().out)


def test_marks_are_measured_for_the_built_in_tasks_and_the_files_that_are_there(script, tmp_path):
    tasks = script("marks").tasks_in
    builtin = ["sentiment", "acceptability", "paraphrase"]
    assert tasks(None) == builtin and tasks(str(write_glue(tmp_path))) == [*builtin, "sst2"]
    for name in ("train", "dev_matched"):
        (tmp_path / "MNLI").mkdir(exist_ok=True)
        (tmp_path / "MNLI" / f"{name}.tsv").touch()
    (tmp_path / "QQP").mkdir()
    (tmp_path / "QQP" / "train.tsv").touch()
    assert tasks(str(tmp_path)) == [*builtin, "sst2", "mnli"]


def test_marks_of_an_unknown_task_are_refused_in_one_line(script, tmp_path, capsys):
    assert script("marks").main(["--task", "chess", "--out", str(tmp_path / "m.json")]) == 2
    assert capsys.readouterr().err.startswith("marks.py: task: 'chess'") and not (tmp_path / "m.json").exists()


def test_the_split_of_qqp_keeps_every_line_once_and_in_order(script, tmp_path):
    lines = [f'{i}\t1\t2\twhat "is"\vit {i}\twhy {i}\t{i % 2}' for i in range(50)]       # \v: no line ends there
    source = tmp_path / "subset.tsv"
    source.write_text("\n".join(["id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate", *lines, ""]), encoding="utf-8")
    for folder in ("one", "two"):
        assert script("split_qqp").main([str(source), str(tmp_path / folder)]) == 0
    parts = [(tmp_path / "one" / "QQP" / f"{name}.tsv").read_text(encoding="utf-8") for name in ("train", "dev")]
    train, dev = (part.rstrip("\n").split("\n")[1:] for part in parts)
    assert (len(train), len(dev)) == (40, 10) and sorted(train + dev) == sorted(lines)
    assert [line for line in lines if line in dev] == dev and [line for line in lines if line in train] == train
    assert dev != lines[:10] and parts[1] == (tmp_path / "two" / "QQP" / "dev.tsv").read_text(encoding="utf-8")
    assert len(load_glue("qqp", tmp_path / "one", "dev")) == 10


def test_a_missing_file_of_questions_is_one_line(script, tmp_path, capsys):
    assert script("split_qqp").main([str(tmp_path / "no.tsv"), str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "QQP").exists()


SOURCE = """
LIMIT = 3 + 1

def f(x, y=2):
    \"\"\"Says.\"\"\"
    def inner(z):
        return -z
    if x < y and not y:
        raise ValueError(f"{x + 1}")
    x += 3
    print(x)
    return inner(x)
"""


def test_a_mutant_changes_one_place_inside_a_function(script, tmp_path):
    (tmp_path / "m.py").write_text(SOURCE, encoding="utf-8")
    found = []
    for what, code in script("mutants").mutants_of(tmp_path / "m.py"):
        names = {"print": lambda x: None}
        exec(code, names)                           # what the script compiled
        assert names["LIMIT"] == 4
        try:
            answer = names["f"](5)
        except ValueError:
            answer = "refused"
        found.append((*what.split(" ")[:2], answer))
    assert found == [("7:", "USub", 8), ("8:", "Lt", -8), ("8:", "Not", -8), ("8:", "And", -8),
                     ("8:", "the", "refused"), ("10:", "the", -9), ("10:", "Add", -2), ("11:", "`print(x)`", -8)]


def test_a_mutant_that_leaves_out_super_can_still_be_put_in_place(script, tmp_path, monkeypatch):
    """A function's code can only be replaced by one that needs the same names from around it."""
    (tmp_path / "m.py").write_text("class A(list):\n    def __init__(self):\n        super().__init__([5])\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    module, mutants = __import__("m"), script("mutants")
    last = list(mutants.mutants_of(tmp_path / "m.py"))[-1]
    assert last[0] == "3: `super().__init__([5])` left out" and module.A() == [5]
    mutants.install(last[1])
    assert module.A() == []


def test_mutants_are_noticed_by_the_tests_that_know_the_file(tmp_path):
    found = tmp_path / "mutants.json"
    done = mutants("--only", "optim/clip", "--jobs", "1", "--json", str(found))
    assert done.returncode == 0, done.stderr
    results = json.loads(found.read_text(encoding="utf-8"))["optim/clip.py"]
    assert {result for what, result in results.items() if "Div in `max_norm" in what} == {"noticed"}
    assert {result for what, result in results.items() if "Lt in `scale < 1`" in what} == {"survived"}      # x * 1
    share = sum(result != "survived" for result in results.values()) / len(results)
    assert 0.9 < share < 1 and done.stdout.splitlines()[-1].split()[-1] == f"{100 * share:.1f}"


def test_mutants_of_no_file_are_refused():
    done = mutants("--only", "no/such")
    assert done.returncode == 2 and done.stderr == "mutants.py: --only no/such: no file's path contains that\n"


def mutants(*arguments):
    return subprocess.run([sys.executable, str(ROOT / "benchmarks" / "mutants.py"), *arguments], capture_output=True,
                          text=True, encoding="utf-8")

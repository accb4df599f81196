"""Do the tests notice a wrong line? Changes one place of the code at a time and runs the tests until one fails.

    python benchmarks/mutants.py --json mutants.json                # every mutant of moe/, three ops and optim/
    python benchmarks/mutants.py --only optim/clip --jobs 1

A mutant turns a comparison, an operator, a number, a True, a condition or an `and` into its neighbour, or leaves a
statement out. Texts of messages and annotations are left alone. Every mutant runs in a forked process that has
collected the tests already, so it costs no more than they do: first those that noticed most mutants of the file so far,
then those named after it. A mutant that runs longer than LIMIT times the unchanged code counts as noticed. Needs
os.fork. A result file that exists is gone on with.
"""
from __future__ import annotations

import argparse
import ast
import gc
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType

import pytest

import minimoe
from minimoe.files import check_writable, write_json
from minimoe.study.summary import table

PACKAGE, TESTS = Path(minimoe.__file__).parent, Path(__file__).parents[1]
OPS = ["tests/test_ops.py", "tests/test_ops_details.py", "tests/test_cases_numerics.py",
       "tests/test_op_errors.py", "tests/moe/test_layer.py", "tests/trust/test_differential.py"]
# file, or folder with all its files -> the tests that know it
TARGETS = {"moe": ["tests/moe", "tests/trust/test_differential.py", "tests/trust/test_properties.py",
                   "tests/trust/test_properties_routing.py", "tests/trust/test_bad_arrays.py"],
           "ops/dispatch.py": OPS, "ops/grouped.py": [*OPS, "tests/kernels/test_expert_forms.py"],
           "ops/softmax.py": OPS, "optim": ["tests/optim"]}
LIMIT = 4
SWAPS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
         ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Add: ast.Sub,
         ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Pow: ast.Mult,
         ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.MatMult: ast.Mult, ast.And: ast.Or, ast.Or: ast.And}


class Mutator(ast.NodeTransformer):
    """Changes the place number `wanted`, counted in the order of the walk; `done` says what was changed."""

    def __init__(self, wanted: int):
        self.wanted, self.at, self.done, self.functions = wanted, -1, "", 0

    def _here(self, node: ast.AST, what: str) -> bool:
        if not self.functions:                      # what runs at import time has run before a mutant exists
            return False
        self.at += 1
        if self.at == self.wanted:
            self.done = f"{node.lineno}: {what}"
        return self.at == self.wanted

    def visit_FunctionDef(self, node):
        self.functions += 1                         # but not its annotations, decorators and defaults
        node.body = [new for statement in node.body if (new := self.visit(statement)) is not None]
        self.functions -= 1
        return node

    def visit_Compare(self, node):
        self.generic_visit(node)
        for i, operator in enumerate(node.ops):
            if self._here(node, f"{_name(operator)} in `{ast.unparse(node):.60}`"):
                node.ops[i] = SWAPS[type(operator)]()
        return node

    def _swap_operator(self, node):
        self.generic_visit(node)
        if type(node.op) in SWAPS and self._here(node, f"{_name(node.op)} in `{ast.unparse(node):.60}`"):
            node.op = SWAPS[type(node.op)]()
        return node

    visit_BinOp = visit_AugAssign = visit_BoolOp = _swap_operator

    def visit_UnaryOp(self, node):
        self.generic_visit(node)
        return node.operand if self._here(node, f"{_name(node.op)} of `{ast.unparse(node):.60}` left out") else node

    def visit_Constant(self, node):
        if type(node.value) not in (int, float, bool) or not self._here(node, f"the constant {node.value}"):
            return node
        value = not node.value if type(node.value) is bool else node.value + 1
        return ast.copy_location(ast.Constant(value), node)

    def _negate(self, node):
        self.generic_visit(node)
        if self._here(node.test, f"the condition `{ast.unparse(node.test):.60}` turned round"):
            node.test = ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test)
        return node

    visit_If = visit_IfExp = visit_While = _negate

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Constant):    # a docstring
            return node
        self.generic_visit(node)
        if not self._here(node, f"`{ast.unparse(node):.60}` left out"):
            return node
        never = ast.copy_location(ast.Constant(False), node)            # `pass` would lose the names that super() needs
        return ast.copy_location(ast.If(never, [node], []), node)

    def visit_Raise(self, node):                    # its text is for people; whether it is raised, the condition says
        return node

    def visit_AnnAssign(self, node):
        return node

    def visit_JoinedStr(self, node):
        return node


def _name(operator: ast.AST) -> str:
    return type(operator).__name__


def mutants_of(file: Path) -> Iterator[tuple[str, CodeType]]:
    """(what was changed, the module's code) of every mutant of a file."""
    source = file.read_text(encoding="utf-8")
    for number in range(sys.maxsize):
        mutator = Mutator(number)
        tree = ast.fix_missing_locations(mutator.visit(ast.parse(source)))
        if not mutator.done:
            return
        yield mutator.done, compile(tree, str(file), "exec")


def functions_in(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from functions_in(constant)


def install(code: CodeType) -> None:
    """Gives every function that was made from the same place of the same file its new code."""
    new = {(c.co_name, c.co_firstlineno): c for c in functions_in(code)}
    for function in [o for o in gc.get_objects() if type(o) is FunctionType]:
        old = function.__code__
        if old.co_filename == code.co_filename and (found := new.get((old.co_name, old.co_firstlineno))):
            if len(found.co_freevars) == len(old.co_freevars):
                function.__code__ = found


def start(code: CodeType | None, items: list[pytest.Item]) -> tuple[int, int]:
    """(process, pipe): forked from this one, it ends with 0 when no test noticed the mutant, else it writes the place
    of the test that did into the pipe."""
    answer, place = os.pipe()
    child = os.fork()
    if child:
        os.close(place)
        return child, answer
    status = 99
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        if code is not None:
            install(code)
        status = 0
        for number, (item, following) in enumerate(zip(items, [*items[1:], None], strict=True)):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if item.session.testsfailed:
                os.write(place, str(number).encode())
                status = 1
                break
    finally:
        os._exit(status)


def knowing(items: list[pytest.Item], file: Path, tests: list[str]) -> list[pytest.Item]:
    """The items of `tests`, those whose file is named after `file` first."""
    chosen = [item for item in items if any(item.nodeid.startswith(test) for test in tests)]
    return sorted(chosen, key=lambda item: f"_{file.stem}." not in item.nodeid)


class Survey:
    """A plugin of pytest that asks for mutants where the tests would run."""

    def __init__(self, files: dict[Path, list[str]], jobs: int, found: dict, keep):
        self.arguments = jobs, found, keep
        self.files = files

    def pytest_runtestloop(self, session) -> bool:
        survey({file: knowing(session.items, file, tests) for file, tests in self.files.items()}, *self.arguments)
        return True


def survey(files: dict[Path, list[pytest.Item]], jobs: int, found: dict[str, dict[str, str]], keep) -> None:
    """Fills found[file][mutant] with "noticed", "too slow" or "survived"; calls keep() now and then."""
    running: dict[int, tuple] = {}
    seconds: dict[frozenset, float] = {}            # tests -> how long they take without a change
    best: Counter[pytest.Item] = Counter()          # test -> mutants of this file that it noticed first

    def settle(at_most: int) -> None:
        while len(running) > at_most:
            child, status = os.waitpid(-1, os.WNOHANG)
            now = time.monotonic()
            for pid, (*_, deadline) in running.items():
                if not child and now > deadline:
                    os.kill(pid, signal.SIGKILL)
            if not child:
                time.sleep(0.02)
                continue
            name, mutant, order, answer, _ = running.pop(child)
            with os.fdopen(answer) as pipe:
                best.update(order[int(number)] for number in pipe.read().split())
            slow = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
            found[name][mutant] = "too slow" if slow else "noticed" if status else "survived"
            if found[name][mutant] == "survived":
                print(f"survived: {name}:{mutant}", flush=True)
            keep()

    for file, items in files.items():
        name = file.relative_to(PACKAGE).as_posix()
        mutants = {f"{what} (#{number})": code for number, (what, code) in enumerate(mutants_of(file))}
        found[name] = {mutant: result for mutant, result in found.get(name, {}).items() if mutant in mutants}
        to_do = mutants.keys() - found[name].keys()
        tests = frozenset(items)
        if to_do and tests not in seconds:
            seconds[tests] = clean_run(name, items)
        best.clear()
        for mutant in (mutant for mutant in mutants if mutant in to_do):
            settle(jobs - 1)
            order = sorted(items, key=lambda item: -best[item])
            child, answer = start(mutants[mutant], order)
            running[child] = name, mutant, order, answer, time.monotonic() + LIMIT * seconds[tests] * jobs
        settle(0)


def clean_run(name: str, items: list[pytest.Item]) -> float:
    """Seconds that the tests take without a change, all of which must pass."""
    began = time.monotonic()
    child, answer = start(None, items)
    os.close(answer)
    if os.waitpid(child, 0)[1]:
        raise SystemExit(f"{name}: its tests fail without any change; nothing was measured")
    return time.monotonic() - began


def summary(found: dict[str, dict[str, str]]) -> list[dict]:
    rows = []
    for name, mutants in [*found.items(), ("all", {f"{f}:{m}": r for f, ms in found.items() for m, r in ms.items()})]:
        survived = sum(result == "survived" for result in mutants.values())
        rows.append({"file": name, "mutants": len(mutants), "noticed": len(mutants) - survived,
                     "share, %": f"{100 * (1 - survived / max(len(mutants), 1)):.1f}"})
    return rows


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description="Which wrong lines do the tests notice?")
    parser.add_argument("--only", default="", help="only files whose path contains this")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="mutants at a time")
    parser.add_argument("--json", metavar="FILE", help="write every mutant there; an existing file is gone on with")
    options = parser.parse_args(arguments)
    check_writable(options.json)
    os.chdir(TESTS)
    files = {}
    for target, tests in TARGETS.items():
        path = PACKAGE / target
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            if options.only in file.relative_to(PACKAGE).as_posix():
                files[file] = tests
    if not files:
        print(f"{parser.prog}: --only {options.only}: no file's path contains that", file=sys.stderr)
        return 2
    found = json.loads(Path(options.json).read_text()) if options.json and Path(options.json).is_file() else {}
    tests = sorted({test for several in files.values() for test in several})
    status = pytest.main(["-s", "-qq", "--no-header", "-p", "no:cacheprovider", *tests], [
        Survey(files, options.jobs, found, lambda: options.json and write_json(options.json, found))])
    if status:
        return int(status)
    print(table(summary(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

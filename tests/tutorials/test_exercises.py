"""Blank, broken and plausibly wrong answers fail, each with the right sentence; the solution passes.

One kernel per lesson walks through the solution; at each exercise it tries every wrong answer before the right one.
"""
import execution
import lesson
import pytest
from conftest import TUTORIALS

from minimoe.backend import available_backends


class Kernel:
    """A Python that remembers: run(text) answers with "" or with the error, as "ValueError: sentence"."""

    def __init__(self, folder):
        self.manager = execution.kernel_manager(blocking=True)()
        self.manager.start_kernel(env=execution.environment(), cwd=str(folder), extra_arguments=["--log-level=40"])
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, text):
        reply = self.client.execute_interactive(text, timeout=execution.SECONDS, output_hook=lambda message: None,
                                                allow_stdin=False)["content"]
        return "" if reply["status"] == "ok" else f"{reply['ename']}: {reply['evalue']}"

    def stop(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@pytest.fixture
def kernel(tmp_path):
    kernel = Kernel(tmp_path)
    yield kernel
    kernel.stop()


def lessons():
    """Every lesson; the answers of that on kernels can only be checked where kernels run."""
    missing = available_backends()["cudasim"]
    kernels_run = pytest.mark.skipif(bool(missing), reason=missing)
    return [pytest.param(name, marks=kernels_run if "cuda" in name else []) for name in lesson.lessons()]


@pytest.mark.slow
@pytest.mark.parametrize("name", lessons())
def test_wrong_answers_fail_with_the_right_sentence_and_the_solution_passes(name, kernel):
    cells = lesson.read_cells(TUTORIALS / "source" / f"{name}.py")
    check_of = {cell.name: cell.text for cell in cells if cell.kind == "check"}
    for cell in cells:
        if cell.kind == "exercise":
            for mistake, answer, sentence in bad_answers(name, cell):
                broken = kernel.run(answer)
                said = kernel.run(check_of[cell.name])
                kernel.run(f"globals().pop({cell.name!r}, None)")
                assert sentence in said, f"{cell.name}, {mistake}: the check says {said!r}; the cell itself {broken!r}"
        if cell.kind != "markdown":
            assert kernel.run(cell.text) == "", cell.text


def bad_answers(name, cell):
    """(the mistake, the text of the cell, what the check must say) for the blank, broken and plausibly wrong ones."""
    yield "blank", lesson.blank(cell), f"{cell.name} is still blank" if "def " in cell.text else "is not defined"
    yield "syntax error", cell.text.replace(lesson.BEGIN, "("), f"{cell.name} is not defined"
    for answer in lesson.wrong_answers(name):
        if answer.exercise == cell.name:
            yield answer.mistake, answer.text, answer.says

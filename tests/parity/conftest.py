"""One thread for torch: arrays here are tiny, and its threads waiting for each other take most of the time."""
import pytest


@pytest.fixture(autouse=True, scope="session")
def one_torch_thread():
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

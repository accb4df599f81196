"""A router of one's own, from a file outside the package: made, checked, trained, saved and loaded again."""
from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minimoe import Tensor, gradcheck
from minimoe.moe import MoELayer, Router, make_router
from minimoe.moe.make import router_options
from minimoe.training import Trainer, load_checkpoint

sys.path.append(str(Path(__file__).parents[1] / "training"))
from small import CONFIG, small_task  # noqa: E402

SOURCE = '''
import numpy as np
from minimoe.moe import Router

class Confident(Router):
    """One expert where the router is sure, `most` where it is not; two more where importance is high."""

    measure = "colmax"

    def __init__(self, d_model, n_experts, sure=0.4, most=3, **options):
        super().__init__(d_model, n_experts, **options)
        self.sure, self.most = sure, most
        self.k_range = (1, most)

    def experts_per_token(self, probabilities, importance, mask):
        k = np.where(probabilities.max(axis=1) > self.sure, 1, self.most)
        return np.minimum(k + 2 * (importance.reshape(-1) > 0.9), self.most)
'''


@pytest.fixture
def name(tmp_path):
    return write(tmp_path, SOURCE)


def write(folder, source, class_name="Confident", file="my_router.py"):
    """"path/to/file.py:ClassName" of a file with this source."""
    (folder / file).write_text(source, encoding="utf-8")
    return f"{folder / file}:{class_name}"


def test_the_router_of_these_tests_is_as_short_as_promised():
    assert len(SOURCE.strip().splitlines()) <= 20


# ---- made and checked

def test_it_is_made_from_its_file_with_its_own_options_and_the_inherited_ones(name):
    router = make_router(name, 4, 5, sure=0.3, most=2, gates="renorm", rng=1)
    assert isinstance(router, Router) and type(router).__name__ == "Confident"
    assert (router.sure, router.most, router.options["gates"], router.n_experts) == (0.3, 2, "renorm", 5)
    assert {"sure", "most", "gates", "capacity", "jitter", "rng"} <= router_options(type(router))
    with pytest.raises(ValueError, match="option 'shure' is not one of balance_weight, ban, .*, sure, z_weight"):
        make_router(name, 4, 5, shure=0.3)


def test_its_counts_are_used(name):
    router = make_router(name, 4, 5, sure=0.5, most=3).to(dtype="float64")
    x, importance = np.random.default_rng(0).standard_normal((1, 30, 4)) * 3, np.full((1, 30), 0.5)
    routing = router(Tensor(x), importance)
    sure = routing.probabilities.data.max(axis=1) > 0.5
    assert routing.k.tolist() == np.where(sure, 1, 3).tolist() and 0 < sure.sum() < 30
    assert routing.k_range == (1, 3)


DROPS = dict(gates="renorm", capacity=0.7, renorm_after_drop=True)


@pytest.mark.parametrize("options", [{}, DROPS], ids=["dropless", "capacity"])
def test_the_gradients_of_a_layer_with_it_equal_finite_differences(name, options):
    layer = MoELayer(3, 4, 4, make_router(name, 3, 4, sure=0.45, **options), rng=0)
    random = np.random.default_rng(0)
    x, importance = random.standard_normal((2, 3, 3)), np.array([[.2, .95, .4], [.1, .3, 0.]])
    mask, e = importance > 0, layer.experts
    weights = [random.standard_normal(p.shape) for p in (layer.router.weight, e.w1, e.b1, e.w2, e.b2)]

    def forward(x, router, w1, b1, w2, b2):
        layer.router.weight, e.w1, e.b1, e.w2, e.b2 = router, w1, b1, w2, b2
        y, routing = layer(x, importance, mask)
        return y, routing.aux_loss

    gradcheck(forward, [x, *weights])
    assert set(layer(Tensor(x), importance, mask)[1].k.tolist()) == {0, 1, 3}


def test_a_file_may_hold_dataclasses_and_modern_annotations(tmp_path):
    source = "from __future__ import annotations\nfrom dataclasses import dataclass\n" + SOURCE + (
        "\n@dataclass\nclass Facts:\n    sure: float = 0.4\n")
    assert make_router(write(tmp_path, source), 4, 3).most == 3


def test_two_files_with_the_same_class_name_do_not_mix(tmp_path):
    other = SOURCE.replace("most=3", "most=2")
    names = write(tmp_path, SOURCE, file="a.py"), write(tmp_path, other, file="b.py")
    assert [make_router(n, 4, 3).most for n in (*names, names[0])] == [3, 2, 3]


# ---- trained and saved

@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(the router's name, the finished trainer, the folder with its checkpoint)."""
    folder = tmp_path_factory.mktemp("own")
    name = write(folder, SOURCE)
    config = replace(CONFIG, router=name, router_options={"sure": 0.3, "jitter": 0.1}, max_steps=5,
                     out=str(folder / "out"))
    trainer = Trainer(config, small_task(), progress=False)
    before = trainer.model.state_dict()
    trainer.run()
    after = trainer.model.state_dict()
    assert all(not np.array_equal(before[f"layers.{i}.moe.router.weight"], after[f"layers.{i}.moe.router.weight"])
               for i in range(2))
    return name, trainer, folder / "out"


def test_five_steps_of_training_with_it_end_in_a_checkpoint(trained):
    _, trainer, out = trained
    assert trainer.step == 5 and load_checkpoint(out).state["step"] == 5
    routing = trainer.model(small_task().test.ids[:1]).routings[0]
    assert routing.k_range == (1, 3) and type(trainer.model.layers[0].moe.router).__name__ == "Confident"


def test_loading_without_the_file_says_how_to_name_it(trained):
    with pytest.raises(ValueError, match=r"a router of its own, 'Confident'; .* --router FILE.py:Confident"):
        load_checkpoint(trained[2]).model()


def test_loading_with_the_file_gives_the_same_model(trained, tmp_path):
    _, trainer, out = trained
    moved = write(tmp_path, SOURCE, file="elsewhere.py")
    model = load_checkpoint(out).model(router=moved)
    ids = np.array(small_task().test.ids[0])[None]
    np.testing.assert_array_equal(model(ids).logits.data, trainer.model(ids).logits.data)
    assert model.layers[0].moe.router.sure == 0.3


def test_loading_with_another_class_or_a_built_in_router_is_refused(trained, tmp_path):
    other = write(tmp_path, SOURCE.replace("Confident", "Careful"), "Careful")
    for router in (other, "switch"):
        with pytest.raises(ValueError, match="trained with router 'Confident', not"):
            load_checkpoint(trained[2]).model(router=router)


def test_the_checkpoint_holds_the_class_name_and_no_path(trained):
    name, _, out = trained
    content = (out / "checkpoint.safetensors").read_bytes()
    folder = Path(name.rpartition(":")[0]).parent
    assert b"Confident" in content
    for part in ("my_router.py", folder.name, json.dumps(str(folder))[1:-1]):
        assert part.encode() not in content


def test_a_run_with_it_resumes(trained):
    name, trainer, _ = trained
    again = Trainer(trainer.config, small_task(), progress=False)
    assert again.restore() and again.finished and again.step == 5


def test_nothing_is_imported_from_what_a_checkpoint_records(trained, tmp_path):
    """A checkpoint cannot name code to run: making its model never opens the file that `router` says."""
    trap = write(tmp_path, f"open({str(tmp_path / 'sprung')!r}, 'w').close()\n" + SOURCE, file="trap.py")
    found = load_checkpoint(trained[2])
    tampered = replace(found, config=found.config | {"router": trap})
    with pytest.raises(ValueError, match="trained with a router of its own"):
        tampered.model()
    with pytest.raises(ValueError, match="trained with router"):
        tampered.model(router=write(tmp_path, SOURCE))
    assert not (tmp_path / "sprung").exists()


# ---- broken files

BROKEN = {
    "syntax error": ("class Confident(:\n", "cannot be run: SyntaxError: "),
    "error on import": ("import no_such_module_anywhere\n", "cannot be run: ModuleNotFoundError: No module named"),
    "error at the top": ("1 / 0\n", "cannot be run: ZeroDivisionError: division by zero"),
    "an end of the program": ("import sys\nsys.exit(0)\n", "cannot be run: SystemExit: 0"),
    "not UTF-8": (b"x = '\xff'\n", "cannot be run: "),
    "no such class": ("x = 1\n", "has no class Confident derived from minimoe.moe.Router"),
    "not a router": ("class Confident:\n    pass\n", "has no class Confident derived from minimoe.moe.Router"),
    "not a class": ("Confident = 3\n", "has no class Confident derived from minimoe.moe.Router"),
    "empty": ("", "has no class Confident derived from minimoe.moe.Router"),
}


@pytest.mark.parametrize("content, match", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_named_with_what_is_wrong(tmp_path, content, match):
    file = tmp_path / "my_router.py"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=f"router: .*my_router.py {match}"):
        make_router(f"{file}:Confident", 4, 3)


def test_a_file_that_was_broken_works_once_it_is_mended(tmp_path):
    with pytest.raises(ValueError, match="SyntaxError"):
        make_router(write(tmp_path, "class Confident(:"), 4, 3)
    assert make_router(write(tmp_path, SOURCE), 4, 3).most == 3


@pytest.mark.parametrize("name, match", [
    ("missing.py:Confident", "there is no file missing.py"), (".:Confident", "nor path/to/file.py:ClassName"),
    ("my_router.txt:Confident", "nor path/to/file.py:ClassName"), ("my_router.py", "nor path/to/file.py:ClassName"),
    ("my_router.py:", "my_router.py:' is not one of da, switch"), ("", "'' is not one of da, switch")])
def test_a_name_that_leads_to_no_file_is_refused(name, match, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, SOURCE)
    with pytest.raises(ValueError, match=match):
        make_router(name, 4, 3)


def test_a_router_without_its_method_says_so_when_it_is_used(tmp_path):
    name = write(tmp_path, "from minimoe.moe import Router\n\nclass Confident(Router):\n    pass\n")
    router = make_router(name, 4, 3)
    with pytest.raises(NotImplementedError, match="Confident must implement experts_per_token"):
        router(Tensor(np.ones((2, 4), np.float32)))


@pytest.mark.parametrize("method, sentence", [
    ("def experts_per_token(self, probabilities, importance, mask):\n        probabilities.sum()",
     r"Confident.experts_per_token gave None; end it with return"),
    ("def logits(self, x):\n        return x.data", r"Confident.logits gave a ndarray \(2, 4\); it must give a"),
    ("def logits(self, x):\n        return x[:, :2]", r"Confident.logits gave a Tensor \(2, 2\)"),
    ("def logits(self, x):\n        pass", r"Confident.logits gave a NoneType ; it must")])
def test_a_method_that_answers_with_something_else_is_named(tmp_path, method, sentence):
    text = f"from minimoe.moe import SwitchRouter\n\nclass Confident(SwitchRouter):\n    {method}\n"
    router = make_router(write(tmp_path, text), 4, 3)
    with pytest.raises(ValueError, match=sentence):
        router(Tensor(np.ones((2, 4), np.float32)))


def test_a_router_that_is_given_no_rng_starts_from_seed_0():
    same, other = make_router("da", 4, 5, rng=0), make_router("da", 4, 5, rng=1)
    weight = make_router("da", 4, 5).weight.data
    assert np.array_equal(weight, same.weight.data) and not np.array_equal(weight, other.weight.data)


def test_a_class_that_passes_nothing_on_has_its_own_options_alone(tmp_path):
    source = SOURCE.replace(", **options):", ", *, rng=0):").replace("**options)", "rng=rng)")
    with pytest.raises(ValueError, match="option 'gates' is not one of most, sure$"):
        make_router(write(tmp_path, source), 4, 3, gates="renorm")
    assert make_router(write(tmp_path, source), 4, 3, most=2).most == 2

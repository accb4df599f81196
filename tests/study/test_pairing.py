"""A fair comparison: the rows of one seed see the same data in the same order and start from the same dense weights."""
import numpy as np
import pytest
from grids import TINY

from minimoe.study.grid import grid_cells
from minimoe.training import Trainer
from minimoe.training.task import prepare_task

ROWS = {"da": {}, "switch": {"router": "switch"}, "wide": {"d_ff": 12}, "many": {"experts": 6},
        "shuffled": {"importance": "shuffled(rowmax)", "allocation": "budget", "mean_experts": 2},
        "jitter": {"router": "topk", "router_options": {"k": 2, "jitter": 0.1}},
        "dense": {"experts": 0, "d_ff": 8}, "dense_wide": {"experts": 0, "d_ff": 20}}
OWN = (".moe.", ".feedforward.")                    # what rows may differ in


@pytest.fixture(scope="module")
def trainers():
    common = TINY | {"max_steps": 3, "dropout": 0.1}
    cells = grid_cells({"seeds": [0, 1], "tasks": ["sentiment"], "common": common, "rows": ROWS})
    task = prepare_task(cells[0].config)
    return {(cell.row, cell.seed): Trainer(cell.config, task, progress=False) for cell in cells}


def dense_weights(trainer):
    return {name: p.data for name, p in trainer.model.named_parameters() if not any(own in name for own in OWN)}


@pytest.mark.parametrize("row", ROWS)
def test_the_rows_of_a_seed_start_from_the_same_dense_weights(trainers, row):
    mine, first = dense_weights(trainers[row, 0]), dense_weights(trainers["da", 0])
    assert mine.keys() == first.keys() and len(mine) == 3 + 2 * 8 + 2 + 2     # embeddings, layers, final norm, head
    for name in mine:
        assert np.array_equal(mine[name], first[name]), name


def test_another_seed_starts_from_other_weights(trainers):
    a, b = (dense_weights(trainers["da", seed])["head.weight"] for seed in (0, 1))
    assert not np.array_equal(a, b)


@pytest.mark.parametrize("row", ["switch", "shuffled", "jitter"])
def test_rows_with_experts_of_the_same_shape_start_from_the_same_experts(trainers, row):
    for name in ("w1", "w2"):
        a, b = (getattr(trainers[r, 0].model.layers[1].moe.experts, name).data for r in (row, "da"))
        assert np.array_equal(a, b)


def test_the_layers_of_a_dense_model_do_not_start_equal(trainers):
    a, b = (layer.feedforward.linear1.weight.data for layer in trainers["dense", 0].model.layers)
    assert not np.array_equal(a, b)


@pytest.mark.parametrize("row", ROWS)
def test_the_rows_of_a_seed_see_the_same_batches_and_drop_the_same_units(row):
    """Compared after three steps, when every generator has been drawn from."""
    common = TINY | {"max_steps": 3, "dropout": 0.1}
    states = []
    for name in ("da", row):
        [cell] = grid_cells({"tasks": ["sentiment"], "common": common, "rows": {name: ROWS[name]}})
        trainer = Trainer(cell.config, progress=False)
        trainer.validate = lambda: 0.0
        seen, inputs = [], trainer.inputs
        trainer.inputs = lambda item, seen=seen, inputs=inputs: (seen.append(inputs(item).ids), inputs(item))[1]
        trainer.run()
        states.append((seen, trainer.model.dropout.rng.bit_generator.state))
    (a, drops), (b, other_drops) = states
    assert len(a) == 3 and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert drops == other_drops

"""How long cells will take, from a few steps of each kind."""
from __future__ import annotations

import time
from dataclasses import replace

from minimoe.backend import blas_threads
from minimoe.study.grid import Cell
from minimoe.training import Pretrainer, Trainer
from minimoe.training.pretrainer import prepare_corpus
from minimoe.training.task import prepare_task

STEPS = 4                                           # that are measured
DATA_KEYS = ("task", "data_dir", "text", "held_out", "tokenizer", "vocab_size", "max_length", "init_from")
PROCESS = 1.0                                       # seconds to start one and load the library
EVALUATION_SHARE = 1 / 3                            # a forward pass alone, of a step's time per token


def estimate_seconds(cells: list[Cell]) -> dict[str, float]:
    """Name of every cell -> seconds. Of each (task, row) the first cell is measured, with its data read once for all
    rows that share it; the others are taken to be like it.

    The steps are the first of an untrained model, so a router that hands out more experts later takes longer.
    """
    prepared: dict[tuple, tuple] = {}
    found: dict[tuple[str, str], float] = {}
    for cell in cells:
        if (cell.task, cell.row) not in found:
            with blas_threads(cell.config.threads):
                found[cell.task, cell.row] = _measure(cell, prepared)
    return {cell.name: found[cell.task, cell.row] for cell in cells}


def _measure(cell: Cell, prepared: dict) -> float:
    key = tuple(getattr(cell.config, name, None) for name in DATA_KEYS)
    if key not in prepared:
        began = time.perf_counter()
        data = prepare_task(cell.config) if cell.kind == "train" else prepare_corpus(cell.config)
        prepared[key] = data, time.perf_counter() - began
    data, preparation = prepared[key]
    config = replace(cell.config, out=None)
    if cell.kind == "train":
        trainer = Trainer(config, data, progress=False)
        checked = sum(map(len, data.validation.ids))
        last = sum(len(ids) for split in (data.test, data.second_test) if split is not None for ids in split.ids)
    else:
        trainer = Pretrainer(config, progress=False, corpus=data)
        checked = last = data.held_out[0].size
    steps = trainer.total_steps
    trainer.total_steps = min(steps, STEPS)
    trainer.validate = lambda: 0.0                  # what it costs is reckoned below
    trainer.run()
    epochs = -(-steps // trainer.steps_per_epoch)
    evaluation = EVALUATION_SHARE * trainer.seconds / trainer.tokens * (epochs * checked + last)
    return PROCESS + preparation + steps * trainer.seconds / trainer.step + evaluation

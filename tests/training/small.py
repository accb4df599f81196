"""A task small enough to train on in a test, and a run of it that dies."""
from dataclasses import replace
from functools import cache

import pytest

from minimoe.data import WordTokenizer, encode_dataset, load_builtin
from minimoe.training import TrainConfig, Trainer
from minimoe.training.task import Task

CONFIG = TrainConfig(d_model=16, heads=2, d_ff=8, experts=4, epochs=3, batch_size=16, max_length=32, vocab_size=300,
                     router_options={"jitter": 0.1}, save_every=4).resolved()


@cache
def small_task(n_train=100, n_test=40) -> Task:
    whole, test = load_builtin("sentiment", "train"), load_builtin("sentiment", "test")
    parts = [replace(whole, examples=whole.examples[:n_train]),
             replace(whole, examples=whole.examples[n_train:n_train + 30]),
             replace(test, examples=test.examples[:n_test])]
    tokenizer = WordTokenizer.train(parts[0].texts(), 300)
    return Task(whole.name, whole.n_classes, whole.metrics, whole.label_names, tokenizer,
                *(encode_dataset(part, tokenizer, 32) for part in parts), parts[2])


class Killed(BaseException):
    """Stands for the end of the process: nothing of the trainer runs after it."""


def train_until(config, task, step):
    """A trainer that dies right after `step` steps, without another save."""
    trainer = Trainer(config, task, progress=False)
    one_step = trainer._step

    def dying(item, bar):
        if trainer.step == step:
            raise Killed
        one_step(item, bar)

    trainer._step = dying
    with pytest.raises(Killed):
        trainer.run()

"""Trains a classifier on a task and reports what it learnt and what it cost."""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minimoe.backend import blas_threads
from minimoe.data.batching import batch_order, make_batch
from minimoe.data.dataset import Example
from minimoe.models import SequenceClassifier
from minimoe.training.config import TrainConfig
from minimoe.training.evaluate import Evaluation, evaluate
from minimoe.training.loop import Loop
from minimoe.training.metrics import score
from minimoe.training.parts import Inputs
from minimoe.training.task import Task, prepare_task, start_from


class Trainer(Loop):
    """`Trainer(TrainConfig(task="sentiment")).train()` -> the figures that `minimoe train --json` writes.

    `task`: a prepared task, to share data between runs. After `train()`, `model` holds the best epoch's weights and
    `evaluation` the test split's evaluation.
    """

    def __init__(self, config: TrainConfig, task: Task | None = None, progress: bool = True):
        config, start = start_from(config) if config.init_from else (config.resolved(), None)
        self.task = task or prepare_task(config)
        shape = config.model_config(self.task.tokenizer.vocab_size, self.task.n_classes)
        model = SequenceClassifier(shape, config.seed)
        if start is not None:
            start.fill(model)
        self.lengths = [len(ids) for ids in self.task.train.ids]
        batches = -(-len(self.lengths) // config.batch_size)
        super().__init__(config, model, self.task.tokenizer, self.task.facts(), batches, progress)
        self.evaluation: Evaluation | None = None
        self.second: dict[str, float] = {}          # metrics of MNLI's mismatched split

    def train(self) -> dict:
        """Trains, evaluates on the test split (the development split of GLUE) and returns the figures.

        Call `restore()` before to go on from the checkpoint in config.out.
        """
        with blas_threads(self.config.threads):
            self.run()
            self.evaluation = evaluate(self.model, self.task.test, self.task.metrics)
            if self.task.second_test is not None:
                self.second = evaluate(self.model, self.task.second_test, self.task.metrics).metrics
        return self.figures()

    def epoch_batches(self) -> list:
        return batch_order(self.lengths, self.config.batch_size, self.order)

    def inputs(self, item) -> Inputs:
        batch = make_batch(self.task.train, item, self.model.config.pad_id)
        return Inputs(batch.ids, batch.labels, batch.mask, batch.segments)

    def loss_of(self, model, inputs: Inputs) -> tuple:
        output = model(inputs.ids, inputs.mask, inputs.segments)
        return model.task_loss(output, inputs.labels, self.config.label_smoothing), output

    def data(self) -> Iterator[np.ndarray]:
        for part in (self.task.train, self.task.validation):
            yield from (np.concatenate(part.ids), part.labels)

    def validate(self) -> float:
        return evaluate(self.model, self.task.validation, self.task.metrics).score

    def examples(self) -> list[tuple[str, Example]]:
        """(label's name, first test example that the model gets right) for every class; two examples for regression."""
        data, names = self.task.test_data.examples, self.task.label_names
        if self.task.n_classes == 1:
            return [(names[0], example) for example in data[:2]]
        found = {}
        for example, prediction in zip(data, self.evaluation.predictions.tolist(), strict=True):
            if example.label == prediction:
                found.setdefault(prediction, example)
        return [(names[label], found[label]) for label in sorted(found)]

    def figures(self) -> dict:
        """Plain numbers of the finished run."""
        e = self.evaluation
        metrics = e.metrics | {f"{name}_mismatched": value for name, value in self.second.items()}
        return {
            "task": self.task.name, "router": self.config.router if self.config.experts else "dense",
            "metric": "+".join(self.task.metrics),
            "score": score(metrics), "metrics": metrics, "mean_experts_per_token": e.mean_experts_per_token,
            "k_histogram": [sum(column) for column in zip(*(s["k_hist"] for s in e.layer_stats), strict=True)],
            "expert_load": [sum(column) for column in zip(*(s["expert_load"] for s in e.layer_stats), strict=True)],
            "layers": e.layer_stats,
            "deciding": {measure: {"deciding": a, "others": b} for measure, (a, b) in e.deciding.items()},
            "flops_per_token": self.model.config.flops_per_token(e.mean_experts_per_token, e.mean_length),
            "parameters": sum(p.size for p in self.model.parameters()), "steps": self.step,
            "tokens_per_second": self.tokens_per_second(), "seconds": self.seconds, "seed": self.config.seed,
            "validation_score": self.best_score, "backend": self.config.backend,
        }

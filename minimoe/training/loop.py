"""The training loop: batches, steps, validation, checkpoints, and going on bit for bit after a stop."""
from __future__ import annotations

import math
import signal
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path

import numpy as np
from tqdm import tqdm

from minimoe.backend import array_module, blas_threads
from minimoe.files import alone_in, remove_leftovers
from minimoe.optim import AdamW, WarmupLinear, clip_grad_norm_
from minimoe.training.checkpoint import FILE, load_checkpoint, save_checkpoint, saying_what_is_kept
from minimoe.training.config import RunConfig
from minimoe.training.heap import keep_freed_memory
from minimoe.training.log import Log
from minimoe.training.parts import Inputs, Parts, can_split
from minimoe.training.resume import COUNTERS, OtherRun, check_moment, check_same_run, data_sum

LARGE = 2**18       # elements of a batch's hidden rows: below, keeping memory gained nothing
LOG_EVERY = 10      # steps between lines of metrics.jsonl and updates of the progress bar


class Loop(ABC):
    """Trains `model` for a resolved `config`. Subclasses know the data, the loss and the score.

    Every random choice comes from a generator of its own (data order here, dropout and routing noise in the model),
    whose states the checkpoint carries.
    """

    def __init__(self, config: RunConfig, model, tokenizer, facts: dict, batch_counts: int, progress: bool = True):
        self.config, self.tokenizer, self.facts = config, tokenizer, facts
        self.model = model.to(backend=config.backend)
        self.parameters = list(model.parameters())
        self.progress = progress
        self.log = Log(config.out)
        self.order = np.random.default_rng([config.seed, 1])            # the model's seed is config.seed itself
        self.steps_per_epoch = batch_counts
        self.total_steps = min(config.max_steps or math.inf, config.epochs * batch_counts)
        self.optimiser = AdamW(parameter_groups(model, config.weight_decay), lr=config.lr)
        self.schedule = WarmupLinear(self.optimiser, math.ceil(config.warmup * self.total_steps), self.total_steps)
        self.step = self.epoch = self.batch = self.tokens = 0           # batch: done in this epoch
        self.seconds = 0.0                                              # of training, validation left out
        self.best: dict[str, np.ndarray] = {}
        self.best_score: float | None = None
        self.order_state = self.order.bit_generator.state               # as it was when this epoch began
        self.finished = False
        self.stopping = False
        self.parts: Parts | None = None             # while it runs on threads

    @abstractmethod
    def epoch_batches(self) -> list:
        """What `inputs` takes, once for every step of the next epoch; draws from `self.order`."""

    @abstractmethod
    def inputs(self, item) -> Inputs:
        """The batch of one step."""

    @abstractmethod
    def loss_of(self, model, inputs: Inputs) -> tuple:
        """(mean loss over the targets without the auxiliary losses, Output)."""

    @abstractmethod
    def validate(self) -> float:
        """A score on held-out data, larger is better."""

    @abstractmethod
    def data(self) -> Iterable[np.ndarray]:
        """What is trained and validated on; a checkpoint keeps its sum."""

    @cached_property
    def data_sum(self) -> int:
        return data_sum(self.data())

    def restore(self) -> bool:
        """Takes over the checkpoint in config.out; False when there is none yet. Raises ValueError when that run had
        other options or data, and when the run cannot go on from what it holds."""
        if not (Path(self.config.out) / FILE).is_file():
            return False
        checkpoint = load_checkpoint(self.config.out)
        try:
            check_same_run(self, checkpoint)
            check_moment(self, checkpoint)
            self._take_over(checkpoint)
        except OtherRun:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
            raise ValueError(f"{checkpoint.path}: its training state cannot be used ({type(error).__name__}: {error}); "
                             "start afresh with another --out") from error
        if not self.finished:
            self.log.cut(self.step, self.epoch)
        return True

    def check_folder(self) -> None:
        """Raises ValueError when a run that starts now would meet another one in config.out."""
        if self.config.out and not self.step and not self.finished:
            file = Path(self.config.out) / FILE
            if file.is_dir():
                raise ValueError(f"{file} is a folder, and the checkpoint goes there; remove it or give another --out")
            if file.exists():
                raise ValueError(f"{self.config.out} holds a run already; go on with --resume (in Python: restore()) "
                                 "or give another --out")

    def run(self) -> None:
        """Trains to the end and leaves the best epoch's weights in the model. Ctrl-C saves a checkpoint (when
        config.out is set) and raises KeyboardInterrupt."""
        if self.finished:
            return
        self.check_folder()
        if not self.config.out:
            self._train()
            return
        Path(self.config.out).mkdir(parents=True, exist_ok=True)
        with alone_in(self.config.out):
            if not self.step:                       # also shows an unusable folder before the work
                self.log.path.write_text("", encoding="utf-8")
            for path in (Path(self.config.out) / FILE, self.log.path):
                remove_leftovers(path)
            with saying_what_is_kept(self.config.out):
                self._train()
                self.save()

    def _train(self) -> None:
        self.model.train()
        if self.config.batch_size * self.config.max_length * self.config.d_ff >= LARGE:
            keep_freed_memory()
        self.parts = self._make_parts()
        with blas_threads(self.config.threads), self._polite_interrupt(), self._bar() as bar:
            while self.step < self.total_steps or self.batch:       # or: the last epoch is not validated yet
                self._epoch(bar)
        self.model.load_state_dict(self.best)
        self.model.eval()
        self.finished = True

    def _epoch(self, bar) -> None:
        self.order_state = self.order.bit_generator.state
        items = self.epoch_batches()
        with blas_threads(1) if self.parts else nullcontext():
            for item in items[self.batch:]:
                if self.step == self.total_steps:
                    break
                self._step(item, bar)
                if self.config.out and self.step % self.config.save_every == 0 or self.stopping:
                    self._save_or_stop()
        score = self.validate()
        if self.best_score is None or score > self.best_score:
            self.best_score, self.best = score, self.model.state_dict()
        self.epoch += 1
        self.batch = 0
        self.order_state = self.order.bit_generator.state
        self.log.add({"epoch": self.epoch, "step": self.step, "validation_score": score})
        bar.set_postfix_str(f"epoch {self.epoch}, score {score:.3f}", refresh=False)
        if self.config.out or self.stopping:
            self._save_or_stop()

    def _step(self, item, bar) -> None:
        began = time.perf_counter()
        loss, tokens, experts = self._gradients(self.inputs(item))
        norm = clip_grad_norm_(self.parameters, self.config.clip)
        if not math.isfinite(norm):
            names = [name for name, p in self.model.named_parameters() if p.grad is not None
                     and not array_module(p.grad).isfinite(p.grad).all()]       # backward meets the last one first
            raise FloatingPointError(f"step {self.step + 1}: the gradient is not finite (loss {float(loss):g}, first "
                                     f"in {names[-1] if names else 'its norm'}); lower --lr. Nothing was updated")
        rate = self.optimiser.lr
        self.optimiser.step(self.parts.pool.map if self.parts else map)
        self.optimiser.zero_grad()
        self.schedule.step()
        self.seconds += time.perf_counter() - began
        self.step += 1
        self.batch += 1
        self.tokens += tokens
        bar.update()
        if self.step % LOG_EVERY == 0 or self.step == self.total_steps:
            value = float(loss)
            self.log.add({"step": self.step, "loss": value, "lr": rate, "gradient_norm": norm,
                          "mean_experts_per_token": experts})
            score = "" if self.best_score is None else f"score {self.best_score:.3f}, "
            bar.set_postfix_str(f"loss {value:.3f}, {score}{experts:.2f} experts/token, "
                                f"{self.tokens_per_second():,.0f} tokens/s", refresh=False)

    def _make_parts(self) -> Parts | None:
        """Threads that share a batch, where more than one is wanted and a batch can be split."""
        threads = self.config.threads or 1
        if threads == 1 or self.config.backend != "numpy" or not can_split(self.model):
            return None
        return Parts(self.model, self.loss_of, threads)

    def _gradients(self, inputs: Inputs) -> tuple:
        """Leaves the gradients in the parameters: (loss, real tokens, mean experts per token)."""
        if self.parts:
            loss, routings = self.parts.gradients(inputs)
        else:
            task_loss, output = self.loss_of(self.model, inputs)
            loss, routings = task_loss + output.aux_loss, output.routings
            loss.backward()
        tokens = inputs.tokens
        kept = sum(routing.plan.perm.size for routing in routings)
        layers = len(self.model.expert_layers())
        return loss, tokens, kept / (tokens * layers) if layers else 1.0

    def tokens_per_second(self) -> float | None:
        """None for a finished run that was read back: its file does not keep the time."""
        return self.tokens / self.seconds if self.seconds else None

    # state
    def save(self) -> None:
        """Writes the checkpoint: everything that is needed to go on, or the best weights alone when finished."""
        state = {name: getattr(self, name) for name in COUNTERS}
        state |= {"config": self.config.kept(), "data": self.data_sum}
        if self.finished:
            state["seconds"] = None                 # so that the same run gives the same file
            save_checkpoint(self.config.out, self.model, tokenizer=self.tokenizer, task=self.facts, state=state)
            return
        state["generators"] = {name: g.bit_generator.state for name, g in self.model.named_generators()}
        state["order"] = self.order_state
        state["schedule"] = self.schedule.state_dict()
        save_checkpoint(self.config.out, self.model, tokenizer=self.tokenizer, task=self.facts,
                        optimiser=self.optimiser, best=self.best, state=state)

    def _take_over(self, checkpoint) -> None:
        state = checkpoint.state
        self.model.load_state_dict(checkpoint.weights)
        for name in COUNTERS:
            setattr(self, name, state[name])
        if self.finished:
            self.model.eval()
            return
        self.optimiser.load_state_dict(checkpoint.optimiser)
        self.schedule.load_state_dict(state["schedule"])
        self.best = checkpoint.best
        self.order.bit_generator.state = self.order_state = state["order"]
        for name, generator in self.model.named_generators():
            generator.bit_generator.state = state["generators"][name]

    # interruption
    def _save_or_stop(self) -> None:
        if self.config.out:
            self.save()
        if self.stopping:
            kept = f"step {self.step} is saved in {self.config.out}, go on with --resume" if self.config.out else ""
            raise KeyboardInterrupt(kept or "nothing is kept without --out")

    @contextmanager
    def _polite_interrupt(self):
        """The first Ctrl-C waits for the end of the step, so that a checkpoint is whole; the second does not."""
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN         # by whoever started this: leave it so
        if ignored or threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number, frame):
            if self.stopping:
                raise KeyboardInterrupt
            self.stopping = True

        before = signal.signal(signal.SIGINT, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _bar(self):
        return tqdm(total=self.total_steps, initial=self.step, desc=f"{self.facts['name']} {self.config.router}",
                    unit="step", disable=not self.progress, dynamic_ncols=True,
                    mininterval=0.1 if _is_watched() else 10)               # a log file needs no moving bar


def _is_watched() -> bool:
    """Whether somebody may be looking at the bar: a terminal or a notebook."""
    return "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())


def parameter_groups(model, weight_decay: float) -> list[dict]:
    """Weight matrices decay; biases, norms and embeddings do not (the usual recipe, assumed)."""
    decayed, free = [], []
    for name, parameter in model.named_parameters():
        plain = name.rpartition(".")[2] in ("b1", "b2") or parameter.ndim < 2 or "embedding" in name
        (free if plain else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]

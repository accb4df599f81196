"""Training: `train` and `pretrain`."""
from __future__ import annotations

from minimoe.backend import get_backend
from minimoe.files import write_json
from minimoe.moe.health import describe_layers
from minimoe.study.reading import read_sentence
from minimoe.study.summary import compare_rows, deciding_lines, k_ranges, routed_sentence, table
from minimoe.training import PretrainConfig, Pretrainer, TrainConfig, Trainer
from minimoe.training.loop import Loop
from minimoe.training.task import check_model, prepare_task


def train(quiet=False, resume=False, baseline=None, json=None, router_options=None, **keys) -> int:
    """Trains, then prints a table, the state of the routing and one sentence per class."""
    if router_options is not None:
        keys["router_options"] = dict(router_options)
    config = TrainConfig.from_dict(keys)
    get_backend(config.backend)
    if resume and not config.out:
        raise ValueError("--resume needs --out, the folder with the checkpoint")
    runs = [config]
    if config.builtin if baseline is None else baseline:
        runs.append(config.baseline())
    for run in runs:
        check_model(run)
    task = prepare_task(config)
    trainers = [Trainer(run, task, progress=not quiet) for run in runs]
    if resume and all([_resume(trainer) and trainer.finished for trainer in trainers]):
        return 0
    for trainer in trainers:                        # before the first has been trained
        trainer.check_folder()
    results = [trainer.train() for trainer in trainers]

    da = trainers[0]
    print(f"\n{task.name}: {da.task.test_data.split} split, {len(da.task.test_data)} examples\n")
    print(table(compare_rows(results)), end="\n\n")
    for line in describe_layers(da.evaluation.layer_stats, k_ranges(da.model)) + deciding_lines(results[0]):
        print(line)
    if da.model.config.n_experts:
        for label, example in da.examples():
            reading = read_sentence(da.model, task.tokenizer, example.text, example.pair)
            print(f"\n{label}:\n{routed_sentence(reading)}")
    if config.out:
        print(f"\ncheckpoint: {config.out}")
    if json:
        write_json(json, results[0] | ({"baseline": results[1]} if len(results) > 1 else {}))
    return 0


def pretrain(quiet=False, resume=False, json=None, router_options=None, **keys) -> int:
    """Trains a masked language model and prints its perplexity on held-out text beside the unigram's."""
    if router_options is not None:
        keys["router_options"] = dict(router_options)
    config = PretrainConfig.from_dict(keys)
    get_backend(config.backend)
    if not config.out:
        raise ValueError("pretrain needs --out, the folder for the checkpoint")
    check_model(config)
    trainer = Pretrainer(config, progress=not quiet)
    if resume and _resume(trainer) and trainer.finished:
        return 0
    figures = trainer.train()
    found = figures["metrics"]
    print(f"held-out masked perplexity {found['perplexity']:.1f}, unigram {found['unigram_perplexity']:.1f}, ratio "
          f"{found['ratio']:.3f}; {figures['mean_experts_per_token']:.2f} experts per token, "
          f"{figures['tokens']:,} tokens at {figures['tokens_per_second']:,.0f} a second")
    for line in describe_layers(figures["layers"], k_ranges(trainer.model)):
        print(line)
    print(f"checkpoint: {config.out}")
    if json:
        write_json(json, figures)
    return 0


def _resume(trainer: Loop) -> bool:
    """Whether there was something to resume."""
    found = trainer.restore()
    if found:
        done = ": finished, nothing to do" if trainer.finished else ""
        print(f"resuming at step {trainer.step}{done} ({trainer.config.out})")
    return found

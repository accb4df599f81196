"""Training runs: configuration, loop, checkpoints, metrics."""
from minimoe.training import metrics
from minimoe.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from minimoe.training.config import PretrainConfig, TrainConfig
from minimoe.training.evaluate import Evaluation, evaluate
from minimoe.training.pretrainer import Pretrainer
from minimoe.training.trainer import Trainer

__all__ = ["Checkpoint", "Evaluation", "PretrainConfig", "Pretrainer", "TrainConfig", "Trainer", "evaluate",
           "load_checkpoint", "metrics", "save_checkpoint"]

"""Encoders and their heads."""
from minimoe.models.classifier import SequenceClassifier
from minimoe.models.config import EncoderConfig
from minimoe.models.encoder import Encoder, EncoderLayer, Output
from minimoe.models.language_model import MaskedLanguageModel

__all__ = ["Encoder", "EncoderConfig", "EncoderLayer", "MaskedLanguageModel", "Output", "SequenceClassifier"]

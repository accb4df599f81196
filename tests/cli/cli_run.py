"""Running the command line in a test."""
from minimoe.cli import main

SMALL = ["--d-model", "16", "--heads", "2", "--d-ff", "8", "--experts", "4", "--batch-size", "16", "--max-length", "32",
         "--vocab-size", "300", "--epochs", "1", "--quiet"]


def run(capsys, *argv):
    status = main([str(a) for a in argv])
    captured = capsys.readouterr()
    return status, captured.out, captured.err

from contextlib import contextmanager
from minimoe.cudasim.module import config

@contextmanager
def settings(check=None, schedule=None):
    old = config.mode, config.seed
    if check is not None: config.mode = "check" if check else "fast"
    if schedule is not None: config.seed = {"forward": 0, "reversed": 1}.get(schedule, schedule if isinstance(schedule, str) else int(schedule) + 2)
    try: yield
    finally: config.mode, config.seed = old

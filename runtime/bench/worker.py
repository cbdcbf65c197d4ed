"""The process of one job: `python -m pumice.runtime.bench.worker FOLDER`, with the job in FOLDER/job."""

from __future__ import annotations

import json
import os
import pickle
import sys
import traceback
from pathlib import Path

from pumice.errors import PumiceError
from pumice.files import write_atomically
from pumice.runtime.bench.jobs import Job, run_job


def main(folder: Path) -> int:
    """Writes FOLDER/result, or FOLDER/failure: message and hint, or of our own mistakes a traceback."""
    job, cpus = pickle.loads((folder / "job").read_bytes())  # written by this process's parent
    assert isinstance(job, Job)
    if cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)
    try:
        found = run_job(job)
    except PumiceError as error:
        write_atomically(folder / "failure", json.dumps([str(error), error.hint]).encode())
        return 1
    except Exception as error:
        traceback.print_exc()
        write_atomically(folder / "failure", json.dumps([f"{type(error).__name__}: {error}", ""]).encode())
        return 1
    write_atomically(folder / "result", json.dumps(found).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

"""A real shortage of memory in a separate process: `python -m tests.memory_limit FOLDER` prints the outcome as JSON.

After a small fit the process may take `ALLOWED` bytes more than it holds. It then trains with batches that need many
times as much, and then, with the limit renewed, repeats the small fit with another seed. The limit is renewed because
addresses that an allocator holds after freeing memory count too, and depend on the number of threads.
"""

import json
import resource
import sys
from pathlib import Path

import psutil
import torch

from core import experiments  # noqa: F401  (registers every spec kind)
from core.engine.job_queue import Job, JobQueue
from core.engine.store import Store
from core.engine.worker import Worker
from core.experiments import FineTune, Load, import_files, split_table
from core.models.backbones import Untrained
from core.models.devices import best_device
from tests.queue_specs import wait_until_ended

ALLOWED = 1 << 30
LARGE = 1024


def limit_memory() -> None:
    """Limit this process to what it holds now and `ALLOWED` bytes more."""
    if best_device().type == "cuda":
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + ALLOWED) / total)
    else:
        limit = psutil.Process().memory_info().data + ALLOWED
        resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def measure_memory() -> int:
    """Bytes that this process holds on the training device."""
    if best_device().type == "cuda":
        return torch.cuda.memory_reserved()
    return psutil.Process().memory_info().rss


def build_fit(table: Path, batch_size: int, seed: int, store: Store) -> FineTune:
    train, valid, test = split_table(Load(f"file:{table}"), seed=0, train=None, valid=12, test=12)
    backbone = Untrained("molsway-mini")
    spec = FineTune(train, valid, test, backbone=backbone, steps=4, evaluations=2, batch_size=batch_size, seed=seed)
    return import_files(spec, store.files)


def main(folder: Path) -> dict:
    table = folder / "chains.csv"
    chains = ["C" * n + "1" + "C" * m + "1" + end for n in range(1, 41) for m in range(2, 12) for end in "ONF"]
    table.write_text("smiles,size\n" + "".join(f"{smiles},{len(smiles)}\n" for smiles in chains))
    queue, store = JobQueue(folder / "cache"), Store(folder / "cache")
    worker = Worker(queue, store, "core.experiments").start()

    def run(batch_size: int, seed: int) -> Job:
        spec = build_fit(table, batch_size, seed, store)
        queue.submit(spec)
        return wait_until_ended(queue, spec)

    first = run(8, 0)
    before = measure_memory()
    limit_memory()
    large = run(LARGE, 0)
    worker.stop()  # after the memory of the job is released
    after = measure_memory()
    limit_memory()
    worker = Worker(queue, store, "core.experiments").start()
    last = run(8, 1)
    worker.stop()
    return {
        "device": best_device().type,
        "states": [first.state, large.state, last.state],
        "error": large.error,
        "last": last.error,
        "traceback": large.traceback,
        "grown": after - before,
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))

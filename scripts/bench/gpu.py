"""Measures the GPU executor on the card at hand and writes tables that name it.

``python scripts/bench/gpu.py PART... --out FOLDER`` runs parts of: ``smoke`` (does it work here, in which tier),
``references`` (every reference program at every dtype), ``fidelity`` (our time against do_bench and CUDA events),
``throughput`` (against a fresh process per program), ``hostile``, ``workloads`` (CPU against GPU), ``scaling``
(several cards), ``copies`` (with fewer queues for them), ``energy`` (against a plain loop). Each part prints a
table and writes ``<part>.md`` and ``<part>.json``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from pathlib import Path
from types import ModuleType

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

PARTS = ("smoke", "references", "fidelity", "throughput", "hostile", "workloads", "scaling", "copies", "energy")


def main() -> int:
    """Run the parts that were asked for; the exit status is the number of parts that failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--out", type=Path, default=Path("scripts/bench/results"))
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--only", nargs="*", default=None, help="problem names")
    parser.add_argument("--dtypes", nargs="*", default=None)
    parser.add_argument("--dialects", nargs="*", default=None)
    parser.add_argument("--memory-cap-gb", type=float, default=None, help="card memory to enforce, in GB (1e9)")
    parser.add_argument("--cards", type=int, nargs="*", default=None, help="numbers of cards, for scaling")
    parser.add_argument("--energy", action="store_true", help="for scaling: measure it too, as sweeps do")
    parser.add_argument("--first-card", type=int, default=0, help="index of the first card to use")
    parser.add_argument("--shard", default=None, help="I/N: only every N-th problem or program, from the I-th")
    parser.add_argument("--spares", type=int, nargs="*", default=[2, 1, 4], help="for throughput")
    parser.add_argument("--fresh", type=int, default=6, help="fresh processes, for throughput")
    parser.add_argument("--programs", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=None, help="stop a part after about so long")
    parser.add_argument("--merge", action="store_true", help="make one table of the shards in the folder")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    failed = 0
    for part in options.parts:
        began = time.monotonic()
        module = importlib.import_module(f"scripts.bench.gpu_parts.{part}")
        if options.merge:
            merge(module, part, options)
            continue
        table, numbers = module.measure(options)
        suffix = f"_{options.memory_cap_gb:g}gb" if options.memory_cap_gb else ""
        suffix += f"_{options.shard.replace('/', 'of')}" if options.shard else ""
        (options.out / f"gpu_{part}{suffix}.md").write_text(table + "\n", encoding="utf-8")
        record = json.dumps(numbers, indent=1) + "\n"
        (options.out / f"gpu_{part}{suffix}.json").write_text(record, encoding="utf-8")
        print(table)
        print(f"[{part}: {time.monotonic() - began:.1f} s]", flush=True)
        failed += not numbers.get("ok", True)
    return failed


def merge(module: ModuleType, part: str, options: argparse.Namespace) -> None:
    """Write one table, and one list of numbers, from the shards of a part that stand in the folder."""
    cap = f"_{options.memory_cap_gb:g}gb" if options.memory_cap_gb else ""
    files = sorted(options.out.glob(f"gpu_{part}{cap}_*of*.json"))
    shards = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    (options.out / f"gpu_{part}{cap}.md").write_text(module.render(shards) + "\n", encoding="utf-8")
    (options.out / f"gpu_{part}{cap}.json").write_text(json.dumps(shards, indent=1) + "\n", encoding="utf-8")
    for file in files:
        file.unlink()
        file.with_suffix(".md").unlink()


if __name__ == "__main__":
    sys.exit(main())

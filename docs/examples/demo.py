# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What `make demo` shows: a small model quantized to 6 bits, compiled and simulated.

python docs/examples/demo.py FOLDER
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent


def run(*arguments: str) -> None:
    """Show a command, and run it."""
    sys.stdout.write(f"\n$ edgeinfer {' '.join(arguments)}\n")
    sys.stdout.flush()
    done = subprocess.run([sys.executable, "-m", "edgeinfer", *arguments])
    if done.returncode:
        sys.exit(done.returncode)


def main(folder: Path) -> None:
    """The three verbs in order, and what came of them."""
    model, data, recipe, results = (
        str(folder / name) for name in ("small.keras", "small.npz", "recipe.toml", "run")
    )
    sys.stdout.write("Training a small model on simulated pictures ...\n")
    sys.stdout.flush()
    subprocess.run([sys.executable, str(EXAMPLES / "small_model.py"), str(folder)], check=True)
    run("quantize", model, "--bits", "6", "--data", data, "-o", recipe)
    run("compile", model, "--target", "none", "--recipe", recipe, "--data", data, "-o", results)
    run("simulate", results, "--stage", "engine", "--data", data, "--samples", "500")
    result = json.loads((folder / "run" / "result.json").read_text(encoding="utf-8"))
    accuracy = {stage: scores["accuracy"] for stage, scores in result["accuracy"].items()}
    agreed = all(entry["bit_identical"] for entry in result["agreement"])
    sys.stdout.write(
        f"\nAccuracy as floats {accuracy['float']:.3f}, in 6 bits {accuracy['quantized']:.3f}; "
        f"engine and definition {'agree bit for bit' if agreed else 'DISAGREE'} on "
        f"{result['agreement'][0]['samples']} samples.\n"
        f"The integer network: {folder / 'run' / 'program.txt'}\n"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/demo"))

"""The child of `compare`: it loads one tree's packages and times them on request.

It is started as `python -P driver.py TREE DEVICE THREADS` and speaks JSON, one line each
way: `{"do": "build", "workload": name}` is answered by `{"seconds": of one call}` or
`{"absent": reason}`, `{"do": "time", "workload": name, "iterations": k}` by
`{"seconds": of all of them}`. What is timed is defined here and the same for every tree;
only the packages differ. A tree takes part with whatever of this small surface it has:

    ablations.studyfile.load_study, ablations.design.trained_cells,
    ablations.stacking.final_stacks, ablations.training.train, and of the plain modules
    network.{describe, plain_network}, losses.plain_loss, optimizers.plain_optimizer.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

Step = Callable[[], object]

STUDY = """
[study]
name = "timed"
question = "How long does it take?"
tasks = ["{task}"]
seeds = {seeds}
[factors]
activation = ["relu", "tanh"]
[nuisance]
learning_rate = [0.001]
[fixed]
minibatch = 64
steps = {steps}
evaluations = 1
{fixed}
"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What one workload computes, in the words of a study file."""

    what: str  # stack: a whole `train`; step and inference: one call of the plain module
    task: str
    fixed: str = ""
    seeds: int = 10
    steps: int = 50

    @property
    def study(self) -> str:
        """The study file whose first cell is timed."""
        return STUDY.format(task=self.task, seeds=self.seeds, steps=self.steps, fixed=self.fixed)


CNN = 'network = "cnn"\nwidth = 4'
RECIPES = {
    "stack spiral": Recipe("stack", "spiral"),
    "stack spiral dropout": Recipe("stack", "spiral", 'regularisation = "dropout"'),
    "stack wave momentum": Recipe("stack", "wave", 'optimizer = "momentum"'),
    "stack digits batch_norm": Recipe("stack", "digits", 'norm = "batch"', steps=20),
    "stack digits cnn": Recipe("stack", "digits", CNN, seeds=2, steps=4),
    "plain spiral step": Recipe("step", "spiral"),
    "plain spiral inference": Recipe("inference", "spiral"),
    "plain wave step": Recipe("step", "wave", 'optimizer = "momentum"'),
    "plain digits step": Recipe("step", "digits", 'norm = "batch"'),
    "plain digits cnn step": Recipe("step", "digits", CNN),
}


def build(recipe: Recipe, device: str) -> Step:
    """The call to be timed, from the packages that are on the path now."""
    studyfile, design = _of("studyfile"), _of("design")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "timed.toml"
        path.write_text(recipe.study, encoding="utf-8")
        study = studyfile.load_study(path)
    task = study.tasks[0]
    cell = design.trained_cells(study, task)[0]
    if recipe.what == "stack":
        stack = next(iter(_of("stacking").final_stacks(study, task, cell, 0.001)))
        train = _of("training").train
        return lambda: train(stack, device=device)
    return _plain(recipe.what, cell, _data(study, task, device))


def _of(module: str) -> Any:
    return importlib.import_module(f"ablations.{module}")


def _data(study: Any, task: Any, device: str) -> Any:
    streams = _of("streams").Streams(study.seed, task.name)
    return _of("tasks").load_task(task, [0], streams=streams, device=device)


def _plain(what: str, cell: Any, data: Any) -> Step:
    """A call of the plain module on the first minibatch."""
    import torch  # noqa: PLC0415, this file is read before torch is wanted

    network = _of("network")
    rows = data.parts["train"][:1, : int(cell.minibatch)]
    x, y = (part[0].contiguous() for part in data.take(rows))
    description = network.describe(cell, data.input_shape, data.outputs)
    torch.manual_seed(0)  # this process times and does nothing else
    model = network.plain_network(description).to(x.device)
    if what == "inference":
        model.eval()
        return torch.inference_mode()(lambda: model(x))
    loss_of = _of("losses").plain_loss(cell)
    optimizer = _of("optimizers").plain_optimizer(cell, model.parameters(), 1e-6)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss_of(model(x), y).backward()
        optimizer.step()

    return step


def load_clock() -> Any:
    """The clock of the one that compares, under a name that no tree uses."""
    spec = importlib.util.spec_from_file_location(
        "comparing_clock", Path(__file__).with_name("clock.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def typical_seconds(recipe: Recipe, step: Step, clock: Any, clocks: Any) -> float:
    """Warm a call up: at least ten training steps (T7), of which a stack's call has many."""
    if recipe.what != "stack":
        return float(clocks.warm_up(clock, step, clocks.SHORTEST[clock.kind]).typical)
    return min(float(clocks.time_block(clock, step, 1).seconds) for _ in range(3))


def serve(requests: TextIO, answers: TextIO, *, device: str, clocks: Any) -> None:
    """Answer requests until there are no more."""
    clock = clocks.clock_for(device)
    steps: dict[str, Step] = {}
    for line in requests:
        request = json.loads(line)
        name = request["workload"]
        answer: dict[str, Any]
        try:
            if request["do"] == "build":
                steps[name] = build(RECIPES[name], device)
                answer = {"seconds": typical_seconds(RECIPES[name], steps[name], clock, clocks)}
            else:
                steps[name]()  # finds its own data in the caches (T5)
                block = clocks.time_block(clock, steps[name], request["iterations"])
                answer = {"seconds": block.seconds if block.is_sound else None}
        except Exception as error:  # whatever a tree raises costs that workload alone
            steps.pop(name, None)
            answer = {"absent": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


def main(tree: str, device: str, threads: str) -> None:
    """Settle the process as the tree's own workers do, then answer."""
    answers, sys.stdout = sys.stdout, sys.stderr  # nothing else may speak on the pipe
    sys.path.insert(0, tree)
    package = importlib.import_module("ablations")
    if not Path(str(package.__file__)).is_relative_to(Path(tree).resolve()):
        raise SystemExit(f"ablations was loaded from {package.__file__}, not from {tree}")
    _of("processor").settle_process(int(threads))
    import torch  # noqa: PLC0415, after the settings that it reads

    torch.set_num_threads(int(threads))
    torch.set_flush_denormal(True)
    print(json.dumps({"ready": True}), file=answers, flush=True)
    serve(sys.stdin, answers, device=device, clocks=load_clock())


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The columns of the CSV files of a study."""

from __future__ import annotations

from ablations.levels import FACTORS

RESPONSES = tuple(
    f"{part}_{measure}"
    for measure in ("loss", "accuracy", "r2")
    for part in ("train", "val", "test")
)
MEASURES = (  # of final trials, each where it has a meaning
    "penalised_loss",  # the training loss with the penalty of l1 or l2
    "gap",  # accuracy or R2 on the training part, less that on the test part
    "curve_area",  # the mean training loss over the steps of the learning curve
    "curve_noise",  # how uneven its later half is
    "first_gradient",  # log10 of the norm of the first gradient, at the first layer's weights
    "last_gradient",  # and at the last layer's
    "dead_units",  # share of hidden units that respond to no training example
    "saturation",  # share of activations on a flat part of their function
    "weight_norm",
    "linear_regions",  # straight pieces along a line between two training examples
    "parameter_error",  # the largest error of a coefficient, where the data lie on a line
)
DERIVED = ("bias", "variance")  # not in the files: the report takes them from the probes
TRIALS = [
    "trial", "study", "task", "stage", "seed", *FACTORS, "learning_rate", "status", *RESPONSES,
    "best_step", "steps", "parameters", "sparsity", *MEASURES, "stack",
]  # fmt: skip
CURVES = [
    "trial", "step", "epoch", "train_loss", "val_loss", "train_accuracy", "val_accuracy",
    "train_r2", "val_r2", "gradient_norm", "running_loss",
]  # fmt: skip
PICTURES = ["trial", "kind", "step", "shape", "range", "classes", "values"]
POINTS = ["task", "x", "y", "label"]
STACKS = ["stack", "task", "stage", "cell", "trials", "way", "worker", "attempt", "seconds"]

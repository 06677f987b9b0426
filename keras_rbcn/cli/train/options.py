"""The options of `keras-rbcn train`: their types and what `--help` says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from keras_rbcn.cli.files import folder_path
from keras_rbcn.cli.train.config import load_config

_MODELS, _DATA, _FIT, _METHOD, _RUN = (
    "Models",
    "Data",
    "Training",
    "Method (as in RBCNModel.compile)",
    "Run",
)

StyleName = Literal["birealnet", "reactnet", "plain"]

# --- models -----------------------------------------------------------------------

Teacher = Annotated[
    Path | None,
    typer.Option(
        metavar="TEACHER.keras",
        help="The trained full-precision network. Without it, the student trains with "
        "rectification alone.",
        rich_help_panel=_MODELS,
    ),
]
Student = Annotated[
    Path | None,
    typer.Option(
        metavar="STUDENT.keras",
        help="The network to train; made of the teacher if missing.",
        rich_help_panel=_MODELS,
    ),
]
Style = Annotated[
    StyleName | None,
    typer.Option(
        help="Of the blocks of a student made of the teacher.",
        show_default="birealnet",
        rich_help_panel=_MODELS,
    ),
]

# --- data -------------------------------------------------------------------------

Data = Annotated[
    str,
    typer.Option(
        metavar="DATA",
        help="digits, fashion_mnist; an .npz file with x_train, y_train and perhaps "
        "x_val, y_val or x_test, y_test, or with x, y; or a folder with a subfolder of "
        "images for each class, or with train and perhaps validation, val or test that "
        "hold such subfolders. A folder called digits is ./digits.",
        rich_help_panel=_DATA,
    ),
]
Rescale = Annotated[
    tuple[float, float] | None,
    typer.Option(
        metavar="BLACK WHITE",
        help="What pixels of 0 and of 255 become: as it was for the teacher. Also "
        "rescales the arrays of an .npz file, if they are of type uint8.",
        show_default="-1 1 for a folder, unchanged for an .npz file",
        rich_help_panel=_DATA,
    ),
]
ValidationFraction = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="Share of the samples that is split off at random to validate, for data "
        "without a part for that.",
        show_default="0.2",
        rich_help_panel=_DATA,
    ),
]

# --- training ---------------------------------------------------------------------

Epochs = Annotated[
    int, typer.Option(min=1, help="Passes over the data.", rich_help_panel=_FIT)
]
BatchSize = Annotated[
    int, typer.Option(min=1, help="Samples in a step.", rich_help_panel=_FIT)
]
Optimizer = Annotated[
    Literal["adam", "sgd"],
    typer.Option(
        help="sgd has a momentum of 0.9. That of the discriminators is always Adam.",
        rich_help_panel=_FIT,
    ),
]
LearningRate = Annotated[
    float, typer.Option(help="At the start.", rich_help_panel=_FIT)
]
Schedule = Annotated[
    Literal["cosine", "constant"],
    typer.Option(
        help="Whether the learning rate falls to 0, by a half cosine over all steps.",
        rich_help_panel=_FIT,
    ),
]

# --- method -----------------------------------------------------------------------

KernelWeight = Annotated[
    float, typer.Option(help="Of the kernel loss.", rich_help_panel=_METHOD)
]
AdversarialWeight = Annotated[
    float, typer.Option(help="Of the adversarial loss.", rich_help_panel=_METHOD)
]
FeatureMatchingWeight = Annotated[
    float,
    typer.Option(
        help="Of matching what the discriminators' hidden layers see.",
        rich_help_panel=_METHOD,
    ),
]
Distillation = Annotated[
    float,
    typer.Option(help="Weight of logits distillation.", rich_help_panel=_METHOD),
]
Temperature = Annotated[
    float, typer.Option(help="Of logits distillation.", rich_help_panel=_METHOD)
]
AttentionWeight = Annotated[
    float, typer.Option(help="Of attention matching.", rich_help_panel=_METHOD)
]
LabelSmoothing = Annotated[
    float, typer.Option(help="Of the discriminators' losses.", rich_help_panel=_METHOD)
]
GradientPenalty = Annotated[
    float,
    typer.Option(
        help="Weight of the discriminators' R1 penalty.", rich_help_panel=_METHOD
    ),
]
AdversarialLoss = Annotated[
    Literal["least_squares", "log", "relativistic"],
    typer.Option(rich_help_panel=_METHOD),
]
KernelLossGradient = Annotated[
    Literal["straight_through", "full"], typer.Option(rich_help_panel=_METHOD)
]
DiscriminatorAccuracyLimit = Annotated[
    float,
    typer.Option(
        help="Discriminators that tell more of a batch apart rest on it.",
        rich_help_panel=_METHOD,
    ),
]
Taps = Annotated[
    Literal["convolution", "stage", "none"],
    typer.Option(
        help="Which feature maps have a discriminator: of each 1-bit convolution, of "
        "the last of each stage, or none.",
        rich_help_panel=_METHOD,
    ),
]

# --- run --------------------------------------------------------------------------

Output = Annotated[
    Path,
    typer.Option(
        parser=folder_path,
        metavar="FOLDER",
        help="Folder for the results; created if missing.",
        rich_help_panel=_RUN,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace the results of an earlier training in the folder.",
        rich_help_panel=_RUN,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        min=0,
        max=2**32 - 1,
        help="Decides the split, new weights and the order.",
        rich_help_panel=_RUN,
    ),
]
Deterministic = Annotated[
    bool,
    typer.Option(
        help="Whether the same settings give the same student, bit for bit on the same "
        "machine. It costs time on a GPU.",
        rich_help_panel=_RUN,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.yaml|.toml",
        help="Holds any of these options, by their names with _ for -, such as "
        "batch_size. Those of the command line go first. Paths are relative to the "
        "current folder.",
        is_eager=True,
        callback=load_config,
        rich_help_panel=_RUN,
    ),
]

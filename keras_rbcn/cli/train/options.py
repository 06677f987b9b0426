"""The options of `keras-rbcn train`: their types and what `--help` says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

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


def _of_recipe(help_: str | None, panel: str = _METHOD) -> Any:
    """An option whose default, None, means that the recipe decides."""
    return typer.Option(help=help_, show_default="the recipe's", rich_help_panel=panel)


StyleName = Literal["birealnet", "reactnet", "plain"]
KernelQuantizerName = Literal["approx_sign", "ste_sign", "swish_sign"]

# --- models -----------------------------------------------------------------------

Teacher = Annotated[
    Path | None,
    typer.Option(
        metavar="TEACHER.keras",
        help="The trained full-precision network. Without it, and without "
        "--pretrain-epochs, the student trains with rectification alone.",
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

KernelQuantizer = Annotated[
    KernelQuantizerName | None,
    _of_recipe("Of a student made of the teacher.", _MODELS),
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
PretrainEpochs = Annotated[
    int,
    typer.Option(
        min=0,
        help="Epochs for the student's full-precision counterpart, which the student "
        "then starts from, and which is its teacher if there is no --teacher.",
        rich_help_panel=_FIT,
    ),
]
PretrainLearningRate = Annotated[
    float | None,
    _of_recipe("Of the counterpart's Adam at the start; it falls to 0.", _FIT),
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
LearningRate = Annotated[float | None, _of_recipe("At the start.", _FIT)]
Schedule = Annotated[
    Literal["cosine", "constant"],
    typer.Option(
        help="Whether learning rates fall to 0, by a half cosine over all steps.",
        rich_help_panel=_FIT,
    ),
]

# --- method -----------------------------------------------------------------------


Recipe = Annotated[
    Literal["default", "paper"],
    typer.Option(
        help="Where the settings come from that are not given: what did best in this "
        "project's study, or RBCN as in its paper.",
        rich_help_panel=_METHOD,
    ),
]
KernelWeight = Annotated[float | None, _of_recipe("Of the kernel loss.")]
AdversarialWeight = Annotated[float | None, _of_recipe("Of the adversarial loss.")]
FeatureMatchingWeight = Annotated[
    float | None, _of_recipe("Of matching what the discriminators' hidden layers see.")
]
Distillation = Annotated[float | None, _of_recipe("Weight of logits distillation.")]
Temperature = Annotated[float | None, _of_recipe("Of logits distillation.")]
AttentionWeight = Annotated[float | None, _of_recipe("Of attention matching.")]
LabelSmoothing = Annotated[float | None, _of_recipe("Of the discriminators' losses.")]
GradientPenalty = Annotated[
    float | None, _of_recipe("Weight of the discriminators' R1 penalty.")
]
AdversarialLoss = Annotated[
    Literal["least_squares", "log", "relativistic"] | None, _of_recipe(None)
]
KernelLossGradient = Annotated[
    Literal["straight_through", "full"] | None, _of_recipe(None)
]
DiscriminatorAccuracyLimit = Annotated[
    float | None,
    _of_recipe("Discriminators that tell more of a batch apart rest on it."),
]
Taps = Annotated[
    Literal["convolution", "stage", "none"] | None,
    _of_recipe(
        "Which feature maps have a discriminator: of each 1-bit convolution, of "
        "the last of each stage, or none."
    ),
]
StrategyBLearningRate = Annotated[
    float | None,
    _of_recipe(
        "Of strategy B, which after each epoch trains what is neither kernel nor "
        "scale; 0 for no such step."
    ),
]
ScaleLearningRate = Annotated[
    float | None,
    _of_recipe("Of Adam for the scales alone; 0 to train them as everything else."),
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

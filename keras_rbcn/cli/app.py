"""The commands, and how their errors reach the user."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from keras_rbcn._backend import INTERRUPTED
from keras_rbcn.cli import commands, export_options
from keras_rbcn.cli.benchmark import benchmark
from keras_rbcn.cli.bundle import bundle, classify
from keras_rbcn.cli.errors import UserError, one_line
from keras_rbcn.cli.files import folder_path
from keras_rbcn.cli.signing import decrypt, encrypt, keygen, sign, verify
from keras_rbcn.cli.train import RunSettings, options, run_training
from keras_rbcn.cli.train.settings import DEFAULT_KERNEL_QUANTIZER, DEFAULT_STYLE
from keras_rbcn.cli.wording import command_parameters, in_options
from keras_rbcn.export.int8.element_types import ElementTypes

_Rescale = Annotated[
    tuple[float, float] | None,
    typer.Option(
        metavar="BLACK WHITE",
        help="What pixels of 0 and of 255 become: as it was for training. Also "
        "rescales the arrays of an .npz file that are of type uint8.",
        show_default="-1 1 for a folder, unchanged for an .npz file",
    ),
]


class _Group(TyperGroup):
    """Turns errors into one line on the standard error stream and an exit code."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None:
            command_parameters.set(command.params)
        return name, command, rest

    def main(self, *args: Any, **kwargs: Any) -> Any:
        command_parameters.set(())
        _print_any_name()
        kwargs["standalone_mode"] = False
        kwargs["prog_name"] = "keras-rbcn"
        try:
            code = super().main(*args, **kwargs) or 0
        except UserError as error:
            message = in_options(str(error), command_parameters.get())
            code = _fail(message, error.exit_code, error.details)
        except (KeyboardInterrupt, typer.Abort):
            code = INTERRUPTED
        except Exception as error:
            # An unknown option and its kin. Their class is not public in typer.
            if not hasattr(error, "format_message"):
                raise
            code = _fail(f"{error.format_message()} (see keras-rbcn --help)")
        if code == INTERRUPTED:
            typer.echo("interrupted", err=True)
        sys.exit(code)


def _print_any_name() -> None:
    """Lets the standard output take what it has no characters for, as names of files.

    Written as on the standard error stream, in numbers.
    """
    if getattr(sys.stdout, "errors", None) == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _fail(message: str, exit_code: int = 2, details: Any = ()) -> int:
    typer.echo(f"error: {one_line(message)}", err=True)
    for detail in details:
        typer.echo(f"  {detail}", err=True)
    return exit_code


app = typer.Typer(
    cls=_Group,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="1-bit convolutional networks for Keras: train them with a teacher, and ship "
    "them as verified .tflite files.",
)


def main() -> None:
    """Runs the command line; the entry point of the console script `keras-rbcn`."""
    app()


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"keras-rbcn {metadata.version('keras-rbcn')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Print the version, and exit.",
        ),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        raise UserError(
            "expected a command: demo, profile, binarize, train, export, predict, "
            "bundle, classify, benchmark, keygen, sign, verify, encrypt or decrypt "
            "(see keras-rbcn --help)"
        )


@app.command()
def demo(
    output: Annotated[
        Path,
        typer.Option(
            parser=folder_path,
            metavar="FOLDER",
            help="Folder for the results; created if missing.",
        ),
    ] = Path("keras_rbcn_demo"),
    epochs: Annotated[
        int, typer.Option(min=1, help="Epochs of training of each network.")
    ] = 25,
    seed: Annotated[
        int,
        typer.Option(
            min=0, max=2**32 - 1, help="Decides the split, the weights and the order."
        ),
    ] = 0,
) -> None:
    """Train a teacher and four 1-bit students on handwritten digits, and export one.

    Writes a table, plots, the .tflite file and its export report to a folder. It takes
    about two minutes on two cores.
    """
    commands.demo(output, epochs, seed)


@app.command()
def profile(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="A saved model, .keras, or an exported one, .tflite.",
        ),
    ],
    reference: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="What to compare with, such as the full-precision teacher.",
        ),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help="Where to write it as JSON as well."),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Where to write the layers as CSV."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Where to draw a bar for each layer."),
    ] = None,
) -> None:
    """Count a model's parameters, memory and operations, layer by layer."""
    commands.profile(model, reference, json, csv, plot)


@app.command()
def binarize(
    teacher: Annotated[
        Path,
        typer.Argument(
            metavar="TEACHER.keras", help="A saved full-precision model, best trained."
        ),
    ],
    student: Annotated[
        Path, typer.Argument(metavar="STUDENT.keras", help="The file to write.")
    ],
    style: Annotated[
        options.StyleName,
        typer.Option(
            help="Of the blocks: with shortcuts around 1-bit convolutions, with "
            "learnable activations as well, or as they are."
        ),
    ] = DEFAULT_STYLE,
    kernel_quantizer: Annotated[
        options.KernelQuantizerName,
        typer.Option(help="Of the 1-bit convolutions: they differ in the gradient."),
    ] = DEFAULT_KERNEL_QUANTIZER,
    binary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAYER",
            help="Name of a layer to make 1-bit although it would stay real. May be "
            "given several times.",
        ),
    ] = None,
    real: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAYER",
            help="Name of a layer to keep real. May be given several times.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help="Where to write the report as well."),
    ] = None,
) -> None:
    """Make a 1-bit student of a full-precision model, and tell what became of it.

    The student starts from the teacher's weights, and is still to be trained.
    """
    commands.binarize(
        teacher,
        student,
        report,
        style=style,
        kernel_quantizer=kernel_quantizer,
        binary=binary or [],
        real=real or [],
    )


@app.command()
def train(
    *,
    teacher: options.Teacher = None,
    student: options.Student = None,
    style: options.Style = None,
    kernel_quantizer: options.KernelQuantizer = None,
    data: options.Data,
    rescale: options.Rescale = None,
    validation_fraction: options.ValidationFraction = None,
    epochs: options.Epochs = 20,
    pretrain_epochs: options.PretrainEpochs = 0,
    pretrain_learning_rate: options.PretrainLearningRate = None,
    batch_size: options.BatchSize = 64,
    optimizer: options.Optimizer = "adam",
    learning_rate: options.LearningRate = None,
    schedule: options.Schedule = "cosine",
    recipe: options.Recipe = "default",
    kernel_weight: options.KernelWeight = None,
    adversarial_weight: options.AdversarialWeight = None,
    feature_matching_weight: options.FeatureMatchingWeight = None,
    distillation: options.Distillation = None,
    temperature: options.Temperature = None,
    attention_weight: options.AttentionWeight = None,
    label_smoothing: options.LabelSmoothing = None,
    gradient_penalty: options.GradientPenalty = None,
    adversarial_loss: options.AdversarialLoss = None,
    kernel_loss_gradient: options.KernelLossGradient = None,
    discriminator_accuracy_limit: options.DiscriminatorAccuracyLimit = None,
    taps: options.Taps = None,
    strategy_b_learning_rate: options.StrategyBLearningRate = None,
    scale_learning_rate: options.ScaleLearningRate = None,
    output: options.Output,
    overwrite: options.Overwrite = False,
    seed: options.Seed = 0,
    deterministic: options.Deterministic = True,
    config: options.Config = None,
) -> None:
    """Train a 1-bit student, with the help of its full-precision teacher.

    Leaves these files in the folder; until all are there, in unfinished within it:
    student.keras - the student after the last epoch;
    history.csv - losses and accuracies, a line for each epoch;
    training_log.jsonl, training_log.png - losses, sign flips, scales and discriminators
    by epoch, and a picture of them;
    config.yaml - the settings, to repeat the training with --config;
    binarization.json - what became of each layer, if the student was made of the
    teacher;
    counterpart.keras, pretraining.csv - the network that the student started from, and
    its losses and accuracies, with --pretrain-epochs;
    summary.json - how it ended, and what of, for export --provenance.
    """
    settings = dict(locals())  # All options, by their names.
    del settings["config"]  # It has become the defaults of the others.
    run_training(RunSettings.from_options(settings))


@app.command()
def export(
    student: export_options.Student,
    out: Annotated[
        Path, typer.Argument(metavar="OUT.tflite", help="The file to write.")
    ],
    verify_data: export_options.VerifyData = None,
    rescale: _Rescale = None,
    report: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE.json|FILE.html",
            help="Where to write the report as well: as JSON, or as a page with plots. "
            "May be given several times.",
        ),
    ] = None,
    provenance: export_options.Provenance = None,
    runtime: export_options.Runtime = "lce",
    real_layers: export_options.RealLayers = "float32",
    calibration_data: export_options.CalibrationData = None,
    input_type: export_options.InputType = "float32",
    output_type: export_options.OutputType = "float32",
) -> None:
    """Write a student as a .tflite file, and check that the file is right.

    If it is not, nothing is written, and the exit code is 1.
    """
    types = ElementTypes(real_layers, input_type, output_type)
    commands.export(
        student,
        out,
        verify_data,
        rescale,
        report or (),
        provenance,
        runtime,
        types,
        calibration_data,
    )


@app.command()
def predict(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.tflite", help="A file that export wrote, or any other."
        ),
    ],
    images: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGES",
            help="A folder of images, in it or in folders in it; or an .npz file of "
            "one array, or with one named x, or for several inputs with one named as "
            "each.",
        ),
    ],
    rescale: _Rescale = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npz",
            help="Where to write the outputs, an array "
            "for each; of a folder, also the names of the images, as files.",
        ),
    ] = None,
) -> None:
    """Run a .tflite file on images, and print what it says.

    Of a file that takes or gives int8, pixels and real numbers become integers by the
    scale and zero point in the file, as in an app, and what it gives is told in real
    numbers; an .npz file of int8 is taken as it is.

    This is for checking: the time it takes here says nothing about a device.
    """
    commands.predict(file, images, rescale, output)


# In files of their own, with what they do.
app.command()(benchmark)
for _command in (bundle, classify, keygen, sign, verify, encrypt, decrypt):
    app.command()(_command)

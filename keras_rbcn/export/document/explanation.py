"""What a report says in words: of flips near zero, and of the size of the file."""

from __future__ import annotations

from keras_rbcn.export.document.agreement import Agreement
from keras_rbcn.export.document.promise import Promise
from keras_rbcn.export.int8.costs import Int8Report


def explain_agreement(agreement: Agreement, int8: bool = False) -> list[str]:
    """What was measured of an agreement, and what it means, a paragraph each.

    Args:
        agreement: What was measured.
        int8: Whether values of the file are rounded to 8 bits.
    """
    paragraphs = [_differences(agreement), _close_to_zero(agreement)]
    if int8:
        paragraphs.append(
            "Values of 8 bits are rounded in both, and the file, which sums integers "
            "and rounds once, takes a few of them to the neighbour of the student's "
            "integer. One such integer moves outputs by a step of 8 bits, or flips "
            "signs behind it: that is more than rounding of real numbers does."
        )
    if agreement.samples_on_file_signs == agreement.samples:
        return [*paragraphs, *_all_on_file_signs(agreement), *_unread(agreement)]
    if agreement.samples_on_file_signs:
        return [*paragraphs, _few_on_file_signs(agreement), *_unread(agreement)]
    if not agreement.beyond_rounding:
        if agreement.signs:
            paragraphs.append(
                "No sample is beyond rounding: if a sign flipped, it did not matter."
            )
    elif agreement.signs:
        paragraphs.append("The signs of the file could not be read.")
    return paragraphs


def _differences(agreement: Agreement) -> str:
    source = "verify_data" if agreement.data == "verify_data" else "random data"
    return (
        f"{agreement.samples} samples of {source} went through file and student. Their "
        f"outputs differ by at most {agreement.max_difference:.2g}, and by "
        f"{agreement.mean_difference:.2g} on average. As a share of how far the "
        "channel of an output spreads, and less what a float32 of that size is rounded "
        "by itself, the largest difference of a sample is "
        f"{agreement.median_relative_difference:.2g} in the median; up to "
        f"{agreement.rounding_limit:g} is what rounding explains, and "
        f"{_beyond(agreement)} of the samples lie beyond."
    )


def _close_to_zero(agreement: Agreement) -> str:
    if not agreement.signs:
        return "There are no 1-bit layers, and so no signs that may flip."
    inputs = sum(row.inputs for row in agreement.signs)
    close = sum(row.close_to_zero for row in agreement.signs)
    undecided = sum(agreement.undecided_samples)
    return (
        "TensorFlow and the device round differently. Where an input of a 1-bit layer "
        "lies within rounding of zero, its sign may flip, and one flip moves outputs "
        f"by far more than rounding does. Here {close:,} of {inputs:,} inputs of 1-bit "
        "layers lie so close to zero (1e-6 of the layer's largest); they are in "
        f"{undecided} of the {agreement.samples} samples."
    )


def _few_on_file_signs(agreement: Agreement) -> str:
    beyond, flipped = _beyond(agreement), agreement.samples_with_differing_signs
    share = "all" if flipped == beyond else f"{flipped}"
    return (
        f"For the {beyond} samples beyond rounding the signs, and values of 8 bits if "
        "there are any, were read from the file, and the student went on with them in "
        "the place of its own. "
        f"{_flips(agreement)} They lie in {share} of these samples. {_left(agreement)}"
    )


def _all_on_file_signs(agreement: Agreement) -> list[str]:
    text = (
        "Where many signs flip, or values are rounded to 8 bits, outputs alone do not "
        "tell a right file from a wrong one. So the signs of all samples, and values "
        "of 8 bits if there are any, were read from the file, and the student went on "
        "with them in the place of its own. "
    )
    if agreement.signs:
        text += f"{_flips(agreement)} "
    beyond = agreement.beyond_rounding_with_file_signs
    if beyond is None or agreement.contradicting_signs is None:
        return [text + _left(agreement)]
    judged = (
        f"With what the file decided, {beyond:.1%} of the samples are beyond rounding, "
        f"and {agreement.contradicting_signs:.1%} hold a sign or value of the file "
        "that the student contradicts by more than rounding (of signs, 1e-4 of the "
        "layer's largest input); up to 10 % of each would pass."
    )
    if agreement.contradicting_layers:
        first = agreement.contradicting_layers[0]
        judged += f" The first layer with such signs or values is '{first}'."
    return [text + _left(agreement), judged]


def _unread(agreement: Agreement) -> list[str]:
    names = [row.layer for row in agreement.signs if not row.compared]
    if not names:
        return []
    return [
        f"The signs of these layers could not be read from the file: "
        f"{', '.join(names)}. Their flips are not counted."
    ]


def _flips(agreement: Agreement) -> str:
    compared = sum(row.compared for row in agreement.signs)
    differing = sum(row.differing for row in agreement.signs)
    text = f"{differing:,} of {compared:,} signs are not the student's own"
    furthest = [row.furthest for row in agreement.signs if row.furthest is not None]
    if not furthest:
        return f"{text}."
    return (
        f"{text}; the one furthest from zero is of an input that is "
        f"{max(furthest):.2g} of its layer's largest."
    )


def _left(agreement: Agreement) -> str:
    left = agreement.difference_on_file_signs
    if left is None:
        return ""
    text = f"What is left differs by {left:.2g} of the spread at most"
    # NaN compares as false: it is never within rounding.
    if left <= agreement.rounding_limit:
        return f"{text}, which is rounding: nothing else has moved these outputs."
    return f"{text}, which rounding does not explain."


def _beyond(agreement: Agreement) -> int:
    return round(agreement.beyond_rounding * agreement.samples)


def explain_int8(int8: Int8Report) -> list[str]:
    """What it costs that layers compute in int8, a paragraph each."""
    if not int8.layers:
        text = "No layer has a kernel of 8 bits."
    else:
        text = f"These layers have kernels of 8 bits: {', '.join(int8.layers)}."
    if int8.missing:
        text += (
            f" These have real kernels and stay in float32: {', '.join(int8.missing)}."
        )
    if int8.median_relative_difference is not None:
        text += (
            " The file is compared with a student whose values are rounded likewise. "
            "From the student in float32 the outputs of that one are "
            f"{int8.median_relative_difference:.2g} of their spread away, in the "
            "median over the samples."
        )
    else:
        text += (
            " The file is compared with a student that came with its ranges, and was "
            "trained on with them perhaps. How far its outputs, and how often its "
            "classes, are those of a student in float32 is not known: there is none "
            "here to compare with. Evaluate both on the same data."
        )
    if int8.class_agreement is not None:
        text += f" The class is the same for {int8.class_agreement:.1%} of the samples."
    return [text, *(f"{complaint}." for complaint in int8.complaints)]


def explain_size(promise: Promise, runtime: str, size: int) -> list[str]:
    """Why a file is larger than its student's profile, a paragraph each.

    Args:
        promise: What was promised, and what was found.
        runtime: What the file was made for.
        size: Bytes of the file.
    """
    promised, stored = promise.promised_bits / 8, promise.stored_bits / 8
    paragraphs = [
        f"By its profile the student takes {promised / 1e6 * 8:.4g} Mbit, "
        f"{promised:,.0f} bytes: 1 bit for a binary parameter, 8 for an int8 one and "
        "32 for a real one, as the literature counts. The file stores "
        f"{stored:,.0f} bytes of parameters, and takes {size:,} bytes"
        + (f", {size / promised:.3g} times the promise." if promised else ".")
    ]
    if runtime == "litert":
        paragraphs.append(
            "The stock runtime knows no 1-bit operators: each value of a 1-bit kernel "
            "takes 4 bits in the file."
        )
    paragraphs.append(
        "The converter folds what follows a convolution into it: batch normalisation, "
        "scale and bias together become one multiplier and one bias for each channel, "
        "or one threshold, so that a layer may take less than was promised. It fills "
        "1-bit kernels up to multiples of 32 channels. All else is the structure of "
        "the file, which grows with the number of layers and not with their size."
    )
    return paragraphs

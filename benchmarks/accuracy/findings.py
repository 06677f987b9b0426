"""What the study found, and why, in sentences whose figures are read from its lines."""

from __future__ import annotations

from contenders import (
    LIKE_STUDENT,
    LIKE_STUDENT_COPIED,
    LIKE_STUDENT_RELU,
    LIKE_STUDENT_TAUGHT,
    PLAIN,
)
from figures import Counted, Difference, Finding, Gain, Runs, Share
from lines import Rows


def _taught(change: str) -> Difference:
    return Difference(f"R, distillation, {change}", "R, distillation", 3e-2)


def _approx(change: str) -> Difference:
    base = "R, approx_sign kernels"
    return Difference(f"{base}, {change}", base, 1e-2)


VERDICT = (
    Finding(
        "**Neither learned scales nor discriminators clearly raise the accuracy here** "
        "(on the {images} images). In the small networks discriminators change it by "
        "{g} points when they are added to R, by {g_taught} with distillation, by "
        "{g_start} behind a good start as well; in the large ones by {large_g}, "
        "{large_g_taught} and {large_g_start}. Learned scales change Bi-Real Net by "
        "{r}, by {r_taught} with distillation, by {r_start} behind a good start as "
        "well; in the large networks by {large_r}, {large_r_taught} and "
        "{large_r_start}. Which of these are clear is told below: losses alone. R is "
        "without the kernel loss, which gained nothing at the rates that are best. The "
        "paper (RBCN, arXiv 1908.07748) is 2.5 points over Bi-Real Net on CIFAR-100 as "
        "published, with ResNet-18 and a longer training: that was not run here, and "
        "is not refuted.",
        images=Counted(),
        g=Gain("R+G", "R"),
        g_taught=Gain("R+G, distillation", "R, distillation"),
        g_start=Gain("R+G, pretrained, distillation", "R, pretrained, distillation"),
        large_g=Gain("R+G", "R", "large"),
        large_g_taught=Gain("R+G, distillation", "R, distillation", "large"),
        large_g_start=Gain(
            "R+G, pretrained, distillation", "R, pretrained, distillation", "large"
        ),
        r=Gain("R", PLAIN),
        r_taught=Gain("R, distillation", "Bi-Real Net, distillation"),
        r_start=Gain(
            "R, pretrained, distillation", "Bi-Real Net, pretrained, distillation"
        ),
        large_r=Gain("R", PLAIN, "large"),
        large_r_taught=Gain("R, distillation", "Bi-Real Net, distillation", "large"),
        large_r_start=Gain(
            "R, pretrained, distillation",
            "Bi-Real Net, pretrained, distillation",
            "large",
        ),
    ),
    Finding(
        "**What pays is a good start; distillation and epochs too, less surely.** A "
        "start from its own blocks in full precision, with kernels scaled up, which "
        "are then its teacher, adds {start} points to R with distillation in the small "
        "networks and {large_start} in the large ones, and {plain_start} and "
        "{large_plain_start} to Bi-Real Net with distillation. It needs no further "
        "training where a teacher is to be trained anyway. Distillation adds {taught} "
        "and {large_taught} to Bi-Real Net. Twenty more epochs add about as much as "
        "the start, by validation accuracy: at 3e-2 R with distillation has {short} "
        "after 10, and {triple} after 30; the large one {large} and {large_triple}. "
        "After 40 epochs Bi-Real Net has {long_plain}, and {long_taught} with "
        "distillation (at 1e-2).",
        plain_start=Gain(
            "Bi-Real Net, pretrained, distillation", "Bi-Real Net, distillation"
        ),
        large_plain_start=Gain(
            "Bi-Real Net, pretrained, distillation",
            "Bi-Real Net, distillation",
            "large",
        ),
        taught=Gain("Bi-Real Net, distillation", PLAIN),
        large_taught=Gain("Bi-Real Net, distillation", PLAIN, "large"),
        start=Gain("R, pretrained, distillation", "R, distillation"),
        large_start=Gain("R, pretrained, distillation", "R, distillation", "large"),
        short=Runs("R, distillation", 3e-2),
        triple=Runs("R, distillation", 3e-2, "triple"),
        long_plain=Runs(PLAIN, 1e-2, "long"),
        long_taught=Runs("Bi-Real Net, distillation", 1e-2, "long"),
        large=Runs("R, distillation", 3e-2, "large"),
        large_triple=Runs("R, distillation", 3e-2, "large_triple"),
    ),
)
FINDINGS = (
    Finding(
        "**A rate that is too low costs more than any part gains.** Bi-Real Net has "
        "{slow} at 1e-3, {usual} at 1e-2, {fast} at 3e-2. Signs flip only if latent "
        "kernels cross 0, for which small steps take long. 1e-1, beyond the rates that "
        "all chose from, is too much: with distillation it gives {faster}, where 3e-2 "
        "gives {taught}.",
        slow=Runs("Bi-Real Net", 1e-3),
        usual=Runs("Bi-Real Net", 1e-2),
        fast=Runs("Bi-Real Net", 3e-2),
        faster=Runs("Bi-Real Net, distillation", 1e-1),
        taught=Runs("Bi-Real Net, distillation", 3e-2),
    ),
    Finding(
        "**`approx_sign` for kernels fails at a fast rate.** The paper takes signs of "
        "kernels and of inputs by this one rule, whose gradient falls to 0 at 1, where "
        "kernels are clipped. At 3e-2 a fifth of them or more ends there and stays "
        "([kernels at the clip](../benchmarks/results/accuracy/clipped.md)): R with "
        "distillation has {paper}; with `ste_sign` for kernels, whose gradient is 1 up "
        "to the clip, {ours}. R+G has {judged_paper}, and {judged_ours}. At 1e-2 R has "
        "{alone_paper} with it, and {alone_ours} with `ste_sign`; but with "
        "distillation, for which the fast rate is better, it has {taught_paper}. So "
        "`ste_sign` is the default here, and of all contenders with learned scales but "
        "the paper's.",
        paper=Runs("R, distillation, approx_sign kernels", 3e-2),
        ours=Runs("R, distillation", 3e-2),
        judged_paper=Runs("R+G, approx_sign kernels", 3e-2),
        judged_ours=Runs("R+G", 3e-2),
        alone_paper=Runs("R, approx_sign kernels", 1e-2),
        alone_ours=Runs("R", 1e-2),
        taught_paper=Runs("R, distillation, approx_sign kernels", 1e-2),
    ),
    Finding(
        "**A learned scale adds nothing to a batch normalisation.** Behind every 1-bit "
        "convolution of these networks stands one, which divides by whatever constant "
        "its channel was multiplied with; and Adam takes the same factor out of the "
        "kernels' gradient. So R can compute what Bi-Real Net computes, and no more: "
        "{ours} at 3e-2 and {slower} at 1e-2, where Bi-Real Net has {plain} and "
        "{plain_slower}, so that R has {fast_more} and {slow_more}. One scale for each "
        "layer has {layer}. With distillation, each at its best rate, R has {taught} "
        "on the {images} images.",
        fast_more=Difference("R", PLAIN, 3e-2),
        slow_more=Difference("R", PLAIN, 1e-2),
        ours=Runs("R", 3e-2),
        slower=Runs("R", 1e-2),
        plain=Runs("Bi-Real Net", 3e-2),
        plain_slower=Runs("Bi-Real Net", 1e-2),
        layer=Runs("R, scale per layer", 3e-2),
        taught=Gain("R, distillation", "Bi-Real Net, distillation"),
        images=Counted(),
    ),
    Finding(
        "**Adam moves scales too fast.** The batch normalisation leaves a scale a "
        "gradient of next to nothing, but Adam's steps are as long as the learning "
        "rate whatever the gradient. At 3e-2 a fifth of the small networks' scales "
        "ends below 0 ([measured](../benchmarks/results/accuracy/clipped.md)), and one "
        "that crosses 0 turns the signs of its channel over. With a scale optimizer "
        "100 times slower none does. It makes no difference beyond the spread: R has "
        "{slow}, and {fast} with fast scales; with distillation {slow_taught} and "
        "{taught}. In the large networks R with distillation has {large_slow}, and "
        "{large_fast} with fast scales; Bi-Real Net with distillation, {large_plain}.",
        slow=Runs("R, slow scales", 3e-2),
        fast=Runs("R", 3e-2),
        slow_taught=Runs("R, distillation, slow scales", 3e-2),
        taught=Runs("R, distillation", 3e-2),
        large_slow=Runs("R, distillation, slow scales", 3e-2, "large"),
        large_fast=Runs("R, distillation", 3e-2, "large"),
        large_plain=Runs("Bi-Real Net, distillation", 3e-2, "large"),
    ),
    Finding(
        "**The paper's gradient of the kernel loss drives kernels to the clip** when "
        "the rate is fast. Through the sign alone (3.71) it moves each weight that is "
        "larger than its scale further away from 0. R with `approx_sign` has {none} at "
        "1e-2 without a kernel loss, {paper} with that of the paper (weight 1e-4), "
        "{full} with the full gradient, which pulls kernels to their scale, where they "
        "flip less. With `ste_sign` and 3e-2 it is {ste}, {ste_paper} and {ste_full}. "
        "At 3e-3 the paper's does no harm, {paper_slow} where R has {none_slow}, but "
        "that rate is too slow for either. A weight of 1e-5 changes R with "
        "`approx_sign` at 1e-2 by {paper_little} with the paper's gradient, and R at "
        "3e-2 by {full_little} with the full one; a weight that rises from 0 to 1e-4 "
        "by {full_warm}.",
        paper_little=_approx("kernel loss as in the paper, weight 1e-5"),
        full_little=Difference(
            "R, kernel loss with its full gradient, weight 1e-5", "R", 3e-2
        ),
        full_warm=Difference(
            "R, kernel loss with its full gradient, warmed up", "R", 3e-2
        ),
        ste=Runs("R", 3e-2),
        ste_paper=Runs("R, kernel loss as in the paper", 3e-2),
        ste_full=Runs("R, kernel loss with its full gradient", 3e-2),
        none=Runs("R, approx_sign kernels", 1e-2),
        paper=Runs("R, approx_sign kernels, kernel loss as in the paper", 1e-2),
        full=Runs("R, approx_sign kernels, kernel loss with its full gradient", 1e-2),
        paper_slow=Runs("R, approx_sign kernels, kernel loss as in the paper", 3e-3),
        none_slow=Runs("R, approx_sign kernels", 3e-3),
    ),
    Finding(
        "**RBCN as in its paper is far below all others,** {paper}. The weight that "
        "its update rule gives the adversarial loss, 1, is enough for that: R+G has "
        "{strongest} with it, and {usual} with a hundredth of it. The kernel loss as "
        "in the paper and `approx_sign`, which it has too, cost less, as told above. "
        "The paper gives neither the kernel loss's weight nor learning rates: those "
        "are ours.",
        paper=Runs("RBCN as in its paper", None),
        strongest=Runs("R+G, weight 1", 3e-2),
        usual=Runs("R+G", 3e-2),
    ),
    Finding(
        "**Discriminators teach little here, and disturb.** They do not learn from "
        "batches of which they are right more than eight times of ten, and still tell "
        "the student's feature maps from the teacher's nine times of ten. With the "
        "weight 0.01 their gradient is a twentieth to a thirtieth of the task's, and "
        "the cosine of the two is about 0: they ask for something else than the task "
        "([gradients](../benchmarks/results/accuracy/gradients.md)). At 0.01 that "
        "neither clearly helps nor harms; that they disturb is shown by larger "
        "weights: at 3e-2 R has {alone}, R+G {usual} with 0.01, {stronger} with 0.1, "
        "{strongest} with 1. With distillation R has {taught}, {taught_judged} with "
        "discriminators, {taught_less} with a tenth of their weight, and "
        "{taught_hidden} if it matches their hidden features in their stead.",
        alone=Runs("R", 3e-2),
        usual=Runs("R+G", 3e-2),
        stronger=Runs("R+G, weight 0.1", 3e-2),
        strongest=Runs("R+G, weight 1", 3e-2),
        taught=Runs("R, distillation", 3e-2),
        taught_judged=Runs("R+G, distillation", 3e-2),
        taught_less=Runs("R+G, distillation, weight 0.001", 3e-2),
        taught_hidden=Runs("R+G, distillation, feature matching 0.1 alone", 3e-2),
    ),
    Finding(
        "**No kind of discriminator is clearly better than none.** R without them has "
        "{alone}. With the weight 0.1, where differences show: R+G has {base}; {log} "
        "with the logarithmic loss, {relativistic} with the relativistic one, "
        "{no_limit} without a limit to the discriminators' accuracy, {smooth} with "
        "label smoothing, {penalty} with a gradient penalty, {spectral} with spectral "
        "normalisation, {units} with 16 units, {warm} when warmed up. Best are pooled "
        "to 1x1, {pooled}, faster discriminators, {faster}, and taps at stages alone, "
        "{stages}; worst are taps at additions, {additions}. With the weight 0.01 the "
        "best two change R+G by {pooled_more} and {faster_more}; faster discriminators "
        "then have {over_none} more than none.",
        alone=Runs("R", 3e-2),
        pooled_more=Difference("R+G, pooled to 1x1", "R+G", 3e-2),
        faster_more=Difference("R+G, faster discriminators", "R+G", 3e-2),
        over_none=Difference("R+G, faster discriminators", "R", 3e-2),
        base=Runs("R+G, weight 0.1", 3e-2),
        log=Runs("R+G, weight 0.1, log", 3e-2),
        relativistic=Runs("R+G, weight 0.1, relativistic", 3e-2),
        no_limit=Runs("R+G, weight 0.1, no limit", 3e-2),
        smooth=Runs("R+G, weight 0.1, label smoothing", 3e-2),
        penalty=Runs("R+G, weight 0.1, gradient penalty", 3e-2),
        spectral=Runs("R+G, weight 0.1, spectral normalization", 3e-2),
        units=Runs("R+G, weight 0.1, 16 units", 3e-2),
        warm=Runs("R+G, weight 0.1, warmed up", 3e-2),
        pooled=Runs("R+G, weight 0.1, pooled to 1x1", 3e-2),
        stages=Runs("R+G, weight 0.1, taps at stages", 3e-2),
        faster=Runs("R+G, weight 0.1, faster discriminators", 3e-2),
        additions=Runs("R+G, weight 0.1, taps at additions", 3e-2),
    ),
    Finding(
        "**Longer training or few images show no gain by discriminators either.** The "
        "paper's are of far longer trainings, on data that networks learn by heart. "
        "After four times the epochs R with distillation has {long}, with "
        "discriminators too {long_judged}. Distillation itself gains nothing there: "
        "Bi-Real Net has {long_plain}, and {long_taught} with it, both at 1e-2. With "
        "2,000 images, each seen 250 times, R has {few}, R+G {few_judged}; with "
        "distillation they have {few_taught} and {few_both}.",
        long=Runs("R, distillation", 3e-2, "long"),
        long_judged=Runs("R+G, distillation", 3e-2, "long"),
        long_plain=Runs("Bi-Real Net", 1e-2, "long"),
        long_taught=Runs("Bi-Real Net, distillation", 1e-2, "long"),
        few=Runs("R", 3e-2, "few"),
        few_judged=Runs("R+G", 3e-2, "few"),
        few_taught=Runs("R, distillation", 3e-2, "few"),
        few_both=Runs("R+G, distillation", 3e-2, "few"),
    ),
    Finding(
        "**Distillation depends little on its temperature, but a large weight costs.** "
        "R has {taught} with the temperature 4 and the weight 0.9. Other temperatures "
        "change that by {cold} (1), {mild} (2) and {hot} (8), other weights by "
        "{little} (0.3) and {much} (3).",
        taught=Runs("R, distillation", 3e-2),
        cold=_taught("temperature 1"),
        mild=_taught("temperature 2"),
        hot=_taught("temperature 8"),
        little=_taught("distillation 0.3"),
        much=_taught("distillation 3"),
    ),
    Finding(
        "**Where the student starts gains as much as distillation, or more.** Bi-Real "
        "Net's paper (arXiv 1808.00278) starts from a network with clips in place of "
        "ReLUs. The student's blocks in full precision, with inputs clipped where the "
        "student takes signs, have {blocks} when trained from scratch for as long as "
        "the teacher. A student that starts from them has {started} with distillation "
        "from the usual teacher and {taught} with that from them, and {usual} with the "
        "usual start: it is the start that counts. With kernels scaled up to 0.5 on "
        "average, so that their signs hold longer, it is {pretrained}; from the usual "
        "start such kernels have {larger}. Bi-Real Net has {plain} with that start and "
        "distillation, at the same rate. In the large networks the student has "
        "{large}, and {large_usual} with the usual start.",
        blocks=Runs(LIKE_STUDENT, 1e-2),
        started=Runs("R, distillation, start: its blocks", 3e-2),
        taught=Runs("R, distillation, teacher and start: its blocks", 3e-2),
        usual=Runs("R, distillation", 3e-2),
        pretrained=Runs("R, pretrained, distillation", 3e-2),
        plain=Runs("Bi-Real Net, pretrained, distillation", 3e-2),
        larger=Runs("R, distillation, kernels of 0.5 at the start", 3e-2),
        large=Runs("R, pretrained, distillation", None, "large"),
        large_usual=Runs("R, distillation", None, "large"),
    ),
    Finding(
        "**What makes a good start.** The same blocks with ReLUs are better networks, "
        "{relu}, but no better a start than the usual one: with distillation they "
        "change R by {relu_more}, to {relu_started}; R+G has {relu_judged} behind "
        "them, {relu_judged_more} by its discriminators. It need not be from scratch: "
        "blocks that start from the usual teacher's kernels and train for as many "
        "epochs have {copied}, and a student that starts from them {copied_started} "
        "(kernels not scaled, as in {started} from scratch). But it takes epochs in "
        "full precision: after 10, taught by the usual teacher, the blocks have "
        "{short}, and the student that starts from them, and is taught by them, "
        "{short_started}.",
        relu=Runs(LIKE_STUDENT_RELU, 3e-3),
        relu_started=Runs(
            "R, distillation, teacher and start: its blocks with ReLUs", 3e-2
        ),
        relu_judged=Runs(
            "R+G, distillation, teacher and start: its blocks with ReLUs", 3e-2
        ),
        relu_more=_taught("teacher and start: its blocks with ReLUs"),
        relu_judged_more=Difference(
            "R+G, distillation, teacher and start: its blocks with ReLUs",
            "R, distillation, teacher and start: its blocks with ReLUs",
            3e-2,
        ),
        copied=Runs(LIKE_STUDENT_COPIED, 1e-2),
        copied_started=Runs(
            "R, distillation, start: its blocks, from the usual teacher",
            3e-2,
        ),
        started=Runs("R, distillation, start: its blocks", 3e-2),
        short=Runs(LIKE_STUDENT_TAUGHT, 1e-2),
        short_started=Runs(
            "R, distillation, teacher and start: its blocks, 10 epochs", 3e-2
        ),
    ),
    Finding(
        "**What a good start costs.** No further training for those who train the "
        "student's blocks in the place of another teacher. For those who have a "
        "teacher, 20 epochs, and spent on the student they gain about as much: after "
        "30 epochs behind the usual start it has {triple}, and {pretrained} after 10 "
        "behind the other; the large one {large_triple} and {large}, all at 3e-2. "
        "After 40 behind the usual start the small one has {long}, after 20 behind its "
        "blocks {double_started} (kernels not scaled).",
        triple=Runs("R, distillation", 3e-2, "triple"),
        pretrained=Runs("R, pretrained, distillation", 3e-2),
        large_triple=Runs("R, distillation", 3e-2, "large_triple"),
        large=Runs("R, pretrained, distillation", 3e-2, "large"),
        double_started=Runs("R, distillation, start: its blocks", 3e-2, "double"),
        long=Runs("R, distillation", 3e-2, "long"),
    ),
    Finding(
        "**Discriminators do not clearly pay behind a good start either,** where "
        "teacher and student have the same blocks, and their feature maps stand for "
        "the same: in the small networks R has {alone} without them and {judged} with "
        "them, in the large ones {large} and {large_judged}. On the {images} images "
        "they change it by {more} and {large_more}. The maps do correlate with the "
        "teacher's there, by 0.8 in place of 0.2, but are told apart as easily, and "
        "the gradient is as small and as far from the task's "
        "([measured](../benchmarks/results/accuracy/gradients_pretrained.md)).",
        alone=Runs("R, pretrained, distillation", None),
        judged=Runs("R+G, pretrained, distillation", None),
        large=Runs("R, pretrained, distillation", None, "large"),
        large_judged=Runs("R+G, pretrained, distillation", None, "large"),
        images=Counted(),
        more=Gain("R+G, pretrained, distillation", "R, pretrained, distillation"),
        large_more=Gain(
            "R+G, pretrained, distillation", "R, pretrained, distillation", "large"
        ),
    ),
    Finding(
        "**What keeps the students from the teacher, in 10 epochs.** With real kernels "
        "and 1-bit inputs R has {kernels}, with 1-bit kernels and real inputs "
        "{inputs}, and {both} with both in 1 bit (`approx_sign`, 1e-2). At the same "
        "seed that is {kernels_more} and {inputs_more}: the inputs' bits cost more "
        "than the kernels', but neither is most of the gap. Both real, and clipped "
        "where the student takes signs, the blocks have {blocks} after 20 epochs, and "
        "{relu} with ReLUs: a part of the gap is of the clips, before any bit. Four "
        "times the epochs bring Bi-Real Net to {long}, and close {long_closes} of the "
        "gap between it and the teacher, by validation accuracy.",
        kernels=Runs("R, approx_sign kernels, full-precision kernels", 1e-2),
        inputs=Runs("R, approx_sign kernels, full-precision inputs", 1e-2),
        both=Runs("R, approx_sign kernels", 1e-2),
        kernels_more=_approx("full-precision kernels"),
        inputs_more=_approx("full-precision inputs"),
        blocks=Runs(LIKE_STUDENT, 1e-2),
        relu=Runs(LIKE_STUDENT_RELU, 3e-3),
        long=Runs("Bi-Real Net", 1e-2, "long"),
        long_closes=Share("Bi-Real Net", 1e-2, "long"),
    ),
)


def verdict(rows: Rows) -> str:
    """What all of it comes to; nothing without the figures."""
    return _told(VERDICT, rows)


def findings(rows: Rows) -> str:
    """The paragraphs all of whose figures there are; nothing if there are none."""
    return _told(FINDINGS, rows)


def _told(paragraphs: tuple[Finding, ...], rows: Rows) -> str:
    return "\n".join(filter(None, (paragraph.told(rows) for paragraph in paragraphs)))

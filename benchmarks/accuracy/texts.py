"""The words of the report."""

INTRODUCTION = """\
# Does rectification with discriminators pay?

Written by benchmarks/accuracy/report.py from the lines of benchmarks/results/accuracy;
`make evidence` runs the whole study.
"""
IN_SHORT_TEXT = """\
What a part adds is the mean over the seeds that both contenders have, ± its standard
deviation; each has its own best learning rate. The spread is the largest of three
standard deviations: with the part, without it, and of the difference. "Clearly" means
more than the spread, and that 0 is outside the 95 % interval of the paired differences
(Student's t), which with three seeds is 2.5 standard deviations to either side.
"""
LIMITS = """\
## What these figures cannot say

- One set of data, small networks, and 10 epochs: all students are undertrained, and
  what wins is in part what is fast. [Other budgets](#other-budgets) are of one seed.
- One split of the training images (10,000 of 60,000 are kept to choose by) and one
  teacher of each kind. A seed decides the order of the batches, how they are mirrored
  and shifted, and the weights that are not copied: ± is of these alone. 10,000 images
  tell an accuracy of 91 % to ± 0.3 points; the difference between two networks on the
  same images, more finely.
- Learning rates are chosen at the first seed, which then counts in the mean: those with
  two rates that are about as good have a little luck in it. Not all had the same
  choice: [rates](#rates-of-the-small-networks).
- The same validation images chose weights, quantizers and starts; those that start from
  their own blocks joined when the others had missed the aim. The test images are read
  after all that, once for each network of the conclusion.
"""
CONTENDERS_TEXT = """\
Residual networks of three stages, two blocks each, behind a real first convolution;
every 1-bit student has the same 1-bit kernels. Adam with cosine decay, images mirrored
and shifted by up to two pixels at random. R is rectification: scales of the kernels,
one for each channel, are learned; without a kernel loss, but for "RBCN as in its
paper". G are feature discriminators, B is the separate step for the other parameters
(strategy B). "R, distillation" is `recipes.default()`.

Every student starts from the kernels of a network that was trained for 20 epochs in
full precision: the usual teacher, or its own blocks with clips in place of signs, as in
Bi-Real Net's paper (arXiv 1808.00278). What it starts from is its teacher, too, and it
is that one with which its agreement is.
"""
ABLATION_TEXT = """\
Points of accuracy on the images of the tables above, ± the standard deviation, and the
number of seeds. Bold is what is clear; one seed decides nothing.
"""
FINDINGS_TEXT = """\
Of the small networks unless it says so, by validation accuracy. What rests on one seed
is a hint.
"""
BUDGETS_TEXT = """\
By validation accuracy, at the rates that were chosen with the usual budget; the large
network has that of the small. Few images are seen as often as makes the same number of
steps.
"""
FULL_PRECISION_TEXT = """\
Validation accuracy after 20 epochs, or after 10 of those that the usual teacher taught;
one seed each. The first of each size is that usual teacher. "The student's blocks" have
a shortcut around each convolution, and clips in place of signs unless it says ReLUs.
"""
QUESTIONS_TEXT = """\
Each changes one thing of a contender: validation accuracy, and the difference to that
contender at the same learning rate and seeds, whichever rate is best for either. One
seed decides nothing that is smaller than the spread between seeds above. A "weight" is
that of the discriminators. "Fresh start": not from the teacher's kernels. "Two stages":
half of the epochs with 1-bit inputs and real kernels, half with both in 1 bit. "Slow
scales": an optimizer of their own, at a hundredth of the rate. "Warmed up": the weight
rises, that of discriminators in the first two epochs, that of kernels in all.
"""
RATES_TEXT = """\
Learning rates: validation accuracy at seed 0. The best rate of each row is used for all
small networks.
"""
LARGE_TEXT = """\
In the same way; a row with a single rate took over the best of the small networks.
"""

"""The words of the report."""

INTRODUCTION = """\
# Does rectification with discriminators pay?

Written by benchmarks/accuracy/report.py from the lines that the study's runs left;
`make evidence` goes on with it, or [repeats it](../benchmarks/README.md).
"""
IN_SHORT_TEXT = """\
The study had two aims. First, that the paper's method (R+G, with or without B) is over
Bi-Real Net by more than the spread. Second, that the full method (R+G with whatever
else helps) closes half of the gap between Bi-Real Net and the teacher, at no byte more
in the file. The pretrained contenders joined when the others had missed both. Which
contender is the best one is chosen by validation accuracy, whatever is told of it.

What a part adds is the mean over the seeds that both contenders have, ± its standard
deviation; each has its own best learning rate. The spread is the largest of three
standard deviations: with the part, without it, and of the difference. "Clearly" means
more than the spread, and that 0 is outside the 95 % interval of the paired differences
(Student's t), which with three seeds is 2.5 standard deviations to either side. Of so
many comparisons one or two may look clear by chance: rely on what is so in both sizes.
"""
LIMITS = """\
## What these figures cannot say

- One set of data, small networks, and 10 epochs: all students are undertrained, and
  what wins is in part what is fast. [Other budgets](#other-budgets) are of one seed.
- One split of the training images (10,000 of 60,000 are kept to choose by) and one
  teacher of each kind. A seed decides the order of the batches, how they are mirrored
  and shifted, and the weights that are not copied: ± is of these alone. 10,000 images
  tell an accuracy of 91 % to ± 0.3 points (the standard error); the difference between
  two networks on the same images, more finely.
- Learning rates are chosen at the first seed, which then counts in the mean: those with
  two rates that are about as good have a little luck in it. The small networks chose
  from three rates at least, the large ones from two ([all
  rates](#rates-of-the-small-networks)).
- The same validation images chose weights, quantizers and starts. The test images are
  read after all that, once for each network of the conclusion; in the mean every
  contender has less there, and the teacher too.
"""
CONTENDERS_TEXT = """\
Residual networks of three stages, two blocks each, behind a real first convolution;
every 1-bit student has as many 1-bit kernels of the same shapes. Adam with cosine
decay, images mirrored and shifted by up to two pixels at random. R is rectification:
scales of the kernels, one for each channel, are learned; without a kernel loss, but for
"RBCN as in its paper". G are feature discriminators, B is the separate step for the
other parameters (strategy B). "R, distillation" is `recipes.default()`.

Every student starts from the kernels of a network that was trained for 20 epochs in
full precision. The usual start is the usual teacher. A good start ("pretrained" in the
tables) is the student's own blocks with clips in place of signs, and kernels scaled to
a mean |W| of 0.5, so that their signs hold longer. What it starts from is its teacher,
too, and it is that one with which its agreement is. Bi-Real Net's paper (arXiv
1808.00278) has such a start: "Bi-Real Net" here is its network without it, and
"Bi-Real Net, pretrained, distillation" has it.
"""
ABLATION_TEXT = """\
Points of accuracy on the images of the tables above, ± the standard deviation, and the
number of seeds. Bold is what is clear; one seed decides nothing.
"""
FINDINGS_TEXT = """\
By validation accuracy, and of the small networks, unless it says otherwise: compare
these figures with each other, and not with those of the tables above, which are of the
test images once these have been read. What rests on one seed is a hint.
"""
BUDGETS_TEXT = """\
By validation accuracy, at rates that were chosen with the usual budget, but for two:
Bi-Real Net with distillation was better at 3e-2 there, and the large network at 1e-2.
Few images are seen as often as makes the same number of steps.
"""
FULL_PRECISION_TEXT = """\
Validation accuracy after 20 epochs, or after 10 of those that the usual teacher taught;
one seed each. The usual teacher is "full precision" at 3e-3. "The student's blocks"
have a shortcut around each convolution, and clips in place of signs unless it says
ReLUs.
"""
QUESTIONS_TEXT = """\
Each changes something of a contender: validation accuracy, and the difference to that
contender at the same learning rate and seeds, whichever rate is best for either. One
seed decides nothing that is smaller than the spread between seeds above. "Weight 0.1"
is that of the discriminators. "Alone": in place of the adversarial loss. "Fresh start":
not from the teacher's kernels. "Two stages": half of the epochs with 1-bit inputs and
real kernels, half with both in 1 bit. "Slow scales": an optimizer of their own, at a
hundredth of the rate. "Warmed up": the weight of the discriminators rises for two
epochs, that of the kernel loss for all ten.
"""
RATES_TEXT = """\
Learning rates: validation accuracy at seed 0. The best rate of each row is used for all
small networks.
"""
LARGE_TEXT = """\
In the same way; a row with a single rate took over the best of the small networks.
"""

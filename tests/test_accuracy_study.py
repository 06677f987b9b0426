"""benchmarks/accuracy: its runs, and what it makes of the lines they leave."""

import argparse
import collections
import json
import os
import re
import threading
from unittest import mock

import numpy as np
import pytest

import keras_rbcn as rbcn
from keras_rbcn._backend import keras

with mock.patch.dict(os.environ):  # Scripts set variables for TensorFlow.
    import ablation
    import conclusion
    import contenders
    import described
    import epoch_time
    import figures
    import findings
    import last_step
    import lines
    import parts
    import places
    import plots
    import report
    import sizes
    import study
    import study_images
    import tables
    import training

MACHINE = {
    "processor": "a processor",
    "cores": 2,
    "system": "Linux",
    "python": "3",
    "versions": {"numpy": "1"},
}


def line(contender, accuracy, seed=0, rate=3e-3, size="small", **fields):
    """A line as `trained` writes it, shortened."""
    return {
        "size": size,
        "contender": contender,
        "settings": contenders.settings_of(contender),
        "learning_rate": rate,
        "seed": seed,
        "digest": f"{contender}-{seed}-{rate}-{size}",
        "histories": [{"discriminator_accuracy": [0.6, 0.7]}],
        "seconds_per_epoch": 10.0,
        "validation_accuracy": accuracy,
        "machine": MACHINE,
        **fields,
    }


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """The row of a teacher, and the places where it is."""
    folder = tmp_path_factory.mktemp("study")
    where = places.Places(folder / "results", folder / "work")
    where.make()
    run = training.Run("tiny", contenders.TEACHER, 3e-3, 0)
    return training.trained(run, where), where


@pytest.mark.parametrize("name", ["R+G", "R, approx_sign kernels, two stages"])
def test_a_run_leaves_a_row_and_its_network(name, taught):
    teacher, where = taught
    run = training.Run("tiny", name, 3e-3, 1, teacher["digest"])
    row = training.trained(run, where)
    assert (row["contender"], row["seed"], row["digest"]) == (name, 1, run.digest())
    validation = [v for history in row["histories"] for v in history["val_accuracy"]]
    assert len(validation) == row["budget"]["epochs"] == 2
    assert validation[-1] == pytest.approx(row["validation_accuracy"])
    assert 0 <= row["validation_agreement"] <= 1
    network = keras.models.load_model(where.student(row["digest"]))
    x, y = study_images.images("digits", 256).validation
    answers = network.predict(x, verbose=0).argmax(-1)
    assert np.mean(answers == y) == row["validation_accuracy"]
    json.dumps(row)


@pytest.mark.parametrize(
    ("relus", "named", "lowest"),
    [
        ("", contenders.LIKE_STUDENT, -0.5),
        (" with ReLUs", contenders.LIKE_STUDENT_RELU, 0.0),
    ],
)
def test_a_teacher_with_the_students_blocks(relus, named, lowest, tmp_path):
    where = places.Places(tmp_path / "results", tmp_path / "work")
    where.make()
    name = f"R+G, distillation, teacher and start: its blocks{relus}"
    asked = study.Asked("tiny", name, 1e-2, 0)
    usual = line(contenders.TEACHER, 0.99, size="tiny")
    with pytest.raises(SystemExit, match=r"no teacher .full .* student's blocks"):
        study.run_of(asked, [usual])
    run = training.Run("tiny", named, 1e-2, 0)
    row = training.trained(run, where)
    assert study.run_of(asked, [usual, row]).teacher == row["digest"]
    teacher = keras.models.load_model(where.teacher(row["digest"]), compile=False)
    chosen, size = contenders.contender(name), sizes.SIZES["tiny"]
    student = parts.student_of(chosen, size, teacher)
    taps = parts.model_of(chosen, size, teacher, student).taps
    assert len(taps) == 2 * size.blocks * len(size.stages)
    # In full precision, and what the student starts from.
    kernels = [one for one in student.layers if hasattr(one, "kernel_loss")]
    assert len(kernels) == len(taps)
    for ours in kernels:
        theirs = teacher.get_layer(ours.name)
        assert theirs.kernel_quantizer is None
        np.testing.assert_array_equal(ours.kernel, theirs.kernel)
    x, _ = study_images.images("digits", 256).validation
    half = teacher.get_layer("stage1_block1_conv1").input_quantizer(x / 2)
    np.testing.assert_allclose(half, np.maximum(x / 2, lowest))


def asked_by(**arguments):
    """The runs that arguments of the command ask for, without any line."""
    usual = {"size": "digits", "contender": None, "rates": [1e-2, 3e-3], "seeds": [0]}
    flags = dict.fromkeys(("teachers", "questions", "repeat", "best_rate"))
    asked = argparse.Namespace(**{**usual, **flags, **arguments})
    return study.planned(asked, [])


def test_all_teachers_that_contenders_need_come_first():
    runs = asked_by(teachers=True)
    found = {(run.contender, run.learning_rate) for run in runs}
    needed = {contenders.contender(n).teacher for n in contenders.CONTENDERS}
    assert found == {(name, rate) for name in needed for rate in (1e-2, 3e-3)}
    assert needed == {contenders.TEACHER, contenders.LIKE_STUDENT}
    chosen = [contenders.LIKE_STUDENT_RELU]
    runs = asked_by(teachers=True, contender=chosen)
    assert {run.contender for run in runs} == set(chosen)


def test_every_committed_run_can_be_repeated():
    rows = lines.read_lines(places.RESULTS / "runs.jsonl")
    asked = asked_by(repeat=places.RESULTS / "runs.jsonl")
    runs = [study.run_of(one, rows) for one in asked]
    assert [run.digest() for run in runs] == [row["digest"] for row in rows]
    # Whoever has a teacher comes after it.
    usual, taught, students = (
        {one.contender for one in stage} for stage in study.stages(asked)
    )
    assert {contenders.TEACHER, contenders.LIKE_STUDENT} < usual
    for name in (*taught, *students):
        chosen = contenders.contender(name)
        others = {chosen.teacher, chosen.start or chosen.teacher}
        assert others <= (usual if name in taught else usual | taught)


def test_a_student_may_start_from_another_network_than_its_teacher(taught):
    usual, where = taught
    name = "R, distillation, start: its blocks, from the usual teacher"
    start = contenders.LIKE_STUDENT_COPIED
    run = study.run_of(study.Asked("tiny", start, 1e-2, 0), [usual])
    assert run.teacher == usual["digest"]
    between = training.trained(run, where)
    assert "distillation_loss" not in between["histories"][0]
    run = study.run_of(study.Asked("tiny", name, 1e-2, 0), [usual, between])
    assert (run.teacher, run.start) == (usual["digest"], between["digest"])
    assert run.digest() != run._replace(start=None).digest()
    x, _ = study_images.images("digits", 256).validation
    first, seen, training_of = "stage1_block1_conv1", [], training._student_trained

    def watched(fit, chosen, teacher, student):
        seen.extend((student.get_layer(first).kernel.numpy(), teacher(x)))
        return training_of(fit, chosen, teacher, student)

    with mock.patch.object(training, "_student_trained", watched):
        training.trained(run, where)
    started, teacher = (
        training._read(where.teacher(d["digest"])) for d in (between, usual)
    )
    np.testing.assert_array_equal(seen[0], started.get_layer(first).kernel)
    np.testing.assert_array_equal(seen[1], teacher(x))


def test_blocks_train_as_long_as_the_teacher_or_as_a_student():
    epochs = {
        name: training.Run("small", name, 1e-2, 0, "a teacher").budget()["epochs"]
        for name in (contenders.LIKE_STUDENT_COPIED, contenders.LIKE_STUDENT_TAUGHT)
    }
    assert list(epochs.values()) == [20, 10]


@pytest.mark.parametrize(("name", "classes"), [("cifar10", 10), ("cifar100", 100)])
def test_cifar_by_the_same_script(name, classes, monkeypatch):
    random = np.random.default_rng(0)
    labels = np.arange(20 * classes).reshape(-1, 1) % classes
    pixels = random.integers(0, 256, (len(labels), 32, 32, 3)).astype(np.uint8)
    loader = getattr(keras.datasets, name)
    monkeypatch.setattr(loader, "load_data", lambda: ((pixels, labels),) * 2)
    source = study_images.SOURCES[name]._replace(validation=2 * classes)
    monkeypatch.setitem(study_images.SOURCES, name, source)
    size = sizes.SIZES[name]._replace(stages=(4, 4), blocks=1, batch=8)
    data = study_images.images.__wrapped__(name, 5 * classes)
    assert [len(y) for _, y in data] == [5 * classes, 2 * classes, 20 * classes]
    np.testing.assert_allclose(data.test[0], pixels / 127.5 - 1, atol=1e-6)
    x, y = next(iter(study_images.batches(data.train, size, seed=0)))
    assert (x.shape, y.shape) == ((8, 32, 32, 3), (8,))
    assert parts.network(size, "rbcn")(x).shape == (8, classes)
    # The rate is chosen by its own runs, not by those of other data.
    rows = [line("R", 0.9), line("R", 0.8, rate=1e-2, size=name)]
    assert lines.best_rate(rows, "R", name) == 1e-2


def test_few_images_come_several_times_in_an_epoch():
    size = sizes.SIZES["tiny"]._replace(batch=80, repeats=2)
    x, _ = study_images.images("digits", 40).train
    numbered = x, np.arange(40)  # To know them by.
    (found,) = study_images.batches(numbered, size, seed=0)
    first, second = np.split(found[1].numpy(), 2)
    assert sorted(first) == sorted(second) == list(range(40))
    assert list(first) != list(second)
    few, small = sizes.SIZES["few"], sizes.SIZES["small"]
    assert few.repeats * few.images == small.images
    assert few._replace(images=small.images, repeats=1) == small


def test_lines_keep_their_digests_when_budgets_get_new_fields():
    # Some have run under names that others have now.
    same = [
        (asked.digest(), row["digest"])
        for row in lines.read_lines(places.Places().lines)
        for asked in [training.Run(*(row.get(name) for name in training.Run._fields))]
        if asked.contender in contenders.names()
        and contenders.settings_of(asked.contender) == row["settings"]
    ]
    assert len(same) > 50
    for ours, kept in same:
        assert ours == kept


def test_no_data_and_no_network(monkeypatch):
    def fail():
        raise Exception("URL fetch failure")  # As Keras does.

    monkeypatch.setattr(keras.datasets.cifar10, "load_data", fail)
    with pytest.raises(SystemExit, match=r"cifar10 could not be loaded: URL fetch.*~"):
        study_images.images.__wrapped__("cifar10", 100)


def test_every_contender_can_be_built_and_compiled(taught):
    teacher, where = taught
    teacher = keras.models.load_model(where.teacher(teacher["digest"]), compile=False)
    size = sizes.SIZES["tiny"]
    seen, models = set(), {}
    for name in contenders.names():
        chosen = contenders.contender(name)
        if name == contenders.TEACHER:
            continue
        # Each kind of model once: what contenders compile it with takes little time.
        fields = ("network", "scale", "kernel_quantizer", "from_teacher", "real")
        fields += ("taps", "discriminator")
        kind = json.dumps(
            [getattr(chosen, field) for field in fields]
            + [bool(chosen.settings.get("distillation"))]
        )
        if kind not in models:
            student = parts.student_of(chosen, size, teacher)
            models[kind] = parts.model_of(chosen, size, teacher, student)
        model = models[kind]
        training.compile_for(model, chosen, 1e-3, 10, 5)
        assert model.settings.uses_discriminators or "G" not in name
        run = training.Run("tiny", name, 1e-3, 0, "a teacher's")
        seen.add(run.digest())
    assert len(seen) == len(contenders.names()) - 1


def test_a_change_changes_its_contender_and_nothing_else():
    for question in contenders.QUESTIONS.values():
        base = contenders.contender(question.base)
        assert question.contender != base
    for base, change, field in [
        ("R", "scale per layer", "scale"),
        ("R+G, weight 0.1", "taps at stages", "taps"),
        ("R+G, weight 0.1", "16 units", "discriminator"),
    ]:
        changed = vars(contenders.contender(f"{base}, {change}"))
        same = vars(contenders.contender(base))
        assert [name for name in same if changed[name] != same[name]] == [field]


@pytest.mark.parametrize("network", ["rbcn", "birealnet"])
def test_larger_kernels_at_the_start(network):
    size = sizes.SIZES["tiny"]
    teacher = parts.network(size, "full_precision")
    usual = contenders.Contender(network)
    pair = [
        parts.student_of(chosen, size, teacher)
        for chosen in (usual, contenders._replaced(usual, magnitude=0.5))
    ]
    for name in ("stage1_block1_conv1", "stage3_block1_conv2"):
        small, large = (student.get_layer(name) for student in pair)
        np.testing.assert_array_equal(np.sign(small.kernel), np.sign(large.kernel))
        assert np.abs(small.kernel).mean() < 0.3
        assert 0.4 < np.abs(large.kernel).mean() <= 0.501
        assert np.abs(large.kernel).max() <= 1.0
        if network == "rbcn":
            expected = np.abs(large.kernel).mean((0, 1, 2))
            np.testing.assert_allclose(np.ravel(large.scale), expected, rtol=1e-5)
    real = [student.get_layer("stem_conv").kernel for student in pair]
    np.testing.assert_array_equal(*real)


def test_runs_are_done_once_and_by_one_process(tmp_path):
    where = places.Places(tmp_path, tmp_path)
    where.make()
    run = training.Run("tiny", "R", 3e-3, 0, "teacher")
    lock = tmp_path / f"{run.digest()}.lock"
    trained = mock.Mock(
        side_effect=lambda run, _: line("R", 0.8) | {"digest": run.digest()}
    )
    with mock.patch.object(study, "trained", trained):
        with study.claimed(lock) as ours:
            assert ours
            with study.claimed(lock) as theirs:
                assert not theirs
            study.train_once(run, where, wait=False)
            assert not trained.called
            # One that waits goes on where the other one was stopped.
            waiting = threading.Thread(target=study.train_once, args=(run, where, True))
            waiting.start()
            waiting.join(0.2)
            assert waiting.is_alive()
            assert not trained.called
        waiting.join(60)
        assert not waiting.is_alive()
        study.train_once(run, where, wait=True)
    trained.assert_called_once_with(run, where)
    assert study.done(where.lines) == {run.digest()}


def test_the_command_goes_from_teachers_to_students(tmp_path, monkeypatch):
    """A repeat into an empty folder, whose teachers are known only when trained."""
    names = [
        "R, distillation, teacher and start: its blocks, 10 epochs",
        contenders.LIKE_STUDENT_TAUGHT,
        contenders.TEACHER,
    ]
    before = tmp_path / "before.jsonl"
    before.write_text("\n".join(json.dumps(line(name, 0.8)) for name in names))
    calls = []

    def trained(run, _):
        calls.append(run)
        return line(run.contender, 0.8) | {"digest": run.digest()}

    arguments = ["--repeat", before, "--results", tmp_path / "r", "--work", tmp_path]
    monkeypatch.setattr("sys.argv", ["study.py", *map(str, arguments)])
    with (
        mock.patch.object(study, "trained", trained),
        mock.patch.object(study, "claimed", wraps=study.claimed) as claimed,
        mock.patch.object(study.tf.config.experimental, "enable_op_determinism"),
    ):
        study.main()
        waits = [call.args[1] for call in claimed.call_args_list]
        study.main()
    assert [run.contender for run in calls] == names[::-1]
    usual, between, student = calls
    assert (usual.teacher, between.teacher) == (None, usual.digest())
    assert student.teacher == between.digest()
    # Of each stage first what no other process is at, then the rest.
    assert waits == [False, True] * 3


def test_rates_are_chosen_by_the_first_seed_of_each_size():
    rows = [
        line("R", 0.80, rate=1e-3),
        line("R", 0.82, rate=3e-3),
        line("R", 0.99, rate=1e-3, seed=1),
        line("R", 0.99, rate=1e-2, size="large"),
        line("R+G", 0.81, rate=1e-2),
        line(contenders.TEACHER, 0.9, rate=1e-3),
        line(contenders.TEACHER, 0.8, rate=3e-3),
        line(contenders.TEACHER, 0.95, rate=3e-3, size="large"),
    ]
    assert lines.best_rate(rows, "R", "small") == 3e-3
    assert lines.best_rate(rows, "R", "large") == 1e-2
    # Networks that are as large, with another budget, take over what was chosen.
    assert (
        lines.best_rate(rows, "R", "long") == lines.best_rate(rows, "R", "few") == 3e-3
    )
    # A question is asked at the rate of the contender that it changes.
    assert lines.best_rate(rows, "R, scale per layer", "small") == 3e-3
    assert lines.best_rate(rows, "R+G, weight 0.1, log", "small") == 1e-2
    assert lines.best_rate(rows, "R+G+B", "small") is None
    assert lines.best_rate(rows, contenders.TEACHER, "small") == 1e-3
    assert lines.best_rate(rows, contenders.TEACHER, "large") == 3e-3
    teacher = f"{contenders.TEACHER}-0-0.001-small"
    assert lines.best_teacher(rows, "small") == teacher
    assert lines.best_teacher(rows, "digits") is None
    # Longer training is with the same teacher.
    assert lines.best_teacher(rows, "long") == teacher
    assert lines.best_rate(rows, contenders.TEACHER, "long") == 1e-3


def test_a_run_is_known_by_what_it_does_not_by_its_name():
    known = contenders.settings_of("R+G")
    assert known["network"] == "rbcn"
    assert known["settings"]["adversarial_loss"] == "least_squares"
    same = contenders.Question("R", "another name", contenders.contender("R+G"))
    with mock.patch.dict(contenders.QUESTIONS, {"R, another name": same}):
        runs = [
            training.Run("small", name, 1e-2, 0) for name in ("R+G", "R, another name")
        ]
        assert runs[0].digest() == runs[1].digest()
        found = lines.of([line("R+G", 0.8)], "small", "R, another name")
        assert [row["validation_accuracy"] for row in found] == [0.8]
    assert runs[0].digest() != training.Run("small", "R", 1e-2, 0).digest()


def lines_of_three(adversarial, size="small", **fields):
    """Lines of a teacher, the plain student and one with discriminators."""
    own = {"size": size, **fields}
    return [
        line(contenders.TEACHER, 0.90, validation_agreement=1.0, **own),
        *(line("Bi-Real Net", 0.80 + d, seed=s, **own) for s, d in SEEDS),
        *(line("R+G", adversarial + d, seed=s, **own) for s, d in SEEDS),
    ]


SEEDS = [(0, -0.01), (1, 0.0), (2, 0.01)]  # The standard deviation is 0.01.


@pytest.mark.parametrize(
    ("accuracy", "over", "aim"),
    [
        (0.86, "6.00 ± 0.00 points over .* over it is met", "60% .*half is met"),
        (0.82, "2.00 ± 0.00 points over .* over it is met", "20% .*half is missed"),
        (0.805, "0.50 ± 0.00 points over .* over it is missed", "5% .*missed"),
        (0.795, "0.50 ± 0.00 points below .* over it is missed", "-5% .*missed"),
    ],
)
def test_the_report_says_what_the_lines_say(accuracy, over, aim, tmp_path):
    text = report.document(lines_of_three(accuracy), tmp_path, places.Places(tmp_path))
    assert re.search(f"tuned here, as R\\+G, is {over}", text)
    assert re.search(f"at its best as R\\+G, closes {aim}", text)
    row = next(part for part in text.split("\n") if part.startswith("| R+G | 3"))
    share = f"{100 * (accuracy - 0.8) / 0.1:.0f}%"
    assert f"| {100 * accuracy:.2f} ± 1.00 | {share} |" in row
    assert "Accuracy on the validation images" in text
    assert {path.name for path in tmp_path.iterdir()} == {
        "accuracy-small.png",
        "discriminators-small.png",
    }


def found_with(**contenders_values):
    """The contenders of a size, with accuracies seed by seed."""
    named = {name.replace("_", "+"): v for name, v in contenders_values.items()}
    named = {"Bi-Real Net": [0.79, 0.80, 0.81], contenders.TEACHER: [0.9], **named}
    rows = {
        name: [line(name, value, seed) for seed, value in enumerate(values)]
        for name, values in named.items()
    }
    return ablation.Found("The networks", rows, "validation_accuracy")


@pytest.mark.parametrize(
    ("with_it", "told"),
    [
        # Seed by seed it adds 2 points; seeds differ by 1.
        ([0.81, 0.82, 0.83], "Clearly gained by adding rectification .*\\+2.00 ± 0.00"),
        ([0.77, 0.78, 0.79], "Clearly lost by adding rectification .*-2.00 ± 0.00"),
        # Student's t with two degrees of freedom is 4.30: 2.48 standard deviations.
        ([0.82, 0.82, 0.84], "Clearly gained .*\\+2.67 ± 0.58"),
        ([0.82, 0.81, 0.83], "More than the spread, but not clearly, is gained"),
        ([0.78, 0.79, 0.77], "More than the spread, but not clearly, is lost"),
        # Always half a point more, but seeds differ by 1.
        ([0.795, 0.805, 0.815], "Within the spread are rectification .*\\+0.50 ± 0.00"),
        # Two points more on average, but that depends on the seed.
        ([0.86, 0.82, 0.78], "Within the spread are rectification .*\\+2.00 ± 5.00"),
        ([0.9, 0.9], None),  # Too few seeds.
    ],
)
def test_a_part_pays_if_it_adds_more_than_seeds_differ_by(with_it, told):
    sentences = conclusion.what_pays(found_with(R=with_it))
    assert len(sentences) == (told is not None)
    assert told is None or re.search(told, sentences[0])


def test_what_each_part_adds_over_the_seeds_that_both_have():
    sizes = [found_with(R=[0.81, 0.83], R_G=[0.80, 0.80, 0.99]), found_with(R=[0.8])]
    table = ablation.ablation_table(sizes).splitlines()
    assert table[0] == "| part | added to | networks | networks |"
    assert table[2:] == [
        "| rectification | Bi-Real Net | +2.50 ± 0.71 (2) | +1.00 (1) |",
        "| discriminators | R | -2.00 ± 1.41 (2) |  |",
    ]
    # Two points more with each seed are clear; half a point, where seeds differ by one,
    # is not, however surely it is there.
    sizes = [found_with(R=[0.81, 0.82, 0.83]), found_with(R=[0.795, 0.805, 0.815])]
    assert ablation.ablation_table(sizes).splitlines()[2] == (
        "| rectification | Bi-Real Net | **+2.00 ± 0.00 (3)** | +0.50 ± 0.00 (3) |"
    )
    for step in ablation.STEPS:
        assert {step.without, step.with_it} <= contenders.CONTENDERS.keys()


def test_the_best_student_is_named():
    found = found_with(R=[0.83, 0.83, 0.83], R_G=[0.82, 0.82, 0.82])
    (sentence,) = conclusion.best_student(found)
    assert (
        "chosen by validation accuracy, is R, with 83.00 ± 0.00 %, which closes 30% of"
        in sentence
    )
    lucky = found_with(R=[0.83, 0.83, 0.83], R_G=[0.89])
    assert conclusion.best_student(lucky) == [sentence]
    assert conclusion.best_student(found_with()) == []


def test_the_full_method_is_told_beside_what_it_is_without_discriminators():
    values = {
        "R+G, pretrained, distillation": [0.85, 0.85, 0.88],
        "R, pretrained, distillation": [0.86, 0.86, 0.86],
        "Bi-Real Net, pretrained, distillation": [0.84],
    }
    found = found_with(**values)
    (sentence,) = conclusion.aims(found)
    # Seed by seed: 6 of 11 points, 5 of 10, 7 of 9.
    assert (
        "closes 60% of the gap between Bi-Real Net and the teacher (50 to 78% seed"
        in sentence
    )
    assert "without discriminators, R, pretrained, distillation, closes 60%" in sentence
    assert "and Bi-Real Net, pretrained, distillation, closes 40%" in sentence
    for name in conclusion.FULL:
        assert {name, *conclusion.WITHOUT[name]} <= contenders.CONTENDERS.keys()


def test_each_contender_is_described():
    table = described.contender_table(contenders.CONTENDERS).splitlines()[2:]
    cells = {row.split(" | ")[0].strip("| "): row for row in table}
    assert cells.keys() == contenders.CONTENDERS.keys()
    assert len({row.partition(" | ")[2] for row in table}) == len(table)
    paper = cells["RBCN as in its paper"]
    assert "`approx_sign`" in paper
    assert "discriminators 1, least squares; kernel loss 0.0001, straight" in paper
    assert "strategy B each epoch, at 0.1 of the rate" in paper
    assert paper.count("|") == 7


def test_other_budgets_and_networks_in_full_precision_have_tables():
    rows = [
        line("R", 0.80),
        line("R", 0.91, size="long"),
        line("R", 0.93, size="long", seed=1),
        line("R, scale per layer", 0.70, size="large_triple", rate=1e-2),
        line(contenders.TEACHER, 0.85, size="few"),
        line(contenders.TEACHER, 0.95),
        line(contenders.LIKE_STUDENT, 0.94, size="large"),
    ]
    assert tables.budget_table(rows).splitlines()[2:] == [
        "| small | 50,000 | 40 | R | 0.003 | 2 | 92.00 ± 1.41 |",
        "| small | 25 times 2,000 | 20 | full precision | 0.003 | 1 | 85.00 |",
        "| large | 50,000 | 30 | R, scale per layer | 0.01 | 1 | 70.00 |",
    ]
    assert tables.full_precision_table(rows).splitlines()[2:] == [
        "| large | the student's blocks | 0.003 | 94.00 |",
        "| small | full precision | 0.003 | 95.00 |",
    ]


def test_one_seed_has_no_spread_to_be_beaten(tmp_path):
    rows = [row for row in lines_of_three(0.86) if row["seed"] == 0]
    text = report.document(rows, tmp_path, places.Places(tmp_path))
    assert "by more than the seeds' spread" not in text
    assert "closes 55% of the gap" in text


def test_the_best_student_is_told_with_those_that_are_as_good():
    found = found_with(R=[0.83, 0.84, 0.85], R_G=[0.83, 0.83, 0.85])
    (told,) = conclusion.best_student(found)
    assert "is R, with 84.00 ± 1.00 %, which closes 40% of that gap." in told
    assert told.endswith("Within the spread of it: R+G.")
    (told,) = conclusion.best_student(found_with(R=[0.83, 0.84, 0.85]))
    assert told.endswith("of that gap.")


def test_the_report_says_what_is_lacking(tmp_path):
    text = report.document(lines_of_three(0.85), tmp_path, places.Places(tmp_path))
    (lacking,) = re.findall(r"- The small networks: (.*)", text)
    # Of these there are three seeds each.
    enough = {contenders.TEACHER, "Bi-Real Net", "R+G"}
    wanted = contenders.CONCLUSIVE["small"]
    assert lacking.split("; ") == [name for name in wanted if name not in enough]
    rows = [line_of(name, seed) for name in contenders.CONTENDERS for seed, _ in SEEDS]
    text = report.document(rows, tmp_path, places.Places(tmp_path))
    assert "Not finished" not in text


def test_the_report_says_how_long_contenders_train(tmp_path):
    where = places.Places(tmp_path)
    assert " x |" not in report.document(lines_of_three(0.85), tmp_path, where)
    where.epoch_time("small").write_text('{"ratio": {"R+G": 2.5}}')
    text = report.document(lines_of_three(0.85), tmp_path, where)
    (row,) = (part for part in text.split("\n") if " x |" in part)
    assert row.startswith("| R+G | 3")
    assert row.endswith(" 2.50 x |")


def test_times_are_those_to_the_plain_student(taught, monkeypatch):
    row, where = taught
    names = (contenders.TEACHER, "Bi-Real Net", "R+G")
    few = {name: contenders.CONTENDERS[name] for name in names}
    monkeypatch.setattr(contenders, "CONTENDERS", few)
    monkeypatch.setattr(epoch_time, "ROUNDS", 1)
    monkeypatch.setattr(epoch_time, "STEPS", 2)
    where.lines.write_text(json.dumps(row) + "\n")
    result = epoch_time.measured("tiny", where)
    assert result["ratio"]["Bi-Real Net"] == 1.0
    milliseconds = result["milliseconds_per_step"]
    for name in names:
        expected = milliseconds[name] / milliseconds["Bi-Real Net"]
        assert result["ratio"][name] == pytest.approx(expected)
        assert f"| {name} | {milliseconds[name]:.0f} |" in epoch_time.markdown(result)


def line_of(name, seed):
    accuracy = 0.9 if name == contenders.TEACHER else 0.8
    return line(name, accuracy, seed=seed, validation_agreement=1.0)


def test_the_report_compares_a_change_at_the_same_rate_and_seed(tmp_path):
    rows = [
        *lines_of_three(0.85),
        line("R+G", 0.70, rate=1e-2),
        line("R+G", 0.80, rate=1e-2, seed=1),
        line("R+G, weight 1", 0.75, rate=1e-2),
        line("R+G, weight 1", 0.83, rate=1e-2, seed=1),
        line("R+G, weight 1", 0.90, rate=1e-2, seed=2),
        line("R+G, approx_sign kernels", 0.75, rate=1e-2, seed=3),
        line("R+G, weight 0.1", 0.69, rate=1e-2),
    ]
    text = report.document(rows, tmp_path, places.Places(tmp_path))
    assert (
        "| R+G | weight 1 | 0.01 | 3 | 82.67 ± 7.51 | +4.00 ± 1.41 "
        "(seeds in common: 2) |" in text
    )
    assert "| R+G | approx_sign kernels | 0.01 | 1 | 75.00 | not run without |" in text
    assert "| R+G | weight 0.1 | 0.01 | 1 | 69.00 | -1.00 |" in text


def runs_behind(paragraphs, best):
    """Contender, rate and size of all runs that figures are of, and the best rate."""
    found = {}
    for paragraph in paragraphs:
        for one in paragraph.figures.values():
            rate = getattr(one, "learning_rate", None) or best
            if isinstance(one, figures.Runs):
                found[one.contender, rate, one.size] = None
            elif not isinstance(one, figures.Counted):
                for name in (one.with_it, one.without):
                    found[name, rate, one.size] = None
    return list(found)


def test_findings_are_told_with_the_figures_of_their_lines():
    told = [one for f in findings.FINDINGS for one in f.figures.values()]
    rows = [
        line(name, accuracy + delta, rate=rate, seed=seed, size=size)
        for name, rate, size in runs_behind(findings.FINDINGS, 1e-2)
        for accuracy in [0.75 if name == contenders.PLAIN else 0.80]
        for seed, delta in SEEDS
    ]
    teacher = line(contenders.TEACHER, 0.95)
    text = findings.findings([*rows, teacher])
    shares = [one for one in told if isinstance(one, figures.Share)]
    kinds = (figures.Difference, figures.Gain)
    differences = [one for one in told if isinstance(one, kinds)]
    runs = [one for one in told if type(one) is figures.Runs]
    plain = [one for one in runs if one.contender == contenders.PLAIN]
    # The share that the plain student closes of its own gap is 0.
    assert text.count("25%") + text.count(" 0%") == len(shares)
    assert text.count("75.00 ± 1.00 % (3 seeds)") == len(plain)
    assert text.count("80.00 ± 1.00 % (3 seeds)") == len(runs) - len(plain)
    over = [one for one in differences if one.without == contenders.PLAIN]
    assert text.count("+5.00 ± 0.00") == len(over) > 0
    assert text.count("+0.00 ± 0.00") == len(differences) - len(over)
    assert "{" not in text
    # One of which a figure is missing is left out.
    names = {runs.contender for runs in findings.FINDINGS[0].figures.values()}
    fewer = [row for row in rows if row["contender"] not in names]
    assert findings.FINDINGS[0].told(fewer) == ""
    assert findings.findings([]) == ""


def test_a_gain_is_over_the_seeds_that_both_have():
    rows = [line("R", 0.80), line("R", 0.83, seed=1), line("R", 0.5, rate=1e-2)]
    gain = figures.Gain("R+G", "R")
    assert gain.told(rows) == ""
    rows.append(line("R+G", 0.81, rate=1e-2))
    assert gain.told(rows) == "+1.00 (one seed)"
    rows.append(line("R+G", 0.82, rate=1e-2, seed=1))
    assert gain.told(rows) == "+0.00 ± 1.41"
    assert gain._replace(size="large").told(rows) == ""
    # Which rate is best is known by the first seed.
    assert figures.Runs("R", None).told(rows) == "81.50 ± 2.12 % (2 seeds)"
    assert figures.Runs("R", 1e-2).told(rows) == "50.00 % (one seed)"


def test_the_verdict_is_told_with_its_figures():
    rows = [
        line(name, 0.8 + delta, rate=rate, seed=seed, size=size)
        for name, rate, size in runs_behind(findings.VERDICT, 3e-2)
        for seed, delta in SEEDS
    ]
    text = findings.verdict(rows)
    assert text.count("**") == 2 * len(findings.VERDICT)
    assert "{" not in text
    assert "by +0.00 ± 0.00 points when they are added to R" in text
    assert "here** (on the validation images)" in text
    assert findings.verdict(rows[3:]) != text
    # Once all have been tested, gains are of the test images.
    judged = ("R+G", "R")
    seen = [{**r, "test_accuracy": 0.5 + (r["contender"] in judged) / 9} for r in rows]
    text = findings.verdict(seen)
    assert "here** (on the test images)" in text
    assert "change Bi-Real Net by +11.11 ± 0.00" in text
    assert text.count("80.00 ± 1.00 %") == 6
    assert "(on the validation" in findings.verdict([*seen[1:], rows[0]])


def test_one_far_behind_does_not_squeeze_the_others(tmp_path):
    found = found_with(R=[0.82], R_G=[0.2, 0.21]).rows
    with mock.patch.object(plots.Figure, "savefig", autospec=True) as saved:
        plots.plot_accuracies(
            found, "validation_accuracy", contenders.TEACHER, tmp_path / "a.png"
        )
    (axes,) = saved.call_args.args[0].axes
    left, right = axes.get_xlim()
    assert 70 < left < 79
    assert right > 90
    (note,) = axes.texts
    assert note.get_text().endswith("20.50")
    assert axes.get_yticklabels()[int(note.xy[1])].get_text() == "R+G"


def test_test_images_are_for_the_last_step(tmp_path):
    rows = lines_of_three(0.85)
    seen = [{**r, "test_accuracy": r["validation_accuracy"] - 0.3} for r in rows]
    text = report.document(seen, tmp_path, places.Places(tmp_path))
    assert "Accuracy on the test images" in text
    assert "| 55.00 ± 1.00 | 50% |" in text
    assert "bytes" not in text
    seen = [{**r, "tflite_bytes": 5000 + len(r["contender"])} for r in seen]
    text = report.document(seen, tmp_path, places.Places(tmp_path))
    (header,) = (part for part in text.split("\n") if part.endswith(" bytes |"))
    (row,) = (part for part in text.split("\n") if part.endswith(" | 5,011 |"))
    assert row.startswith("| Bi-Real Net |")
    assert header.count("|") == row.count("|")
    assert "file has 5,003 bytes, and 5,011 that of Bi-Real Net" in text


def test_networks_are_tested_when_all_have_been_trained():
    names = contenders.CONCLUSIVE["large"]
    students = [name for name in names if name != contenders.TEACHER]
    rows = [
        line(contenders.TEACHER, 0.9, size="large"),
        *(line(n, 0.8, seed, size="large") for seed, _ in SEEDS for n in students),
    ]
    assert last_step.to_test(rows, "large") == sorted(
        rows, key=lambda row: (names.index(row["contender"]), row["seed"])
    )
    last = re.escape(students[-1])
    with pytest.raises(SystemExit, match=rf"fewer than 3 seeds of \['{last}'\]"):
        last_step.to_test(rows[:-1], "large")
    with pytest.raises(SystemExit, match=r"seeds of .*full precision"):
        last_step.to_test(rows[1:], "large")
    # Of those that are not of the conclusion there may be fewer.
    more = line("ReActNet", 0.85, size="large")
    assert more in last_step.to_test([*rows, more], "large")


def test_accuracies_in_documents_are_those_of_the_lines():
    root = places.RESULTS.parents[2]
    known, means = set(), collections.defaultdict(list)
    for row in lines.read_lines(places.RESULTS / "runs.jsonl"):
        accuracy = 100 * row["validation_accuracy"]
        known.add(f"{accuracy:.2f}")
        means[row["size"], str(row["settings"]), row["learning_rate"]].append(accuracy)
    known.update(f"{np.mean(values):.2f}" for values in means.values())
    text = (root / "docs" / "training.md").read_text("utf-8")
    told = re.findall(r"(\d\d\.\d\d) %", text)
    assert len(told) > 10
    assert [figure for figure in told if figure not in known] == []


def test_the_readme_has_the_figures_of_the_test_images():
    found = report.judged_sizes(lines.read_study(places.Places()))["large"]
    assert found.figure == "test_accuracy"
    readme = (places.RESULTS.parents[2] / "README.md").read_text("utf-8")
    for words, name in (
        ("full precision", contenders.TEACHER),
        ("1 bit: Bi-Real Net in plain larq", "Bi-Real Net"),
        ("1 bit: scales and distillation", "R, distillation"),
        (
            "1 bit: the same, from its own blocks in full precision",
            "R, pretrained, distillation",
        ),
    ):
        row = f"| {words} | {found.score(name)} | {found.file_size(name):,} |"
        assert row in readme
    other = found.score("Bi-Real Net, pretrained, distillation")
    assert f"has {other} %." in readme


@pytest.mark.parametrize("size", ["small", "large"])
def test_the_committed_networks_can_be_tested(size):
    found = last_step.to_test(lines.read_lines(places.RESULTS / "runs.jsonl"), size)
    # Some ran under names that have gone, or that are of others now.
    assert {row["contender"] for row in found} == set(contenders.contenders_at(size))
    for row in found:
        assert row["settings"] == contenders.settings_of(row["contender"])
        assert places.Places().answers(row["digest"]).is_file()


def test_a_network_of_the_conclusion_becomes_a_file(taught, tmp_path):
    teacher, where = taught
    run = training.Run("tiny", "R", 3e-3, 0, teacher["digest"])
    row = training.trained(run, where)
    found = last_step.tested(row, where)
    assert found["digest"] == row["digest"]
    network = keras.models.load_model(where.student(row["digest"]))
    x, y = study_images.images("digits", 256).test
    answers = network.predict(x, verbose=0).argmax(-1)
    assert np.mean(answers == y) == found["test_accuracy"]
    # A fresh network's file is smaller: it has equal constants, stored once.
    exported = rbcn.export_tflite(network, tmp_path / "model.tflite", x)
    assert found["tflite_bytes"] == exported.bytes

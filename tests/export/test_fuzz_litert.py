"""Random networks for the stock runtime: never silently float, never silently wrong.

`make fuzz` runs more of them, other ones each time. What it finds becomes a test in
`test_found_in_fuzz.py`.
"""

import hypothesis
from fuzzing import FUZZED, Outcomes, outcome
from hypothesis import strategies as st


def test_random_networks(tmp_path_factory):
    outcomes = Outcomes()

    @FUZZED
    @hypothesis.given(data=st.data(), seed=st.integers(0, 2**16))
    def export_litert(data, seed):
        path = tmp_path_factory.mktemp("network") / "model.tflite"
        outcomes.note(outcome(data, seed, "litert", path))

    export_litert()
    outcomes.assert_hardly_refused()

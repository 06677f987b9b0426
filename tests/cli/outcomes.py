"""What a command left behind."""


def assert_user_error(result, *fragments):
    """Asserts that a command ended with one line, an error of its user."""
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    for fragment in fragments:
        assert fragment in line


def files_in(folder):
    """All that is in a folder, to see whether a command changed it."""
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}

"""Options of the command line that cannot mean anything."""

import pytest

from effdet_runtime.__main__ import main


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--port", "80", "no whole number from 1024 to 65535"),
        ("--port", "70000", "no whole number from 1024 to 65535"),
        ("--instances", "0", "no whole number of at least 1"),
        ("--deadline", "nan", "no number above 0"),
        ("--deadline", "inf", "no number above 0"),
        ("--deadline", "soon", "no number above 0"),
        ("--body-seconds", "0", "no number above 0"),
        ("--max-pixels", "178956971", "no whole number from 1 to 178956970"),
    ],
)
def test_an_option_of_the_service_that_cannot_mean_anything_is_refused(
    option, value, words, capsys
):
    with pytest.raises(SystemExit):
        main(["serve", "--bundle", "none", option, value])
    assert f"{option}: {value} is {words}" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["nan", "1.1", "-0.1", "half"])
def test_a_score_that_no_detection_can_have_is_refused(value, capsys):
    with pytest.raises(SystemExit):
        main(["detect", "a.jpg", "--bundle", "none", f"--min-score={value}"])
    assert f"--min-score: {value} is no number from 0 to 1" in capsys.readouterr().err

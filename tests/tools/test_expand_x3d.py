"""tools/expand_x3d.py in this process: the paper's ladder, and wrong usage."""

import runpy


def _main(repository):
    return runpy.run_path(str(repository / "tools" / "expand_x3d.py"))["main"]


def test_the_ladder_of_the_paper(repository, capsys):
    assert _main(repository)(["--replay-paper"]) == 0
    lines = capsys.readouterr().out.splitlines()
    named = [line for line in lines if line.split()[-1].startswith("X")]
    assert [line.split()[-1] for line in named] == [
        "X2D", "X3D-XS", "X3D-S", "X3D-M", "X3D-L", "X3D-XL",
    ]  # fmt: skip
    assert "13 x 6   160        2.25    2.2      1   1,962,892,112   3,794,322" in named[2]
    assert len(lines) == 1 + 12 + 1  # the head, X2D and eleven steps, S beside its step


def test_wrong_usage(repository, capsys):
    main = _main(repository)
    assert main([]) == 2
    assert "give --config FILE, or --replay-paper" in capsys.readouterr().err
    assert main(["--config", "expand_kinetics_mini.yaml", "--ray", "--slurm"]) == 2
    assert main(["--config", "expand_kinetics_mini.yaml", "--workers", "0"]) == 1
    assert "runner.workers = 0" in capsys.readouterr().err


def test_the_runner_of_an_option_is_a_setting(repository, capsys):
    main = _main(repository)
    assert main(["--config", "expand_ava_mini.yaml", "--slurm", "--print-config"]) == 0
    assert "kind: slurm" in capsys.readouterr().out

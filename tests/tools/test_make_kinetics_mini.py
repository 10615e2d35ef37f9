"""The command that makes the generated Kinetics: makes, reuses, refuses."""

import runpy


def test_the_command_makes_reuses_and_refuses(tmp_path, repository, capsys):
    main = runpy.run_path(str(repository / "tools" / "make_kinetics_mini.py"))["main"]
    words = ["--train-clips", "2", "--val-clips", "1", "--workers", "1"]
    words += ["--classes", "walk", "stand"]
    folder = str(tmp_path / "made")
    assert main(["--output-dir", folder, *words]) == 0
    made = capsys.readouterr().out
    assert f"{folder}: made in" in made
    assert "train: 4 clips of 2 classes, 2 each" in made
    assert "classes: stand, walk" in made
    assert (tmp_path / "made" / "val.csv").read_text().split() == [
        "val/stand/stand_0000.mp4",
        "0",
        "val/walk/walk_0000.mp4",
        "1",
    ]
    assert main(["--output-dir", folder, *words]) == 0
    assert f"{folder}: stands already" in capsys.readouterr().out
    assert main(["--output-dir", folder, "--train-clips", "0"]) == 1
    assert "train_clips_per_class = 0 is below 1" in capsys.readouterr().err
    assert main(["--train-clips", "many"]) == 2

from x3d_det.io.label_map import ava_label_map
from x3d_det.visualization.names import short_action_names


def test_brackets_go():
    names = {
        80: "talk to (e.g., self, a person, a group)",
        17: "carry/hold (an object)",
        12: "stand",
        78: "take (an object) from (a person)",
    }
    assert short_action_names(names) == {
        80: "talk to",
        17: "carry/hold",
        12: "stand",
        78: "take from",
    }


def test_names_that_would_be_the_same_keep_the_words_that_differ():
    names = {1: "kick (an object)", 2: "kick (a person)", 3: "watch (e.g., TV)", 4: "watch (a cat)"}
    assert short_action_names(names) == {
        1: "kick an object",
        2: "kick a person",
        3: "watch TV",
        4: "watch a cat",
    }


def test_names_that_stay_the_same_are_left_whole():
    names = {1: "turn (e.g., a key, left)", 2: "turn (e.g., a key, right)", 3: "(odd)"}
    assert short_action_names(names) == names


def test_all_80_actions_of_ava_stay_apart_and_get_short():
    names = ava_label_map(80).names
    short = short_action_names(names)
    assert short.keys() == names.keys()
    assert len(set(short.values())) == 80
    assert max(map(len, short.values())) == 27  # text on/look at a cellphone
    assert not any("(" in name for name in short.values())


def test_no_names():
    assert short_action_names({}) == {}

"""Detectron2's models and configs: found by name, published weights, refusals."""

from pathlib import Path
from types import ModuleType

import pytest
from detectron2_cases import detectron2_detector_of, imported_detectron2, write_config

from x3d_det.errors import ConfigError
from x3d_det.io.download import DownloadError
from x3d_det.persons import detectron2_models
from x3d_det.persons.detector import PersonDetectorOptions, make_person_detector

pytest.importorskip("detectron2")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:torch.*")


def test_the_ava_tuned_model_has_lfb_s_settings():
    cfg = detectron2_models.detectron2_config("X101-FPN-AVA", imported_detectron2())
    assert cfg.MODEL.ROI_HEADS.NUM_CLASSES == 1
    assert cfg.MODEL.PIXEL_STD == [1.0, 1.0, 1.0]
    assert cfg.MODEL.PIXEL_MEAN == [102.9801, 115.9465, 122.7717]
    assert cfg.MODEL.ROI_BOX_HEAD.POOLER_TYPE == "ROIAlign"
    assert cfg.MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO == 2
    assert (cfg.MODEL.RESNETS.DEPTH, cfg.MODEL.RESNETS.NUM_GROUPS) == (101, 32)
    assert cfg.MODEL.ROI_HEADS.NMS_THRESH_TEST == 0.5
    assert (cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST) == (800, 1333)


@pytest.mark.parametrize(("name", "depth"), [("R50-FPN", 50), ("X101-FPN", 101)])
def test_the_coco_models_have_their_configs(name: str, depth: int):
    cfg = detectron2_models.detectron2_config(name, imported_detectron2())
    assert depth == cfg.MODEL.RESNETS.DEPTH
    assert cfg.MODEL.ROI_HEADS.NUM_CLASSES == 80
    assert cfg.MODEL.MASK_ON is False


def test_published_weights_lie_where_detectron2_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from detectron2.utils.file_io import PathManager
    from iopath.common import file_io

    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    published = detectron2_models.published_detectron2_weights("R50-FPN")
    published.path.parent.mkdir(parents=True)
    published.path.write_bytes(b"weights")
    # Detectron2 finds the file there, and asks no server.
    monkeypatch.setattr(file_io, "download", lambda *_arguments, **_options: pytest.fail("asked"))
    name = "COCO-Detection/faster_rcnn_R_50_FPN_3x/137849458/model_final_280758.pkl"
    assert PathManager.get_local_path(f"detectron2://{name}") == str(published.path)
    assert published.url == f"https://dl.fbaipublicfiles.com/detectron2/{name}"


def test_weights_that_cannot_be_had_name_url_path_and_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def no_network(url: str, path: Path, **_options: object) -> None:
        raise DownloadError(f"{url}: no answer.")

    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    monkeypatch.setattr("x3d_det.io.published.download", no_network)
    with pytest.raises(DownloadError) as caught:
        make_person_detector(PersonDetectorOptions(backend="detectron2"))
    text = str(caught.value)
    assert (
        "no answer. Start again later, put https://dl.fbaipublicfiles.com/detectron2/COCO-" in text
    )
    assert f"280758.pkl at {tmp_path}/detectron2/COCO-Detection/faster_rcnn_R_50_FPN_3x/" in text
    assert "--weights" in text


def test_models_and_configs_that_do_not_fit_are_named(tmp_path: Path, weights: Path):
    with pytest.raises(ConfigError, match=r"'R50-FPM' is none.*did you mean R50-FPN\?; there are"):
        detectron2_detector_of("R50-FPM", weights)
    with pytest.raises(
        ConfigError, match=r"config nowhere.yaml does not exist, nor lies it in .*configs"
    ):
        detectron2_detector_of("nowhere.yaml", weights)
    own = write_config(tmp_path / "own.yaml")
    with pytest.raises(
        ConfigError, match=r"own.yaml is your own config; name its weights with --w"
    ):
        detectron2_detector_of(own, None)
    (tmp_path / "typo.yaml").write_text("MODEL: {NUMBER: 3}")
    with pytest.raises(
        ConfigError, match=r"typo.yaml: no config .*Non-existent config key: MODEL.NU"
    ):
        detectron2_detector_of(tmp_path / "typo.yaml", weights)
    (tmp_path / "broken.yaml").write_text("MODEL: {")
    with pytest.raises(ConfigError, match=r"broken.yaml: no config that Detectron2 takes: while"):
        detectron2_detector_of(tmp_path / "broken.yaml", weights)
    proposals = "COCO-Detection/rpn_R_50_FPN_1x.yaml"  # found among Detectron2's own
    with pytest.raises(ConfigError, match=r"META_ARCHITECTURE is ProposalNet.*GeneralizedRCNN"):
        detectron2_detector_of(proposals, weights)
    unknown = write_config(tmp_path / "unknown.yaml", more="  BACKBONE: {NAME: build_nothing}")
    with pytest.raises(ConfigError, match=r"unknown.yaml cannot be built: .*build_nothing"):
        detectron2_detector_of(unknown, weights)


def test_configs_are_found_in_an_install_and_in_a_bare_source_tree(tmp_path: Path):
    package = ModuleType("detectron2")
    package.__file__ = str(tmp_path / "detectron2" / "__init__.py")
    name = "COCO-Detection/some.yaml"

    def find() -> Path:
        return detectron2_models.find_config(name, package)

    beside = tmp_path / "configs" / name
    with pytest.raises(ConfigError, match=f"nor lies it in {tmp_path}/detectron2/model_zoo/config"):
        find()
    beside.parent.mkdir(parents=True)
    beside.touch()
    assert find() == beside
    within = tmp_path / "detectron2" / "model_zoo" / "configs" / name
    within.parent.mkdir(parents=True)
    within.touch()
    assert find() == within


def test_a_config_that_would_run_code_is_refused_and_runs_nothing(tmp_path: Path, weights: Path):
    canary = tmp_path / "canary"
    evil = tmp_path / "evil.yaml"
    evil.write_text(f"MODEL: !!python/object/apply:os.mkdir ['{canary}']\n")
    with pytest.raises(
        ConfigError, match=r"evil.yaml: no config .*could not determine a constructor"
    ):
        detectron2_detector_of(evil, weights)
    assert not canary.exists()

"""Install x3d_det: `pip install -e .` to use it, `pip install -e ".[dev]"` to work on it.

Detectron2 is on no package index and is therefore never a requirement; person boxes
come from a csv, or from a detector that is imported on use alone.
"""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent

setup(
    name="x3d_det",
    version="0.1.0",
    description="Spatiotemporal action detection with X3D: who does what in a video",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    packages=find_packages(include=["x3d_det", "x3d_det.*"]),
    package_data={
        "x3d_det": ["py.typed"],
        "x3d_det.io": ["*.csv"],
        "x3d_det.evaluation.analysis": ["*.jinja"],
    },
    python_requires=">=3.10",
    install_requires=[
        "torch>=2.6",
        "torchvision>=0.21",
        "av>=15",
        "numpy>=1.26",
        "pandas>=2.2",
        "pyarrow>=16",  # reads AVA csv files correctly rounded, and ten times faster
        "pycocotools>=2.0.8",
        "pydantic>=2.7",
        "PyYAML>=6.0",
        "rich>=13",
        "tensorboard>=2.16",
        "safetensors>=0.4.3",
        "Pillow>=10.1",  # the first with a scalable font inside
        "matplotlib>=3.8",
        "requests>=2.31",
        "defusedxml>=0.7.1",
        "Jinja2>=3.1",
        "scipy>=1.11",
    ],
    extras_require={
        "track": ["trackers>=2.6"],
        "slurm": ["submitit>=1.5"],
        "ray": ["ray>=2.9"],
        "dev": [
            "pytest>=8",
            "pytest-xdist>=3.5",
            "pytest-timeout>=2.3",
            "hypothesis>=6.100",
            "ruff>=0.9",
            "mypy>=1.11",
            "pandas-stubs",
            "types-PyYAML",
            "types-requests",
            "types-defusedxml",
            "scipy-stubs",
            "submitit>=1.5",
            "pytorchvideo==0.1.5",  # the peer whose X3D ours must equal
        ],
        "benchmarks": ["pytorchvideo==0.1.5", "openvino>=2024.6"],
    },
)

"""Packaging of keras_rbcn; tool settings are in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="keras-rbcn",
    version="0.1.0",
    description=(
        "1-bit convolutional networks for Keras: trained with a full-precision "
        "teacher, kernel rectification and feature discriminators (RBCN), shipped as "
        "verified Larq Compute Engine .tflite files."
    ),
    long_description=Path(__file__).with_name("README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["keras_rbcn", "keras_rbcn.*"]),
    package_data={"keras_rbcn": ["py.typed"]},
    # larq-compute-engine has wheels for CPython 3.10 to 3.12 only.
    python_requires=">=3.10,<3.13",
    # The ranges of tensorflow, tf-keras, larq, larq-compute-engine and numpy are
    # repeated for the import check in keras_rbcn/_backend.py; a test compares them.
    install_requires=[
        "tensorflow>=2.18,<2.22",
        "tf-keras>=2.18,<2.22",
        "larq>=0.14,<0.15",
        "larq-compute-engine>=0.16,<0.17",
        "tensorflow-model-optimization>=0.8,<0.9",
        "annotated-types>=0.6",
        "numpy>=1.26,<2",
        "flatbuffers>=24.3",
        "matplotlib>=3.8",
        "packaging>=23",
        "pydantic>=2",
        "pyyaml>=6",
        "rich>=13",
        "scikit-learn>=1.4",
        "tomli>=2; python_version < '3.11'",
        # The first version whose options take their choices from a Literal.
        "typer>=0.19",
    ],
    extras_require={
        # To sign and verify, and to encrypt, what is shipped.
        # model-signing 1.1 imports OpenSSL, and does not ask for it.
        "signing": ["cryptography>=45", "model-signing>=1.1,<2", "pyopenssl>=25"],
        # To run files in LiteRT's own interpreter too.
        # Its backports.strenum is for Python below 3.11 alone from 1.3 on, which one
        # lock for all versions cannot tell.
        "litert": ["ai-edge-litert>=2", "backports.strenum<1.3"],
        "test": [
            "hypothesis>=6.100",
            "ipykernel>=6.29",
            "nbclient>=0.10",
            "nbformat>=5.10",
            "pytest>=8.2",
            "pytest-xdist>=3.6",
            # For Keras' own callback; TensorFlow no longer brings it.
            "tensorboard>=2.18",
            # To parse the build files of the sample app for Android.
            "tree-sitter>=0.23",
            "tree-sitter-kotlin>=1.1",
        ],
        "lint": ["mypy>=1.10", "ruff>=0.9", "types-pyyaml>=6"],
        "lock": ["uv>=0.5"],
    },
    entry_points={"console_scripts": ["keras-rbcn=keras_rbcn.cli:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)

"""Fashion-MNIST (Xiao, Rasul and Vollgraf 2017), from the Debian package `dataset-fashion-mnist`."""

from __future__ import annotations

from fedsim.data.sources.source import Source

_IN = "usr/share/datasets/fashion-mnist"

SOURCE = Source(
    name="fashion-mnist",
    about="articles of clothing, 28 x 28, 60,000 to train and 10,000 to test",
    licence="MIT (Zalando SE)",
    origin="Debian dataset-fashion-mnist",
    megabytes=30.9,
    command=("apt-get", "download", "dataset-fashion-mnist"),
    files={
        "train-images-idx3-ubyte.gz": (
            f"{_IN}/train-images-idx3-ubyte.gz",
            "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
        ),
        "train-labels-idx1-ubyte.gz": (
            f"{_IN}/train-labels-idx1-ubyte.gz",
            "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
        ),
        "t10k-images-idx3-ubyte.gz": (
            f"{_IN}/t10k-images-idx3-ubyte.gz",
            "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
        ),
        "t10k-labels-idx1-ubyte.gz": (
            f"{_IN}/t10k-labels-idx1-ubyte.gz",
            "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
        ),
    },
)

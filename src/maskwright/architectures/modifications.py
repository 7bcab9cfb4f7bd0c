"""What can be done to a network's structure after it was built, so that its card can do it again.

A modification is a name and plain data; `MODIFICATIONS` has the function of each name. `modify`
calls it, and the network remembers: its checkpoint's card lists what was done, and `rebuild` does
the same again, in the same order, before the weights are loaded. Nothing in a card is ever run.

A modification's function changes the network in place, values included, and needs nothing but the
network and the parameters. It must work on the meta device, too, where tensors have no values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from maskwright.architectures.catalogue import build
from maskwright.architectures.contract import Network
from maskwright.architectures.fusing import fuse_batch_norms
from maskwright.architectures.pruning import keep_channels
from maskwright.core.card import Modification
from maskwright.core.errors import ConfigError, MaskwrightError, ModelFileError

MODIFICATIONS: dict[str, Callable[[Network, Mapping[str, Any]], None]] = {
    "fuse-batch-norm": fuse_batch_norms,
    "keep-channels": keep_channels,
}
"""Name -> function of a network, which it changes in place, and the parameters."""


def modify(network: Network, modification: Modification) -> None:
    """Change a network, and let it remember.

    Args:
        network: changed in place.
        modification: what to do.

    Raises:
        ModelFileError: a name that this version doesn't know.
        ConfigError: parameters that don't fit the network, which may be changed in part then.
    """
    function = MODIFICATIONS.get(modification.name)
    if function is None:
        raise ModelFileError(
            f"the network was changed by {modification.name!r}, and this version of Maskwright "
            f"knows {', '.join(MODIFICATIONS)}; run pip install --upgrade maskwright."
        )
    try:
        function(network, modification.parameters)
    except MaskwrightError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"{modification.name!r} can't be done to this {type(network).__name__} "
            f"({type(error).__name__}: {error}); its parameters are for another network."
        ) from error
    network.modifications = (*network.modifications, modification)


def rebuild(
    architecture: str,
    classes: int,
    options: Mapping[str, Any] | None = None,
    modifications: Iterable[Modification] = (),
) -> Network:
    """A network with first weights, as it was built and then changed.

    Args:
        architecture: a key of `ARCHITECTURES`.
        classes: K, background included.
        options: of its configuration, as `build` takes them.
        modifications: what is done to it, in order.

    Raises:
        ConfigError: as `build`, or modifications that don't fit.
        ModelFileError: a modification that this version doesn't know.
    """
    network = build(architecture, classes, **(options or {}))
    for modification in modifications:
        modify(network, modification)
    return network

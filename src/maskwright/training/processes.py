"""Many processes that train one network together, started by torchrun; or one, which is the rule.

Each process draws its part of every batch. DDP around the training step, through Lightning Fabric,
averages the gradients; the losses sum over the processes themselves. Only the first process writes
and tells. What is decided by time or by files is decided so that all come to the same.
"""

from __future__ import annotations

import contextlib
import datetime
import inspect
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from maskwright.core.errors import ConfigError, MaskwrightError
from maskwright.layers.batch_statistics import SyncedBatchStatistics
from maskwright.losses.targets import Targets
from maskwright.training.device import find_device
from maskwright.training.steps import Step

PATIENCE = datetime.timedelta(minutes=30)
"""How long one process waits for the others: while they score their part, or write a state."""

T = TypeVar("T")


class Processes:
    """One process alone: what a run asks of those that share it, where nobody else does.

    Attributes:
        rank: number of this process, from 0.
        count: of all processes.
        local: of those on this machine.
        device: that this one trains on.
    """

    rank: int = 0
    count: int = 1
    local: int = 1

    def __init__(self, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cpu")

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and tells."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is no other."""
        return self.count == 1

    def share(self, batch: int) -> int:
        """Images of a batch for each process.

        Raises:
            ConfigError: they don't come out even.
        """
        if batch % self.count:
            lower = batch // self.count * self.count
            fits = f"{lower} or {lower + self.count}" if lower else str(self.count)
            raise ConfigError(
                f"expected a batch that {self.count} processes can share evenly, got {batch}: it "
                f"counts the images of all processes. Use {fits}."
            )
        return batch // self.count

    def agree(self, action: Callable[[], T]) -> T:
        """Do something in every process; if it fails in one, it fails in all.

        Returns:
            What it came to in this process.

        Raises:
            MaskwrightError, KeyboardInterrupt: that ended it here, or else in another process.
        """
        return action()

    def gather(self, value: T) -> list[T]:
        """Every process's value, by rank."""
        return [value]

    def same(self, value: T) -> T:
        """The first process's value."""
        return value

    def require_equal(self, value: object, what: str) -> None:
        """Refuse what must be equal in all processes and isn't.

        Args:
            value: to compare.
            what: it is, for the message.

        Raises:
            ConfigError: in all processes, if it differs in any two.
        """
        values = self.gather(value)
        other = next((rank for rank, found in enumerate(values) if found != values[0]), None)
        if other is not None:
            raise ConfigError(
                f"expected the same {what} in all {self.count} processes, but process {other} has "
                f"{values[other]} and process 0 has {values[0]}. Give every machine the same."
            )

    def any_of(self, flag: bool) -> bool:
        """Whether it is set in any process."""
        return flag

    def wrap(self, step: nn.Module, sync_batch_stats: bool) -> Step:
        """The training step whose backward pass gives every process the mean gradient.

        The first process's weights become those of all.

        Args:
            step: `TrainingStep` of the same network in all processes.
            sync_batch_stats: normalise by the batch of all processes.
        """
        del sync_batch_stats
        return step

    def share_batch_stats(self, network: nn.Module) -> None:
        """Give all processes the running statistics of the first, which are those that ship."""


class ManyProcesses(Processes):
    """One of many: over Gloo on CPUs, over NCCL on cards, one card each."""

    def __init__(self, environment: Mapping[str, str], device: str = "cpu") -> None:
        """Meet the others.

        Args:
            environment: with the variables that torchrun sets.
            device: as `find_device` takes it; each process finds its own.

        Raises:
            ConfigError: Fabric is not installed, or the machines run different numbers.
        """
        self.rank, self.count = int(environment["RANK"]), int(environment["WORLD_SIZE"])
        self.local = int(environment.get("LOCAL_WORLD_SIZE", self.count))
        if self.count % self.local:
            raise ConfigError(
                f"expected the same number of processes on each machine, got {self.count} in all "
                f"and {self.local} on one; give all the same --nproc-per-node."
            )
        super().__init__(find_device(device, int(environment.get("LOCAL_RANK", self.rank))))
        if self.device.type not in ("cpu", "cuda"):
            raise ConfigError(
                f"expected many processes to train on cpu or cuda, got {self.device.type}; use one "
                "process, or --device cpu."
            )
        on_cards = self.device.type == "cuda"
        if on_cards:
            torch.cuda.set_device(self.device)
        try:
            from lightning_fabric import Fabric
            from lightning_fabric.plugins.environments import TorchElasticEnvironment
            from lightning_fabric.strategies import DDPStrategy
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"training in {self.count} processes needs {error.name}, which is not installed; "
                "run pip install 'maskwright[cluster]'."
            ) from error
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # we tell it ourselves
        # Statistics of batches are sent where they are needed, not before each forward pass;
        # newer versions of torch have another name for that.
        names = ("forward_sync_buffers", "broadcast_buffers")
        known = inspect.signature(nn.parallel.DistributedDataParallel).parameters
        options: dict[str, Any] = {next(name for name in names if name in known): False}
        strategy = DDPStrategy(
            cluster_environment=TorchElasticEnvironment(),
            process_group_backend="nccl" if on_cards else "gloo",
            timeout=PATIENCE,
            **options,
        )
        self._fabric = Fabric(
            accelerator=self.device.type,
            strategy=strategy,
            devices=self.local,
            num_nodes=self.count // self.local,
        )
        self._fabric.launch()

    def agree(self, action: Callable[[], T]) -> T:
        """As in the base; an error goes to all processes, and that of the lowest rank counts."""
        own: BaseException | None = None
        try:
            result = action()
        except (MaskwrightError, KeyboardInterrupt) as error:
            own = error
        errors = [error for error in self.gather(own) if error is not None]
        if own is not None:
            raise own
        if errors:
            raise errors[0]
        return result

    def gather(self, value: T) -> list[T]:
        """As in the base; whatever pickle takes."""
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, value)
        return found

    def same(self, value: T) -> T:
        """As in the base; whatever pickle takes."""
        return self._fabric.broadcast(value)

    def any_of(self, flag: bool) -> bool:
        """As in the base."""
        flags = torch.tensor(int(flag), device=self.device)
        dist.all_reduce(flags)
        return bool(flags)

    def wrap(self, step: nn.Module, sync_batch_stats: bool) -> Step:
        """As in the base: DDP.

        Gradients that are summed over steps are averaged at each step, so that the first process's
        are all that a saved state must hold.
        """
        together = self._fabric.setup_module(step, move_to_device=False)
        if not sync_batch_stats:
            return together

        def synced(images_B3HW: Tensor, targets: Targets) -> Mapping[str, Tensor]:
            with SyncedBatchStatistics():
                return together(images_B3HW, targets)

        return synced

    def share_batch_stats(self, network: nn.Module) -> None:
        """As in the base."""
        for buffer in network.buffers():
            if buffer.ndim == 1 and buffer.is_floating_point():
                dist.broadcast(buffer, src=0)


def join(device: str = "cpu") -> Processes:
    """Meet the processes that torchrun started beside this one; none where it started no other.

    Args:
        device: to train on, as `find_device` takes it.

    Raises:
        ConfigError: what that needs is not installed, or no such device.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return Processes(find_device(device))
    return ManyProcesses(os.environ, device)


@contextlib.contextmanager
def one_voice() -> Iterator[None]:
    """Of many processes that end in errors, let the first one's out; the others exit with 2.

    Raises:
        MaskwrightError: the connection was lost before any process told why.
        SystemExit: another process told already.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if int(os.environ.get("WORLD_SIZE", 1)) == 1:
            raise
        if not _speaks_first():
            raise SystemExit(2) from None
        if isinstance(error, RuntimeError) and re.search("gloo|nccl", str(error), re.I):
            raise MaskwrightError(
                f"process {os.environ['RANK']} of {os.environ['WORLD_SIZE']} lost the others: one "
                "was ended from outside, perhaps for lack of memory, or the network failed. Go on "
                "with --resume."
            ) from error
        raise


def _speaks_first() -> bool:
    """Whether no process has spoken yet; torchrun's agent keeps count, and outlives them."""
    try:
        store = dist.TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            is_master=False,
            timeout=datetime.timedelta(seconds=10),
        )
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        return store.add(f"maskwright/told/{attempt}", 1) == 1
    except (RuntimeError, KeyError):  # rather twice than never
        return True

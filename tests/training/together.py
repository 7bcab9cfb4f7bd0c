"""What processes compute together: python together.py FOLDER, started once for each of them.

`compute` does the same alone, over the whole of each batch: that is what they must come to. FOLDER
holds the data in "set"; process number N leaves its findings in N.pt, and runs in folders.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from shapes import Listener, config, quick
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

import maskwright.formats as formats
from maskwright.architectures import build
from maskwright.architectures.contract import Network
from maskwright.architectures.unet import UNetConfig
from maskwright.core.errors import ConfigError, DataError
from maskwright.data.loader import Batch
from maskwright.layers import SyncedBatchStatistics
from maskwright.losses import PixelLoss, Targets, cross_entropy, pixel_loss, sum_over_processes
from maskwright.training import TrainingStep, preflight, rehearsal, resume, train
from maskwright.training.optimiser import build_optimiser
from maskwright.training.precision import Precision
from maskwright.training.processes import Processes, join
from maskwright.training.steps import backward

LOSSES = ("ce", "weighted-ce", "dice", "weighted-ce+dice")
WEIGHTS_K = torch.tensor([0.5, 3.0, 1.0, 0.1, 2.0])
VOID = 255
SEGFORMER = {"widths": (8, 8, 8, 8), "depths": (1, 1, 1, 1), "heads": (1, 1, 1, 1),
             "decoder_width": 8, "drop_path": 0.0, "dropout": 0.0}  # fmt: skip
RUN = config(steps=8, evaluate_every=4, optimiser="sgd", sync_batch_stats=True, loss="ce+dice",
             accumulate=3, ema=0.5)  # fmt: skip


def labels(seed: int, void_images: tuple[int, ...]) -> Tensor:
    """Four maps of five classes, ever fewer pixels of them known; some images are void all over."""
    generator = torch.Generator().manual_seed(seed)
    found_BHW = torch.randint(0, 5, (4, 32, 32), generator=generator)
    for number in range(4):
        found_BHW[number, : 7 * number] = VOID
    found_BHW[list(void_images)] = VOID
    return found_BHW


def images(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (4, 3, 32, 32), generator=generator, dtype=torch.uint8)


def part_of(processes: Processes, batch: Tensor) -> Tensor:
    return batch.chunk(processes.count)[processes.rank]


class Step(nn.Module):
    """A network with one loss, as `TrainingStep` has it."""

    def __init__(self, network: nn.Module, loss_of: PixelLoss) -> None:
        super().__init__()
        self.network, self.loss_of = network, loss_of

    def forward(self, images_B3HW: Tensor, targets: Targets) -> dict[str, Tensor]:
        return {"total": self.loss_of(self.network(images_B3HW), targets)}


def losses(processes: Processes) -> dict[str, Tensor]:
    """Each loss and its gradients; with one image void, and with all that the first process has."""
    found = {}
    for names in LOSSES:
        for case, void in {"some": (1,), "half": (0, 1), "all": (0, 1, 2, 3)}.items():
            torch.manual_seed(0)
            network = nn.Conv2d(3, 5, 1).double()
            loss_of = pixel_loss(names, WEIGHTS_K.double())
            step = processes.wrap(Step(network, loss_of), False)
            own = part_of(processes, images(1)).double() / 255
            targets = Targets(class_map_BHW=part_of(processes, labels(2, void)))
            loss = step(own, targets)["total"]
            loss.backward()
            found[f"{names}, {case}: loss"] = loss.detach()
            for name, parameter in network.named_parameters():
                found[f"{names}, {case}: {name}"] = parameter.grad
    return found


def steps(processes: Processes, network: nn.Module, sync: bool) -> dict[str, Tensor]:
    """Loss of each of three steps, and the weights and statistics that they end in."""
    network.pixel_loss = pixel_loss("weighted-ce+dice", WEIGHTS_K)
    step_of = processes.wrap(TrainingStep(network), sync)
    precision = Precision("fp32", processes.device)
    optimiser = build_optimiser(network, quick(optimiser="sgd"))
    found = {}
    for step in range(3):
        batch = Batch(
            images_B3HW=part_of(processes, images(10 + step)),
            targets=Targets(class_map_BHW=part_of(processes, labels(20 + step, (step,)))),
        )
        found[f"loss {step}"] = backward(step_of, batch, precision).double()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for group in optimiser.param_groups:
            group["lr"] = 0.05
        optimiser.step()
        optimiser.zero_grad()
    return found | network.state_dict()


class TwoTasks(Network):
    """One convolution, then a class for each pixel and one box for each image."""

    def __init__(self) -> None:
        super().__init__(UNetConfig(classes=5))
        self.body, self.classify, self.locate = (
            nn.Conv2d(3, 6, 3),
            nn.Conv2d(6, 5, 1),
            nn.Linear(6, 4),
        )

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        features_BChw = self.body(images_B3HW).relu()
        return {
            "logits": self.classify(F.pad(features_BChw, (1, 1, 1, 1))),
            "boxes": self.locate(features_BChw.mean(dim=(2, 3))),
        }

    def losses(self, outputs: Mapping[str, Tensor], targets: Targets) -> dict[str, Tensor]:
        pixels = cross_entropy(outputs["logits"], targets)
        far, count = outputs["boxes"].sum() * 0, torch.zeros(())
        for number, boxes_N4 in enumerate(targets.boxes or ()):
            far = far + (outputs["boxes"][number] - boxes_N4 / 32).abs().sum()
            count = count + len(boxes_N4)
        far, count = sum_over_processes(far, count.to(far.dtype))
        boxes = far / count.clamp_min(1)
        return {"pixels": pixels, "boxes": boxes, "total": pixels + boxes}

    def deploy(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        raise NotImplementedError

    def head_prefixes(self) -> tuple[str, ...]:
        return ("classify.",)


def two_tasks(processes: Processes) -> dict[str, Tensor]:
    """Half of the images are labelled for pixels, half for boxes: a process sees one kind only."""
    torch.manual_seed(7)
    network = TwoTasks().double().train()
    step_of = processes.wrap(TrainingStep(network), False)
    precision = Precision("fp32", processes.device)
    optimiser = build_optimiser(network, quick(optimiser="sgd"))
    found = {}
    for step in range(3):
        boxes_N4 = [torch.rand(number, 4, dtype=torch.float64) * 32 for number in (0, 0, 1, 2)]
        pixels = labels(30 + step, (2, 3))
        known = {
            "class_map_BHW": pixels,
            "boxes": tuple(boxes_N4),
            "class_ids": tuple(torch.zeros(len(boxes), dtype=torch.int64) for boxes in boxes_N4),
            "objects_known_B": torch.tensor([False, False, True, True]),
        }
        if (
            processes.count == 2
        ):  # as the loader has it: None where no image of the part is labelled
            known = {"class_map_BHW": pixels[:2]} if processes.first else {
                "boxes": tuple(boxes_N4[2:]),
                "class_ids": known["class_ids"][2:],
                "objects_known_B": known["objects_known_B"][2:],
            }  # fmt: skip
        batch = Batch(images_B3HW=part_of(processes, images(40 + step)), targets=Targets(**known))
        found[f"loss {step}"] = backward(step_of, batch, precision).double()
        for group in optimiser.param_groups:
            group["lr"] = 0.05
        precision.update(optimiser, network.parameters(), 1.0)
    return found | network.state_dict()


def frozen(processes: Processes) -> dict[str, Tensor]:
    torch.manual_seed(1)
    network = build("segformer-b0", 5, **SEGFORMER).double().train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return steps(processes, network, sync=False)


def normed(processes: Processes, sync: bool) -> dict[str, Tensor]:
    torch.manual_seed(2)
    return steps(processes, build("unet", 5, width=4, levels=2).double().train(), sync)


def batch_norms(processes: Processes) -> dict[str, Tensor]:
    """A batch of five in parts of four and one, far from zero; forward, statistics, gradients."""
    generator = torch.Generator().manual_seed(3)
    features_BChw = 100 + torch.randn(5, 3, 4, 2, generator=generator, dtype=torch.float64)
    gradient_BChw = torch.randn(5, 3, 4, 2, generator=generator, dtype=torch.float64)
    sizes = [5] if processes.alone else [4, 1]
    found: dict[str, Tensor] = {}
    for name, norm in {
        "plain": nn.BatchNorm2d(3),
        "cumulative": nn.BatchNorm2d(3, momentum=None),
        "bare": nn.BatchNorm2d(3, affine=False, track_running_stats=False),
        "timm": BatchNormAct2d(3),
        "half": nn.BatchNorm2d(3),
    }.items():
        torch.manual_seed(4)
        for parameter in norm.parameters():
            nn.init.uniform_(parameter, 0.5, 2.0)
        half = name == "half"
        norm = norm if half else norm.double()
        dtype = torch.bfloat16 if half else torch.float64
        own = features_BChw.split(sizes)[processes.rank].to(dtype)
        own = own.contiguous(memory_format=torch.channels_last).requires_grad_()
        for _ in range(2):  # so that the running statistics move twice
            with SyncedBatchStatistics():
                answer = norm(own)
        answer.backward(gradient_BChw.split(sizes)[processes.rank].to(dtype))
        assert answer.dtype == own.grad.dtype == dtype
        found |= {f"{name} answer": gathered(processes, answer.detach())}
        found |= {f"{name} gradient": gathered(processes, own.grad)}
        for key, parameter in norm.named_parameters():
            found[f"{name} {key}"] = torch.stack(processes.gather(parameter.grad)).sum(0)
        found |= {f"{name} {key}": buffer for key, buffer in norm.named_buffers()}
        with SyncedBatchStatistics():
            found[f"{name} afterwards"] = norm.eval()(features_BChw.to(dtype)).detach()
    return found


def gathered(processes: Processes, tensor: Tensor) -> Tensor:
    return torch.cat(processes.gather(tensor))


def one_value_is_refused(processes: Processes) -> str:
    """Two processes with one value a channel each may; with none and one they may not."""
    lone = torch.ones(1 - processes.rank if processes.count > 1 else 1, 2, 1, 1)
    try:
        with SyncedBatchStatistics():
            F.batch_norm(lone, None, None, training=True)
    except ValueError as error:
        return str(error)
    return "nothing was refused"


def agreements(processes: Processes) -> dict[str, object]:
    """How one process's trouble comes to all."""

    def attempt(error: BaseException, rank: int) -> str:
        def fail() -> str:
            if processes.rank == rank:
                raise error
            return "went well"

        try:
            return processes.agree(fail)
        except (ConfigError, DataError, KeyboardInterrupt) as raised:
            return f"{type(raised).__name__}: {raised}"

    return {
        "error": attempt(DataError("image 7 is damaged"), rank=1),
        "interrupt": attempt(KeyboardInterrupt(), rank=1),
        "nothing": attempt(ConfigError("nobody"), rank=9),
        "gather": processes.gather(processes.rank * 10),
        "same": processes.same(f"said by {processes.rank}"),
        "equal": attempt_equal(processes),
        "any": [processes.any_of(processes.rank == rank) for rank in (0, 1, 9)],
        "shares": [processes.share(batch) for batch in (2, 8)],
    }


def attempt_equal(processes: Processes) -> str:
    processes.require_equal("alike", "word")
    try:
        processes.require_equal(processes.rank, "number")
    except ConfigError as error:
        return str(error)
    return "nothing was refused"


def runs(processes: Processes, folder: Path) -> dict[str, object]:
    """A whole run; another that Ctrl-C ends in one process, while gradients add up, and goes on."""
    dataset = formats.read(folder / "set")
    rehearsal.time_steps = lambda step, kind, **_: preflight.time_steps(step, kind, 2)
    whole, ended = folder / f"whole-{processes.count}", folder / f"ended-{processes.count}"
    result = train(RUN, dataset, whole)
    found: dict[str, object] = {
        "matrix": result.scores.maps.matrix,
        "images": result.scores.names,
        "of images": result.scores.maps.image_scores().tolist(),
    }
    if processes.alone:
        return found
    try:
        train(RUN, dataset, whole)
    except ConfigError as error:
        found["refused"] = str(error)

    def stop(step: int) -> None:
        if step == 5:
            os.kill(os.getpid(), signal.SIGINT)

    listener = Listener(stop)
    found["interrupted"] = train(RUN, dataset, ended, callbacks=[listener]).interrupted
    found["steps"] = listener.steps
    found["files"] = sorted(path.name for path in ended.iterdir())
    if processes.first:
        shutil.copytree(ended, folder / "left-2")
    dist.barrier()  # what is listed here is what lay there before anyone went on
    resume(dataset, ended)
    return found


def compute(processes: Processes, folder: Path) -> dict[str, object]:
    return {
        "losses": losses(processes),
        "two tasks": two_tasks(processes),
        "frozen": frozen(processes),
        "synced": normed(processes, True),
        "own": normed(processes, False),
        "batch norms": batch_norms(processes),
        "one value": one_value_is_refused(processes),
        "agreements": agreements(processes),
        "threads": torch.get_num_threads(),
        "runs": runs(processes, folder),
    }


def main(folder: Path) -> None:
    processes = join()
    torch.save(compute(processes, folder), folder / f"{processes.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

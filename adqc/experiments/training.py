"""Training with a snapshot after every epoch, so that a run that was stopped goes on as if it had not been."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adqc.baselines import Baseline
from adqc.container import replacing
from adqc.experiments.batches import Batches
from adqc.experiments.processes import Processes
from adqc.experiments.recipe import Training
from adqc.finetune import Epoch, finetune, parameter_groups


@dataclass
class History:
    """What a training run went through.

    Args:
        loss: Mean training loss of each epoch.
        accuracy: Test accuracy after each epoch, in percent.
        seconds: Seconds that each epoch took, without the test.
        done: Whether all epochs are through.
    """

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    done: bool = False


@torch.no_grad()
def measure(model: nn.Module, batches: Batches) -> float:
    """Share of images whose label gets the highest score, in percent."""
    training = model.training
    model.eval()
    right = sum(int((model(images).argmax(1) == labels).sum()) for images, labels in batches)
    model.train(training)
    return 100 * right / len(batches.labels)


def train(
    model: nn.Module,
    batches: Batches,
    test: Batches,
    training: Training,
    *,
    path: Path,
    teacher: nn.Module | None = None,
    lr: float = 0.0,
    notify: Callable[[History], None] | None = None,
    progress: bool | None = None,
    processes: Processes | None = None,
    penalty: float = 0.0,
) -> History:
    """Train a model through :func:`adqc.finetune`; go on from the snapshot if there is one.

    Args:
        model: Network; circuits and baselines in it get their own learning rate. Changed in place.
        batches: Training images; their order depends on seed and epoch alone.
        test: Test images.
        training: How to train.
        path: The snapshot, written after every epoch.
        teacher: Network to learn from, where the training asks for it.
        lr: Learning rate of circuits and baselines; 0 for the training's own.
        notify: Called after each epoch, with what was gone through so far.
        progress: True shows a progress bar, False none, None where stderr is a terminal.
        processes: Those that train together; None for this one alone.
        penalty: Factor of :func:`adqc.unitarity` in the loss.

    Returns:
        Loss, accuracy and seconds of each epoch.

    Raises:
        ValueError: If the snapshot is not one of this training.
        FloatingPointError: If the loss is no longer finite.
    """
    processes = processes or Processes(torch.device("cpu"))
    optimizer = torch.optim.Adam(_groups(model, training, lr), fused=True)
    total = len(batches) * training.epochs
    mean = [parameter.detach().clone() for parameter in model.parameters()] if training.ema else []
    history, state = History(), None
    if path.is_file():
        history, state = _restore(path, model, mean)
        if history.done:
            return history
    _follow_schedule(optimizer, training.schedule, total, done=len(batches) * len(history.loss))
    if mean:
        _keep_mean(optimizer, model, mean, training.ema, done=len(batches) * len(history.loss))
    batches.epoch = len(history.loss)

    def after(epoch: Epoch, state: dict[str, Any]) -> None:
        kept = _swap(model, mean)
        history.accuracy.append(measure(model, test))
        _swap(model, kept)
        history.loss.append(processes.mean(epoch.loss))
        history.seconds.append(epoch.seconds)
        if processes.main:
            _save(path, model, history, mean, state)
        if notify is not None:
            notify(history)

    if len(history.loss) < training.epochs:
        wrapped, stepped, backward = processes.wrap(model, optimizer)
        finetune(
            wrapped,
            Taught(batches, teacher) if teacher is not None and training.distil.weight else batches,
            epochs=training.epochs,
            loss=_loss(training) if processes.count == 1 else _weighted(_loss(training), batches),
            optimizer=stepped,
            scheduler="constant",
            callback=after,
            penalty=penalty,
            state=state,
            backward=backward,
            progress=progress if processes.main else False,
        )
        processes.release(wrapped)
    _swap(model, mean)
    if not history.accuracy:
        history.accuracy.append(measure(model, test))
    history.done = True
    if processes.main:
        _save(path, model, history, [], None)
    return history


class Taught:
    """Batches whose targets are, for each image, the label and behind it the teacher's scores.

    Args:
        batches: Images and labels.
        teacher: Network that gives the scores.
    """

    def __init__(self, batches: Batches, teacher: nn.Module) -> None:
        self.batches, self.teacher = batches, teacher.eval()

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in self.batches:
            with torch.no_grad():
                scores = self.teacher(images)
            yield images, torch.cat([labels.unsqueeze(1).to(scores.dtype), scores], 1)


def _loss(training: Training) -> Callable[[Tensor, Tensor], Tensor]:
    distil = training.distil

    def loss(scores: Tensor, targets: Tensor) -> Tensor:
        if targets.ndim == 1:
            return F.cross_entropy(scores, targets, label_smoothing=training.label_smoothing)
        hard = F.cross_entropy(scores, targets[:, 0].long(), label_smoothing=training.label_smoothing)
        taught = F.log_softmax(targets[:, 1:] / distil.temperature, 1)
        own = F.log_softmax(scores / distil.temperature, 1)
        # T^2 keeps the gradients' size independent of the temperature (arXiv:1503.02531, section 2).
        soft = F.kl_div(own, taught, reduction="batchmean", log_target=True) * distil.temperature**2
        return (1 - distil.weight) * hard + distil.weight * soft

    return loss


def _weighted(loss: Callable[[Tensor, Tensor], Tensor], batches: Batches) -> Callable[[Tensor, Tensor], Tensor]:
    # The processes' gradients are averaged, and their parts of a batch may differ by an image.
    return lambda scores, targets: loss(scores, targets) * batches.weight


def _groups(model: nn.Module, training: Training, lr: float) -> list[dict[str, Any]]:
    rate = lr or training.circuit_lr
    groups = parameter_groups(model, lr=training.lr, circuit_lr=rate, weight_decay=training.weight_decay)
    rivals = [module for module in model.modules() if isinstance(module, Baseline)]
    own = {id(parameter): parameter for module in rivals for parameter in module.parameters()}
    for group in groups:
        group["params"] = [parameter for parameter in group["params"] if id(parameter) not in own]
    rest = [group for group in groups if group["params"]]
    return [*rest, {"params": list(own.values()), "lr": rate, "weight_decay": 0.0, "name": "rivals"}] if own else rest


def _follow_schedule(optimizer: torch.optim.Optimizer, schedule: str, total: int, *, done: int) -> None:
    rates = [group["lr"] for group in optimizer.param_groups]
    step = itertools.count(done)

    def set_rates(*_: Any) -> None:
        factor = _factor(schedule, next(step) / max(1, total))
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor

    optimizer.register_step_pre_hook(set_rates)


def _keep_mean(
    optimizer: torch.optim.Optimizer, model: nn.Module, mean: list[Tensor], decay: float, *, done: int
) -> None:
    step = itertools.count(done)

    @torch.no_grad()
    def average(*_: Any) -> None:
        # Early on the mean covers only the steps made so far.
        made = next(step)
        share = 1 - min(decay, (1 + made) / (10 + made))
        torch._foreach_lerp_(mean, [parameter.detach() for parameter in model.parameters()], share)

    optimizer.register_step_post_hook(average)


def _factor(schedule: str, share: float) -> float:
    if schedule == "constant":
        return 1.0
    rise = 0.2 if schedule == "one-cycle" else 0.0
    if share < rise:
        return 0.04 + 0.96 * share / rise
    return 0.5 * (1 + math.cos(math.pi * (share - rise) / (1 - rise)))


@torch.no_grad()
def _swap(model: nn.Module, values: list[Tensor]) -> list[Tensor]:
    """Write values into the parameters; return what was there."""
    if not values:
        return []
    kept = [parameter.detach().clone() for parameter in model.parameters()]
    for parameter, value in zip(model.parameters(), values, strict=True):
        parameter.copy_(value)
    return kept


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it is either the old one or the new one, whatever happens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def save_state(path: Path, tensors: Mapping[str, Tensor], note: Mapping[str, Any]) -> None:
    """Tensors and a JSON note as one safetensors file, written atomically."""
    from safetensors.torch import save

    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_atomically(path, save(plain, metadata={"note": json.dumps(note)}))


def load_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What :func:`save_state` wrote.

    Raises:
        ValueError: If the file is cut short or of another kind.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as stored:
            note = json.loads((stored.metadata() or {})["note"])
            return {name: stored.get_tensor(name) for name in stored.keys()}, note  # noqa: SIM118 (no mapping)
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is damaged ({error}): delete it, or start anew without --resume") from error


def _save(path: Path, model: nn.Module, history: History, mean: list[Tensor], state: dict[str, Any] | None) -> None:
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    note: dict[str, Any] = {"history": asdict(history)}
    if state is not None:
        tensors.update({f"mean.{k}": tensor for k, tensor in enumerate(mean)})
        tensors.update({f"random.{name}": value for name, value in state["random"].items()})
        moments = state["optimizer"]["state"]
        tensors.update({f"optimizer.{k}.{name}": value for k, own in moments.items() for name, value in own.items()})
        note["state"] = {
            "history": state["history"],
            "rates": state["rates"],
            "groups": state["optimizer"]["param_groups"],
        }
    save_state(path, tensors, note)


def load_model_(model: nn.Module, path: Path) -> dict[str, Any]:
    """Read a snapshot's parameters into a model; returns the snapshot's note.

    Raises:
        ValueError: If the file is damaged or belongs to another model.
    """
    tensors, note = load_state(path)
    _load_model(model, tensors, path)
    return note


def _load_model(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    own = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    try:
        model.load_state_dict(own)
    except RuntimeError as error:
        raise ValueError(f"{path} belongs to another model: start anew without --resume") from error


def _restore(path: Path, model: nn.Module, mean: list[Tensor]) -> tuple[History, dict[str, Any] | None]:
    tensors, note = load_state(path)
    _load_model(model, tensors, path)
    history = History(**note["history"])
    if history.done:
        return history, None
    moments: dict[int, dict[str, Tensor]] = {}
    for name in tensors:
        if name.startswith("optimizer."):
            _, number, key = name.split(".")
            moments.setdefault(int(number), {})[key] = tensors[name]
    for k, tensor in enumerate(mean):
        tensor.copy_(tensors[f"mean.{k}"])
    state = {
        "history": note["state"]["history"],
        "rates": note["state"]["rates"],
        "optimizer": {"state": moments, "param_groups": note["state"]["groups"]},
        "random": {name.removeprefix("random."): tensors[name] for name in tensors if name.startswith("random.")},
    }
    return history, state

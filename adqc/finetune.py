"""Stage 2: train a model end to end, circuits and all. An ordinary loop does as well."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sized
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adqc.brickwall import BrickWall
from adqc.relax import unitarity
from adqc.tables import progress_bar

UNITARY_LR = 0.03
FREE_LR = 0.01
SCHEDULERS = ("cosine", "constant")

Loss = Callable[[Any, Any], Tensor]


@dataclass(frozen=True)
class Epoch:
    """What an epoch of training came to.

    Args:
        epoch: Its number, from 1 on.
        loss: Mean training loss, with the penalty.
        accuracy: Share of training examples whose class got the highest score; None where there are no classes.
        seconds: Time it took, without the validation.
        validation_loss: Mean loss on the validation data; None without such data.
        validation_accuracy: Accuracy on the validation data; None without such data or classes.
    """

    epoch: int
    loss: float
    accuracy: float | None
    seconds: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None


def parameter_groups(
    model: nn.Module, *, lr: float = 1e-3, circuit_lr: float | None = None, weight_decay: float = 0.0
) -> list[dict[str, Any]]:
    """The parameters of a model in groups for any optimiser of torch: those of the circuits, and the rest.

    Gates are angles, which want larger steps than weights, and no weight decay. A unitary circuit's scale is the norm
    of the weight, far larger than an angle: its rate is ``circuit_lr`` times its size, or times the size that it would
    have in a fresh layer of torch if that is larger (rounded to a power of two, so that few groups are needed).
    Parameters that need no gradient are left out, and so are groups without parameters; tied parameters are counted
    once.

    Args:
        model: Any module.
        lr: Learning rate of the rest.
        circuit_lr: Learning rate of the circuits; None for 0.03 where gates are unitary and 0.01 where they are free.
        weight_decay: Weight decay of the rest.

    Returns:
        Dictionaries with ``params``, ``lr``, ``weight_decay`` and ``name`` (``"circuits"``, ``"scales"``, ``"rest"``),
        one for each learning rate.

    Example:
        >>> import adqc
        >>> net = nn.Sequential(adqc.nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        >>> [(group["name"], group["lr"]) for group in parameter_groups(net, lr=2e-3)]
        [('circuits', 0.03), ('scales', 0.12), ('rest', 0.002)]
    """
    own: dict[int, tuple[str, float]] = {}
    for wall in model.modules():
        if isinstance(wall, BrickWall):
            rate = circuit_lr if circuit_lr is not None else UNITARY_LR if wall.family.unitary else FREE_LR
            own.update({id(parameter): ("circuits", rate) for parameter in wall.parameters()})
            # Free gates carry the norm as well, and with them the scale's rate made no difference.
            if wall.family.unitary:
                own[id(wall.scale)] = ("scales", rate * _scale_size(wall))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = []
    for key in sorted(set(own.values())):
        params = [parameter for parameter in trained if own.get(id(parameter)) == key]
        groups.append({"params": params, "lr": key[1], "weight_decay": 0.0, "name": key[0]})
    rest = [parameter for parameter in trained if id(parameter) not in own]
    groups.append({"params": rest, "lr": lr, "weight_decay": weight_decay, "name": "rest"})
    return [group for group in groups if group["params"]]


def _scale_size(wall: BrickWall) -> float:
    # Least squares in stage 1 leaves a small scale, from which training must get away. Measured, LeNet-5 on 20,000
    # digits, 3 epochs after stage 1, two seeds: 94.6 and 93.9 % relative to the scale alone, 95.4 and 94.4 % like this.
    natural = math.sqrt(2.0**wall.sites * wall.spread / (3 * max(1, math.prod(wall.shape[1:]))))
    now = abs(wall.scale.item())
    return 2.0 ** round(math.log2(max(natural, now if math.isfinite(now) else 0.0)))


def finetune(
    model: nn.Module,
    loader: Iterable[Any],
    *,
    epochs: int = 5,
    lr: float = 2e-3,
    circuit_lr: float | None = None,
    loss: Loss = F.cross_entropy,
    optimizer: torch.optim.Optimizer | None = None,
    scheduler: str = "cosine",
    validation: Iterable[Any] | None = None,
    penalty: float = 0.0,
    device: torch.device | str | None = None,
    callback: Callable[[Epoch, dict[str, Any]], object] | None = None,
    state: dict[str, Any] | None = None,
    backward: Callable[[Tensor], object] = Tensor.backward,
    progress: bool | None = None,
) -> list[Epoch]:
    """Train a model, compressed or plain, in place.

    Args:
        model: Any module, called with the inputs of a batch.
        loader: Batches ``(inputs, targets)``, with a length where the schedule is cosine.
        epochs: Number of passes through the loader, those before ``state`` included.
        lr: Learning rate of everything but the circuits.
        circuit_lr: Learning rate of the circuits; None for :func:`parameter_groups`' own.
        loss: Function of outputs and targets.
        optimizer: Optimiser of the model's parameters; None for Adam with :func:`parameter_groups`. With one given,
            both learning rates are its own.
        scheduler: ``"cosine"`` (each step, down to zero at the end) or ``"constant"``.
        validation: Batches to measure loss and accuracy on after each epoch.
        penalty: Factor of :func:`adqc.unitarity` in the loss.
        device: Where to train, the model is moved there; None stays where the model's parameters are.
        callback: Called after each epoch with its :class:`Epoch` and the state: with that and the model's parameters
            the training can go on later. The tensors in it are the live ones: store or copy them at once.
        state: A state that the callback got, to go on from; the model must have the parameters of that moment. Torch's
            random numbers go on from there too, so the result is that of a training that was not stopped.
        backward: Computes the gradients of a loss; accelerate's, for one, which scales it in half precision.
        progress: True shows a progress bar on stderr, False none, None where stderr is a terminal.

    Returns:
        The history, one entry an epoch, those before ``state`` included.

    Raises:
        ValueError: If an argument is out of range, the loader is empty or has no length where one is needed.
        FloatingPointError: If the loss becomes NaN or infinite; the model then has the parameters that it had after
            the last good epoch.
    """
    if epochs < 1 or penalty < 0:
        raise ValueError(f"finetune needs epochs >= 1 and penalty >= 0, got epochs={epochs}, penalty={penalty}")
    if scheduler not in SCHEDULERS:
        raise ValueError(f"unknown scheduler {scheduler!r}: use one of {', '.join(SCHEDULERS)}")
    steps = _length(loader)
    if scheduler == "cosine" and steps is None:
        raise ValueError("the cosine schedule needs a loader with a length: use scheduler='constant'")
    first = next(model.parameters(), None)
    place = torch.device(device) if device is not None else first.device if first is not None else torch.device("cpu")
    model.to(place)
    if optimizer is None:
        optimizer = torch.optim.Adam(parameter_groups(model, lr=lr, circuit_lr=circuit_lr))
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    history: list[Epoch] = []
    if state is not None:
        history = [Epoch(**values) for values in state["history"]]
        optimizer.load_state_dict(state["optimizer"])
        rates = list(state["rates"])
        _set_random_state(state["random"], loader)
    mode = model.training
    good = _copy(model)
    total = None if steps is None else steps * epochs
    with progress_bar(progress) as bar:
        task = bar.add_task("training", total=total, completed=len(history) * (steps or 0), note="")
        try:
            for number in range(len(history) + 1, epochs + 1):
                model.train()
                begin = time.perf_counter()
                meter = _Meter(place)
                for step, (inputs, targets) in enumerate(_moved(loader, place)):
                    if scheduler == "cosine" and total is not None and steps is not None:
                        share = ((number - 1) * steps + step) / total
                        for group, rate in zip(optimizer.param_groups, rates, strict=True):
                            group["lr"] = rate * (1 + math.cos(math.pi * share)) / 2
                    outputs = model(inputs)
                    value = loss(outputs, targets)
                    if penalty:
                        value = value + penalty * unitarity(model)
                    optimizer.zero_grad()
                    backward(value)
                    optimizer.step()
                    meter.add(value, outputs, targets)
                    # Looking at the loss makes a GPU wait, so not after each step.
                    if step % 32 == 31:
                        meter.check(number)
                        bar.update(task, note=f"epoch {number}, loss {meter.loss:.4f}")
                    bar.advance(task)
                if not meter.count:
                    raise ValueError("the loader gave no batches: check the data set and drop_last")
                meter.check(number)
                seconds = time.perf_counter() - begin
                measured = (None, None) if validation is None else _measure(model, validation, loss, place)
                history.append(Epoch(number, meter.loss, meter.accuracy, seconds, *measured))
                good = _copy(model)
                bar.update(task, note=f"epoch {number}, loss {meter.loss:.4f}")
                if callback is not None:
                    callback(history[-1], _state(history, optimizer, rates, loader))
        except FloatingPointError:
            model.load_state_dict(good)
            raise
        finally:
            model.train(mode)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
    return history


def _length(loader: Iterable[Any]) -> int | None:
    try:
        return len(loader) if isinstance(loader, Sized) else None
    except TypeError:
        # A DataLoader over a stream has a method for its length, but no length.
        return None


class _Meter:
    """Sums of loss and hits that stay on the device until they are asked for."""

    def __init__(self, device: torch.device) -> None:
        # MPS has no float64.
        wide = torch.float32 if device.type == "mps" else torch.float64
        self.total = torch.zeros((), dtype=wide, device=device)
        self.hits = torch.zeros((), dtype=torch.long, device=device)
        self.count = self.labels = 0

    @torch.no_grad()
    def add(self, loss: Tensor, outputs: Any, targets: Any) -> None:
        size = len(targets)
        self.total += loss.detach().to(self.total.dtype) * size
        self.count += size
        if isinstance(outputs, Tensor) and isinstance(targets, Tensor) and not targets.is_floating_point():
            guess = outputs.argmax(1) if outputs.ndim == targets.ndim + 1 else None
            if guess is not None and guess.shape == targets.shape:
                self.hits += (guess == targets).sum()
                self.labels += targets.numel()

    @property
    def loss(self) -> float:
        return self.total.item() / max(1, self.count)

    @property
    def accuracy(self) -> float | None:
        return self.hits.item() / self.labels if self.labels else None

    def check(self, epoch: int) -> None:
        if not math.isfinite(self.loss):
            raise FloatingPointError(
                f"the loss became {self.loss} in epoch {epoch}, and the model is as it was before that epoch: lower lr "
                f"or circuit_lr, or look for NaN in the data"
            )


@torch.no_grad()
def _measure(
    model: nn.Module, loader: Iterable[Any], loss: Loss, device: torch.device
) -> tuple[float | None, float | None]:
    model.eval()
    meter = _Meter(device)
    for inputs, targets in _moved(loader, device):
        outputs = model(inputs)
        meter.add(loss(outputs, targets), outputs, targets)
    return (meter.loss, meter.accuracy) if meter.count else (None, None)


def _moved(loader: Iterable[Any], device: torch.device) -> Iterable[tuple[Any, Any]]:
    for batch in loader:
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            raise ValueError(f"a batch must be a pair (inputs, targets), got a {type(batch).__name__}")
        inputs, targets = (item.to(device, non_blocking=True) if isinstance(item, Tensor) else item for item in batch)
        yield inputs, targets


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _state(
    history: list[Epoch], optimizer: torch.optim.Optimizer, rates: list[float], loader: Iterable[Any]
) -> dict[str, Any]:
    random = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        random["cuda"] = torch.cuda.get_rng_state()
    generator = getattr(loader, "generator", None)
    if isinstance(generator, torch.Generator):
        random["loader"] = generator.get_state()
    return {
        "history": [asdict(entry) for entry in history],
        "optimizer": optimizer.state_dict(),
        "rates": rates,
        "random": random,
    }


def _set_random_state(random: dict[str, Tensor], loader: Iterable[Any]) -> None:
    torch.set_rng_state(random["torch"].cpu())
    if "cuda" in random and torch.cuda.is_available():
        torch.cuda.set_rng_state(random["cuda"].cpu())
    generator = getattr(loader, "generator", None)
    if "loader" in random and isinstance(generator, torch.Generator):
        generator.set_state(random["loader"].cpu())

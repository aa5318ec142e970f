"""A training's checkpoint: towers, the best ones so far, Adam's state and how far it has got, in one file.

Knows nothing of lessons or losses. All stands under its parameter's name, so that no state can be taken for another
parameter's; the file is there whole or not at all.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

FILE = "state.safetensors"


class CheckpointError(ValueError):
    """A checkpoint from which this training cannot go on; says what to do about it."""


class Progress(NamedTuple):
    """How far a training has got."""

    epochs: int
    best_epochs: int
    """After which validation was best."""
    best_ndcg: float
    waited: int
    """Epochs since."""


def save(
    folder: Path,
    towers: nn.Module,
    optimizer: torch.optim.Optimizer,
    best: Mapping[str, Tensor],
    progress: Progress,
    training: Mapping[str, Any],
) -> None:
    """Writes a checkpoint to `folder`, which is made if it is not there.

    Args:
        folder: of one training.
        towers, optimizer: as they are now.
        best: state of the best towers so far.
        progress: so far.
        training: what tells this training from others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"now.{name}": told for name, told in towers.state_dict().items()}
    tensors |= {f"best.{name}": told for name, told in best.items()}
    for name, parameter in towers.named_parameters():
        tensors |= {f"adam.{name}.{what}": told for what, told in optimizer.state[parameter].items()}
    about = {"training": _told(training, towers), "progress": progress}
    half = folder / f"{FILE}.half"
    safetensors.torch.save_file(
        {name: told.contiguous().cpu() for name, told in tensors.items()},
        half,
        {name: json.dumps(told) for name, told in about.items()},
    )
    half.rename(folder / FILE)


def resume(
    folder: Path, towers: nn.Module, optimizer: torch.optim.Optimizer, training: Mapping[str, Any]
) -> tuple[dict[str, Tensor], Progress] | None:
    """Puts towers and optimiser where the checkpoint left them; the best state so far, and how far. None without one.

    Raises:
        CheckpointError: the folder holds a checkpoint of another training, or a damaged one.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        with safetensors.safe_open(path, "pt") as file:
            about = {name: json.loads(told) for name, told in (file.metadata() or {}).items()}
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path} is damaged ({error}): remove it, and training begins anew") from error
    mine, theirs = _told(training, towers), about.get("training", {})
    others = [name for name in mine if theirs.get(name) != mine[name]]
    if others:
        raise CheckpointError(
            f"{folder} holds a checkpoint of another training: its {', '.join(others)} are not this one's; name "
            "another folder, or remove it"
        )
    tensors = safetensors.torch.load_file(path, device=str(next(towers.parameters()).device))
    towers.load_state_dict(_under(tensors, "now."))
    parameters = dict(towers.named_parameters())
    for told, value in _under(tensors, "adam.").items():
        name, what = told.rsplit(".", 1)
        optimizer.state[parameters[name]][what] = value.cpu() if what == "step" else value
    return _under(tensors, "best."), Progress(*about["progress"])


def _told(training: Mapping[str, Any], towers: nn.Module) -> dict[str, Any]:
    """What tells a training from others, as JSON gives it back."""
    shapes = {name: list(told.shape) for name, told in towers.state_dict().items()}
    told: dict[str, Any] = json.loads(json.dumps({**training, "parameters": shapes}))
    return told


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): told for name, told in tensors.items() if name.startswith(prefix)}

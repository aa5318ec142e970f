"""A text encoder in torch that can be tuned: whole, or through adapters beside weights that stay.

Knows nothing of pairs and losses. The texts' ids come from the tokenizer as it serves, the vectors are pooled as
`model/encoder.py` pools them, and what is saved is a plain encoder: adapters are merged into the weights.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from model.tokenizer import open_tokenizer, token_ids
from model.training.encoder_export import open_network
from model.training.encoders import EncoderError, pooling_of
from model.training.vocabulary import mended

Adapter = Literal["frozen", "lora", "adalora", "full"]
ORTHOGONALITY = 0.5  # AdaLoRA's own default: factors that are not orthogonal make its ranking of ranks meaningless.
BESIDE = ("tokenizer_config.json", "special_tokens_map.json")


class TextNetwork:
    """The network, its tokenizer and its adapter. There is no dropout: the same texts give the same vectors."""

    def __init__(
        self,
        folder: Path,
        adapter: Adapter = "frozen",
        rank: int = 16,
        steps: int = 1,
        max_tokens: int = 64,
        device: str = "cpu",
        bf16: bool = False,
        seed: int = 0,
    ) -> None:
        """Opens the encoder in `folder`: safetensors, config.json and tokenizer.json.

        Args:
            folder: where it is.
            adapter: lora: Hu et al. 2021; adalora: Zhang et al. 2023, which begins with half as many ranks again and
                keeps those that matter; full: every weight; frozen: none.
            rank: of an adapter. More: it can move further, and forgets more.
            steps: of training; AdaLoRA plans its ranks by them.
            max_tokens: of a text.
            device: cpu, cuda or cuda:N.
            bf16: products in bfloat16, weights and sums in fp32.
            seed: of the adapter's first weights.

        Raises:
            EncoderError: no encoder there, or no GPU.
        """
        for name in ("model.safetensors", "tokenizer.json"):
            if not (folder / name).is_file():
                raise EncoderError(f"{folder} has no {name}: only an encoder in safetensors can be tuned")
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise EncoderError(f"device {device} is not there; set device = cpu to tune without a GPU")
        self._folder, self._adapter, self._bf16 = folder, adapter, bf16
        self._device = torch.device(device)
        self._tokenizer = open_tokenizer(folder / "tokenizer.json", max_tokens)
        self._cls = pooling_of([folder / "tokenizer.json"]) == "cls"
        network = open_network(folder)
        if getattr(network, "pooler", None) is not None:
            network.pooler = None  # Not on the way to the vector; an adapter on it would have no gradient.
        network.requires_grad_(adapter == "full")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._network: Any = _adapted(network, adapter, rank, steps).to(self._device).eval()

    @property
    def trained(self) -> dict[str, torch.nn.Parameter]:
        """The parameters that learn, by name."""
        return {name: each for name, each in self._network.named_parameters() if each.requires_grad}

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text."""
        return token_ids(self._tokenizer, texts)

    def vectors(self, ids: Sequence[Sequence[int]]) -> Tensor:
        """(T, D) unit vectors of token rows, fp32."""
        longest = max(map(len, ids))
        tokens = torch.tensor([[*row, *[0] * (longest - len(row))] for row in ids], device=self._device)
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids], device=self._device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            hidden: Tensor = self._network(input_ids=tokens, attention_mask=mask).last_hidden_state
        hidden = hidden.float()
        mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        pooled = hidden[:, 0] if self._cls else mean
        return torch.nn.functional.normalize(pooled, dim=1)

    def backward_penalty(self) -> None:
        """Adds AdaLoRA's pull to orthogonal factors (equation 4) to the gradients; nothing for the others."""
        if self._adapter != "adalora":
            return
        apart = []
        for name, factor in self.trained.items():
            if "lora_A" in name or "lora_B" in name:
                square = factor @ factor.T if "lora_A" in name else factor.T @ factor
                apart.append((square - torch.eye(len(square), device=self._device)).norm())
        (ORTHOGONALITY * torch.stack(apart).mean()).backward()  # type: ignore[no-untyped-call, unused-ignore]

    def keep_ranks(self, step: int) -> None:
        """After the optimizer's step, before the gradients go: AdaLoRA weighs its ranks."""
        if self._adapter == "adalora":
            self._network.base_model.update_and_allocate(step)

    def state(self) -> dict[str, Any]:
        """All that training has changed; for `restore`."""
        told: dict[str, Any] = {"weights": {name: each.detach().clone() for name, each in self.trained.items()}}
        if self._adapter == "adalora":
            allocator, config = self._network.base_model.rankallocator, self._network.active_peft_config
            told["ranks"] = {name: getattr(allocator, name) for name in ("ipt", "exp_avg_ipt", "exp_avg_unc")}
            told["pattern"] = config.rank_pattern
        return told

    def restore(self, state: Mapping[str, Any]) -> None:
        """Back to a `state`."""
        with torch.no_grad():
            for name, each in self.trained.items():
                each.copy_(state["weights"][name])
        if self._adapter == "adalora":
            for name, told in state["ranks"].items():
                setattr(self._network.base_model.rankallocator, name, told)
            self._network.active_peft_config.rank_pattern = state["pattern"]

    def save(self, folder: Path) -> None:
        """Writes the encoder with its adapter merged: what `encoder_export.export` and `model init` take.

        The network is the merged one from then on.
        """
        if self._adapter in ("lora", "adalora"):
            self._network = self._network.merge_and_unload()
            self._adapter = "frozen"
        self._network.save_pretrained(folder)
        (folder / "tokenizer.json").write_bytes(mended(self._folder / "tokenizer.json"))
        for name in BESIDE:
            if (self._folder / name).is_file():
                shutil.copyfile(self._folder / name, folder / name)
        (folder / "1_Pooling").mkdir()
        told = {"pooling_mode_cls_token": self._cls, "pooling_mode_mean_tokens": not self._cls}
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(told))


def _adapted(network: Any, adapter: Adapter, rank: int, steps: int) -> Any:
    """`network` with adapters on all its linear layers."""
    if adapter in ("frozen", "full"):
        return network
    try:
        import peft
    except ImportError as error:
        raise EncoderError(f"{adapter} needs peft: pip install 'firstclick[train]'") from error
    if adapter == "lora":
        config: Any = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear")
    else:
        first = rank + max(1, rank // 2)
        config = peft.AdaLoraConfig(
            target_r=rank,
            init_r=first,
            lora_alpha=2 * first,  # Divided by the first rank: twice the product, as with LoRA.
            target_modules="all-linear",
            total_step=steps,
            tinit=steps // 10,
            tfinal=steps // 4,
            deltaT=max(1, steps // 100),
        )
    return peft.get_peft_model(network, config)

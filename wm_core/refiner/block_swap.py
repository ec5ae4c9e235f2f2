"""More blocks than the device has room for: some rest in the computer's memory and come over one ahead of their turn.

Two blocks on the device serve as slots. While the model computes in one, a second CUDA stream copies the next weights into the
other; a slot is filled again only when the computation that used it is done. Elsewhere than on CUDA the copies wait their turn.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .memory import SLOTS
from .model import VideoRefiner


class _Slot:
    """A block on the device, the index of the weights it holds, and the events that guard them."""

    def __init__(self, block: nn.Module) -> None:
        self.block = block
        self.parameters = dict(block.named_parameters())
        self.holds: int | None = None
        self.filled: torch.cuda.Event | None = None
        self.used: torch.cuda.Event | None = None


class BlockSwap:
    """The weights of the swapped blocks, and the slots that they take turns in."""

    def __init__(self, blocks: Sequence[nn.Module], device: torch.device | str) -> None:
        self.device = torch.device(device)
        on_cuda = self.device.type == "cuda"
        self.stream = torch.cuda.Stream(self.device) if on_cuda else None
        self.resting = [{name: _pinned(p.detach(), on_cuda) for name, p in b.named_parameters()} for b in blocks]
        self._template = blocks[0]
        self._slots: list[_Slot] = []
        self._running: int | None = None

    def block(self, index: int) -> nn.Module:
        """The block with the weights of `index`, ready on the current stream; the one after it sets out."""
        slot, self._running = self._fill(index), index
        if slot.filled is not None:
            torch.cuda.current_stream(self.device).wait_event(slot.filled)
        return slot.block

    def used(self, index: int) -> None:
        """The current stream has been given all work of this block: its slot is free behind it."""
        if self.stream is not None:
            self._fill(index).used = torch.cuda.current_stream(self.device).record_event()

    def ahead(self, index: int) -> None:
        """The block after this one may set out."""
        if len(self.resting) > 1:
            self._fill((index + 1) % len(self.resting))

    def release(self) -> None:
        """Give the slots' memory back. They are made again when a block is next asked for."""
        if self.stream is not None:  # a copy may still be under way into memory that others get next
            torch.cuda.current_stream(self.device).wait_stream(self.stream)
        self._slots, self._running = [], None

    def bytes_on_device(self) -> int:
        """What the slots take now."""
        return sum(p.numel() * p.element_size() for slot in self._slots for p in slot.parameters.values())

    def _fill(self, index: int) -> _Slot:
        while len(self._slots) < min(SLOTS, len(self.resting)):
            self._slots.append(_Slot(_copy_of(self._template, self.device)))
        holding = [slot for slot in self._slots if slot.holds == index]
        if holding:
            return holding[0]
        slot = next(
            slot for slot in self._slots if slot.holds is None or slot.holds != self._running or len(self._slots) == 1
        )
        if self.stream is None:
            _copy(self.resting[index], slot.parameters)
        else:
            with torch.cuda.stream(self.stream):
                if slot.used is not None:
                    self.stream.wait_event(slot.used)
                _copy(self.resting[index], slot.parameters)
                slot.filled = self.stream.record_event()
        slot.holds = index
        return slot


class SwappedBlock(nn.Module):
    """Stands in the model for a block that rests; a module without weights of its own."""

    def __init__(self, swap: BlockSwap, index: int) -> None:
        super().__init__()
        self._swap = (swap, index)  # in a tuple: nothing of it is registered

    def forward(self, *arguments) -> Tensor:
        return self._run(lambda block: block(*arguments))

    def text_keys(self, text: Tensor) -> tuple[Tensor, Tensor]:
        return self._run(lambda block: block.text_keys(text))

    def _run(self, work):
        swap, index = self._swap
        try:
            result = work(swap.block(index))
        finally:
            swap.used(index)
        swap.ahead(index)
        return result


def swap_blocks(model: VideoRefiner, resident: int, device: torch.device | str) -> BlockSwap | None:
    """Let all but `resident` blocks rest where they are and run on `device`; None if every block stays.

    Those that stay are spread evenly, so that a copy has the time of several blocks. The model is changed.
    """
    total = len(model.transformer_blocks)
    resident = max(0, min(resident, total))
    stay = {round((i + 0.5) * total / resident - 0.5) for i in range(resident)}
    away = [i for i in range(total) if i not in stay]
    if not away:
        return None
    swap = BlockSwap([model.transformer_blocks[i] for i in away], device)
    for index, i in enumerate(away):
        model.transformer_blocks[i] = SwappedBlock(swap, index)
    return swap


def _copy_of(block: nn.Module, device: torch.device) -> nn.Module:
    """The block with weights of its own on the device. A host's quantised weights cannot be deep-copied, but cloned."""
    shared = {id(p): p for p in block.parameters()}
    made = copy.deepcopy(block, shared)
    for module in made.modules():
        for name, p in module.named_parameters(recurse=False):
            module.register_parameter(name, nn.Parameter(p.detach().clone().to(device), requires_grad=False))
    return made


def _pinned(tensor: Tensor, on_cuda: bool) -> Tensor:
    """In memory that a copy to the card need not wait for, where the tensor is of a kind that can be."""
    if not on_cuda or type(tensor) is not Tensor or tensor.device.type != "cpu":
        return tensor
    try:
        return tensor.pin_memory()
    except RuntimeError:  # the system locks no more memory; the copy then waits, which is slower and as right
        return tensor


@torch.no_grad()
def _copy(weights: dict[str, Tensor], into: dict[str, nn.Parameter]) -> None:
    for name, parameter in into.items():
        parameter.copy_(weights[name], non_blocking=True)

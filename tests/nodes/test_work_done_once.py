"""What a sampling run through the host makes once: its prompts, where its tokens are, and no pass that nobody reads."""

import gc
from collections import Counter
from contextlib import contextmanager

import pytest
import torch
from test_native import host_model, loop, loop_file, native, sample  # noqa: F401
from test_stream import CASES, roll, stream_file  # noqa: F401


@contextmanager
def counted(model):
    """How often each layer of the world model runs."""
    counts, net = Counter(), model.model.diffusion_model
    hooks = [
        module.register_forward_hook(lambda *_, name=name: counts.update([name]))
        for name, module in net.named_modules()
    ]
    yield counts
    for hook in hooks:
        hook.remove()


def read_once(counts, model, prompts):
    depth = model.model.diffusion_model.config.depth
    keys = [counts[f"blocks.{i}.cross_attn.kv_linear"] for i in range(depth)]
    return counts["y_embedder"] == prompts and keys == [prompts] * depth


def test_guided_steps_read_both_prompts_once(native, loop, loop_file):  # noqa: F811
    model = host_model(native, loop_file, "nvlabs")
    with counted(model) as counts:
        sample(native, loop, model)
    assert counts["x_embedder"] == 2 * loop.meta["sampler"]["steps"] and read_once(counts, model, 2)


def test_the_next_run_reads_its_own_prompt(native, loop, loop_file):  # noqa: F811
    model = host_model(native, loop_file, "nvlabs")
    first = sample(native, loop, model, sigmas=torch.tensor([1.0, 0.5]))
    text = loop.inputs["cond"]
    try:
        loop.inputs["cond"] = text + 1
        second = sample(native, loop, model, sigmas=torch.tensor([1.0, 0.5]))
    finally:
        loop.inputs["cond"] = text
    assert not torch.equal(first, second)
    assert torch.equal(first, sample(native, loop, model, sigmas=torch.tensor([1.0, 0.5])))


@pytest.mark.parametrize("name", CASES)
def test_a_stream_costs_its_steps(native, golden, stream_file, name):  # noqa: F811
    model = host_model(native, stream_file(name), "nvlabs")
    with counted(model) as counts:
        latents = roll(native, golden(name), model)
    chunks = max(1, latents.shape[2] // 3)
    assert counts["x_embedder"] == 4 * chunks and chunks > 1 and read_once(counts, model, 1)


def test_what_a_run_kept_is_gone_with_it(native, loop, loop_file):  # noqa: F811
    from sana_wm_pack.nodes import conds

    sample(native, loop, host_model(native, loop_file, "nvlabs"), sigmas=torch.tensor([1.0, 0.5]))
    gc.collect()
    assert len(conds._CAMERAS) == 0


def test_a_wrapper_of_the_model_is_shown_the_prompt(native, loop, loop_file):  # noqa: F811
    """Another node may change the context that goes into the model; then nothing that was read before counts."""
    import comfy.patcher_extension as extension

    model = host_model(native, loop_file, "nvlabs")
    plain = sample(native, loop, model, sigmas=torch.tensor([1.0, 0.5]))
    changed = model.clone()
    louder = lambda run, x, timestep, context, options, **conds: run(x, timestep, context * 2, options, **conds)
    changed.add_wrapper(extension.WrappersMP.DIFFUSION_MODEL, louder)
    assert not torch.allclose(sample(native, loop, changed, sigmas=torch.tensor([1.0, 0.5])), plain)


def test_a_cancelled_run_keeps_no_memory(native, loop, loop_file):  # noqa: F811
    """The host keeps the conditionings of a run that ended in an error, with the guider that it was asked of."""
    from sana_wm_pack.nodes import conds

    model, seen = host_model(native, loop_file, "nvlabs"), []
    net = model.model.diffusion_model

    def cancel(*_):
        seen.extend((once, once._read if isinstance(once, conds.PromptOnce) else once._placed) for once in conds._HOLDING)
        raise RuntimeError("cancelled")

    hook = net.final_layer.register_forward_hook(cancel)
    with pytest.raises(RuntimeError, match="cancelled"):
        sample(native, loop, model, sigmas=torch.tensor([1.0, 0.5]))
    hook.remove()
    kinds = {type(once) for once, held in seen if held is not None}
    assert kinds == {conds.PromptOnce, conds.CameraOnce}
    assert all((once._read if isinstance(once, conds.PromptOnce) else once._placed) is None for once, _ in seen)

"""Clips of the trial world made through the host's own sampling, as a graph would make them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from cases import ROOT

from tools.trial_scene import FOCAL, HELD_OUT, SIZE, make_scene, render

MODELS = ROOT / "assets/models"
WORLD = MODELS / "diffusion_models/sana_wm_trial_world.safetensors"
VAE_FILE = MODELS / "vae/sana_wm_trial_world_vae.safetensors"
PROMPT = MODELS / "sana_wm_text/sana_wm_trial_world_prompt.safetensors"


def call(node, *args, **kwargs):
    """Run a node the way the host does: on a clone that knows its hidden inputs."""
    clone = node.PREPARE_CLASS_CLONE(None)
    clone.hidden = type(clone.hidden).from_dict(None)
    return clone.execute(*args, **kwargs).args


@dataclass(frozen=True, eq=False)
class TrialWorld:
    """The trial world's models in the host."""

    model: object
    vae: object
    prompt: list
    sigmas: torch.Tensor

    def sample(self, positive, negative, latent, seed=0):
        """A LATENT from SamplerCustomAdvanced with core's euler and guider."""
        from comfy.samplers import sampler_object
        from comfy_extras.nodes_custom_sampler import CFGGuider, Noise_RandomNoise, SamplerCustomAdvanced

        guider = CFGGuider.execute(self.model, positive, negative, 1.0).args[0]
        out = SamplerCustomAdvanced.execute(
            Noise_RandomNoise(seed), guider, sampler_object("euler"), self.sigmas, latent
        )
        return out.args[0]

    def start(self, nodes, scene=0, actions="w-32", length=33, seed=0):
        """(LATENT, camera) of a clip that starts at a held-out scene."""
        camera = path_of(actions)
        picture = torch.from_numpy(render(make_scene(HELD_OUT + scene), camera.c2w[:1]).astype(np.float32) / 255)
        node = nodes.conditioning.SanaWMImageToVideo
        out = call(node, self.prompt, self.prompt, self.vae, picture, camera, SIZE[1], SIZE[0], length)
        return self.sample(*out, seed=seed), camera

    def go_on(self, nodes, previous, camera, actions="w-32", length=33, anchor=2, seed=1):
        """(LATENT, camera, overlap) of the clip that follows."""
        node = nodes.continue_clip.SanaWMContinueVideo
        out = call(node, self.prompt, self.prompt, self.vae, previous, camera, path_of(actions), length, anchor)
        return self.sample(*out[:3], seed=seed), out[3], out[4]

    def frames(self, latent):
        """All frames of a LATENT, (f, h, w, 3) uint8."""
        from sana_wm_pack.nodes.stages import decode_frames

        return np.concatenate(list(decode_frames(self.vae, latent["samples"])))


def path_of(actions):
    from sana_wm_pack.wm_core.camera import actions_to_path

    focal = FOCAL * SIZE[1]
    intrinsics = (focal, focal, SIZE[1] / 2, SIZE[0] / 2)
    return actions_to_path(actions, dialect="nvlabs-v1", size=SIZE, intrinsics=intrinsics)


def trial_world():
    from sana_wm_pack.nodes.native import video_vae, world_model
    from sana_wm_pack.wm_core.checkpoint import open_vae, open_world
    from sana_wm_pack.wm_core.sampling import released_schedule
    from sana_wm_pack.wm_core.text import load_embedding

    opened = open_world(WORLD)
    embedding = load_embedding(PROMPT)
    prompt = [[embedding.embedding, {"attention_mask": embedding.mask}]]
    sigmas = released_schedule(opened.info.sampling.steps, opened.info.sampling.shift)
    return TrialWorld(world_model(opened), video_vae(*open_vae(VAE_FILE)), prompt, sigmas)

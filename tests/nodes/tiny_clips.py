"""Clips of the tiny world made through the host's own sampling, as a graph would make them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from cases import ROOT

MODELS = ROOT / "assets/models"
WORLD = MODELS / "diffusion_models/sana_wm_tiny_world.safetensors"
VAE_FILE = MODELS / "vae/sana_wm_tiny_world_vae.safetensors"
TEXT_FILE = MODELS / "text_encoders/sana_wm_tiny_world_text.safetensors"
SIZE = (128, 224)  # pixels (h, w) that the models were trained at


def call(node, *args, **kwargs):
    """Run a node the way the host does: on a clone that knows its hidden inputs."""
    clone = node.PREPARE_CLASS_CLONE(None)
    clone.hidden = type(clone.hidden).from_dict(None)
    return clone.execute(*args, **kwargs).args


@dataclass(frozen=True, eq=False)
class TinyWorld:
    """The tiny world's models in the host."""

    model: object
    vae: object
    clip: object
    sigmas: torch.Tensor

    def prompt(self, scene=0):
        """The words of a held-out scene, encoded."""
        from sana_wm_pack.nodes.text import encode_prompt

        with torch.inference_mode():
            return encode_prompt(self.clip, scene_of(scene).prompt("day"))

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
        from sana_wm_pack.wm_core.tiny_world import render

        camera, prompt = path_of(actions), self.prompt(scene)
        first = render(scene_of(scene), camera.c2w[:1], camera.intrinsics[:1], SIZE)
        picture = torch.from_numpy(first.astype(np.float32) / 255)
        node = nodes.conditioning.SanaWMImageToVideo
        out = call(node, prompt, prompt, self.vae, picture, camera, SIZE[1], SIZE[0], length)
        return self.sample(*out, seed=seed), camera

    def go_on(self, nodes, previous, camera, actions="w-32", length=33, anchor=2, seed=1):
        """(LATENT, camera, overlap) of the clip that follows one of the first scene."""
        node, prompt = nodes.continue_clip.SanaWMContinueVideo, self.prompt()
        out = call(node, prompt, prompt, self.vae, previous, camera, path_of(actions), length, anchor)
        return self.sample(*out[:3], seed=seed), out[3], out[4]

    def frames(self, latent):
        """All frames of a LATENT, (f, h, w, 3) uint8."""
        from sana_wm_pack.nodes.stages import decode_frames

        return np.concatenate(list(decode_frames(self.vae, latent["samples"])))


def path_of(actions):
    """A camera that starts with the view of a scene."""
    from sana_wm_pack.wm_core.camera import actions_to_path
    from sana_wm_pack.wm_core.tiny_world import USUAL_FOCAL

    focal = USUAL_FOCAL * SIZE[1]
    intrinsics = (focal, focal, SIZE[1] / 2, SIZE[0] / 2)
    return actions_to_path(actions, dialect="nvlabs-v1", size=SIZE, intrinsics=intrinsics)


def scene_of(number):
    from sana_wm_pack.wm_core.tiny_world import HELD_OUT, make_scene

    return make_scene(HELD_OUT + number)


def tiny_world():
    from sana_wm_pack.nodes.native import video_vae, world_model
    from sana_wm_pack.nodes.text import load_text_encoder
    from sana_wm_pack.wm_core.checkpoint import open_vae, open_world
    from sana_wm_pack.wm_core.sampling import released_schedule

    opened = open_world(WORLD)
    sigmas = released_schedule(opened.info.sampling.steps, opened.info.sampling.shift)
    clip = load_text_encoder(str(TEXT_FILE), device="cpu")
    return TinyWorld(world_model(opened), video_vae(*open_vae(VAE_FILE)), clip, sigmas)

"""Released files that the example workflows name, with the places that the frontend offers to fetch them from."""

from __future__ import annotations

_RELEASED = "https://huggingface.co/Efficient-Large-Model/SANA-WM_bidirectional/resolve/main"
WORLD = {
    "name": "sana_wm_1600m_720p.safetensors",
    "url": f"{_RELEASED}/dit/sana_wm_1600m_720p.safetensors",
    "directory": "diffusion_models",
}
VAE = {
    "name": "sana_wm_ltx2_vae.safetensors",
    "url": f"{_RELEASED}/vae/diffusion_pytorch_model.safetensors",
    "directory": "vae",
}
STREAMING_WORLD = "sana_wm_streaming_bf16.safetensors"  # made of the released training pickle by tools/convert
CAUSAL_VAE = {
    "name": "sana_wm_ltx2_causal_vae.safetensors",
    "url": "https://huggingface.co/Efficient-Large-Model/SANA-WM_streaming/resolve/main/ltx2_causal_vae/"
    "diffusion_pytorch_model.safetensors",
    "directory": "vae",
}
TEXT = {
    "name": "gemma_2_2b_fp16.safetensors",
    "url": "https://huggingface.co/Comfy-Org/Lumina_Image_2.0_Repackaged/resolve/main/split_files/text_encoders/"
    "gemma_2_2b_fp16.safetensors",
    "directory": "text_encoders",
}
# The refiner is a folder of its release, and both its files need the config.json beside them.
REFINER = "sana_wm_refiner/transformer/diffusion_pytorch_model.safetensors"
GEMMA3 = {
    "name": "gemma_3_12B_it_fp8_scaled.safetensors",
    "url": "https://huggingface.co/Comfy-Org/ltx-2/resolve/main/split_files/text_encoders/"
    "gemma_3_12B_it_fp8_scaled.safetensors",
    "directory": "text_encoders",
}
PROMPT = (
    "A quiet village street in late afternoon light: stone houses with flower boxes, a cobbled lane, a fountain in the "
    "distance, soft shadows. The world is still but alive: leaves stir, water glitters, a cat sleeps on a wall."
)

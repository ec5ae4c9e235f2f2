"""SANA-WM's world model without a host: torch, numpy, einops, safetensors, kornia. Import the subpackage you need."""

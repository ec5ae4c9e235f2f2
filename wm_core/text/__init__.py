"""Text side of the world model: the prompt's tokens, the encoder's file, the embedding's file."""

from .embedding_file import PromptEmbedding, load_embedding, save_embedding
from .gemma2 import GEMMA_2_2B, GemmaConfig, check_text_encoder, gemma_weight_shapes
from .ltx2 import pack_hidden_states
from .prompts import INSTRUCTION, TEXT_TOKENS, has_instruction, select_tokens, token_ids, with_instruction

__all__ = [
    "GEMMA_2_2B",
    "INSTRUCTION",
    "TEXT_TOKENS",
    "GemmaConfig",
    "PromptEmbedding",
    "check_text_encoder",
    "gemma_weight_shapes",
    "has_instruction",
    "load_embedding",
    "pack_hidden_states",
    "save_embedding",
    "select_tokens",
    "token_ids",
    "with_instruction",
]

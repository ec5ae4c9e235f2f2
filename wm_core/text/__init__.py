"""Text side of the world model: the prompt's tokens, the encoder's file, the embedding's file."""

from .embedding_file import PromptEmbedding, load_embedding, save_embedding
from .gemma2 import GEMMA_2_2B, GemmaConfig, check_text_encoder, gemma_weight_shapes, stated_config
from .gemma3 import GEMMA_3_12B, Gemma3Files, gemma3_fingerprint, gemma3_sizes, gemma3_weight_shapes, open_gemma3
from .gemma3_tokens import REFINER_TOKENS, gemma3_tokenizer, refiner_token_ids, tokenizer_package
from .ltx2 import pack_hidden_states
from .prompt_cache import PromptCache
from .prompts import INSTRUCTION, TEXT_TOKENS, has_instruction, select_tokens, token_ids, with_instruction

__all__ = [
    "GEMMA_2_2B",
    "GEMMA_3_12B",
    "INSTRUCTION",
    "REFINER_TOKENS",
    "TEXT_TOKENS",
    "Gemma3Files",
    "GemmaConfig",
    "PromptCache",
    "PromptEmbedding",
    "check_text_encoder",
    "gemma3_fingerprint",
    "gemma3_sizes",
    "gemma3_tokenizer",
    "gemma3_weight_shapes",
    "gemma_weight_shapes",
    "has_instruction",
    "load_embedding",
    "open_gemma3",
    "pack_hidden_states",
    "refiner_token_ids",
    "save_embedding",
    "select_tokens",
    "stated_config",
    "token_ids",
    "tokenizer_package",
    "with_instruction",
]

"""Worlds that go on: rolling generation with sessions that can be saved, resumed, rewound and branched."""

from .run import PoseProvider, Prompt, RolloutEvent, Stages, given_path, open_session, rewind, run, step
from .session import ChunkRecord, Recipe, Session, fingerprint_model, fingerprint_prompt
from .session_file import load_session, save_session
from .video_writer import VideoWriter, eight_bit, finish

__all__ = [
    "ChunkRecord",
    "PoseProvider",
    "Prompt",
    "Recipe",
    "RolloutEvent",
    "Session",
    "Stages",
    "VideoWriter",
    "eight_bit",
    "fingerprint_model",
    "fingerprint_prompt",
    "finish",
    "given_path",
    "load_session",
    "open_session",
    "rewind",
    "run",
    "save_session",
    "step",
]

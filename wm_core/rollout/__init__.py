"""Worlds that go on: rolling generation with sessions that can be saved, resumed, rewound and branched."""

from .run import PoseProvider, Prompt, RolloutEvent, Stages, given_path, open_session, rewind, run, step
from .seam import SeamReport, pose_jump, seam_picture, seam_report
from .session import ChunkRecord, Recipe, Session, fingerprint_model, fingerprint_prompt
from .session_file import load_session, save_session
from .stitch import ColourMatch, Joined, join_clips, join_paths
from .video_writer import VideoWriter, eight_bit, finish

__all__ = [
    "ChunkRecord",
    "ColourMatch",
    "Joined",
    "PoseProvider",
    "Prompt",
    "Recipe",
    "RolloutEvent",
    "SeamReport",
    "Session",
    "Stages",
    "VideoWriter",
    "eight_bit",
    "fingerprint_model",
    "fingerprint_prompt",
    "finish",
    "given_path",
    "join_clips",
    "join_paths",
    "load_session",
    "open_session",
    "pose_jump",
    "rewind",
    "run",
    "save_session",
    "seam_picture",
    "seam_report",
    "step",
]

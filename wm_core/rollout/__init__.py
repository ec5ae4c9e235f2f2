"""Worlds that go on: rolling generation with sessions that can be saved, resumed, rewound and branched."""

from .run import Plan, PoseProvider, RolloutEvent, given_path, open_session, rewind, run, step
from .seam import SeamReport, pose_jump, seam_picture, seam_report
from .session import ChunkRecord, Prompt, Recipe, Session, fingerprint_model
from .session_file import load_session, save_session
from .stages import Stages, stages_of
from .stitch import ColourMatch, Joined, join_clips, join_paths
from .video_writer import VideoWriter, eight_bit, finish

__all__ = [
    "ChunkRecord",
    "ColourMatch",
    "Joined",
    "Plan",
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
    "stages_of",
    "step",
]

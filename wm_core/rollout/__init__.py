"""Worlds that go on: rolling generation with sessions that can be saved, resumed, rewound and branched."""

from .colour_match import ColourMatch
from .path_join import Meeting, compare_paths, join_paths, pose_jump
from .run import Plan, PoseProvider, RolloutEvent, given_path, open_session, rewind, run, step
from .seam import SeamMeter, SeamReport, seam_report
from .seam_drawing import draw_seam, seam_picture
from .session import ChunkRecord, Prompt, Recipe, Session, fingerprint_model
from .session_file import load_session, save_session
from .stages import Stages, stages_of
from .stitch import Join, Joined, in_pieces, join_clips, join_pieces
from .video_reader import VideoClip, open_video
from .video_writer import VideoWriter, eight_bit, finish

__all__ = [
    "ChunkRecord",
    "ColourMatch",
    "Join",
    "Joined",
    "Meeting",
    "Plan",
    "PoseProvider",
    "Prompt",
    "Recipe",
    "RolloutEvent",
    "SeamMeter",
    "SeamReport",
    "Session",
    "Stages",
    "VideoClip",
    "VideoWriter",
    "compare_paths",
    "draw_seam",
    "eight_bit",
    "fingerprint_model",
    "finish",
    "given_path",
    "in_pieces",
    "join_clips",
    "join_paths",
    "join_pieces",
    "load_session",
    "open_session",
    "open_video",
    "pose_jump",
    "rewind",
    "run",
    "save_session",
    "seam_picture",
    "seam_report",
    "stages_of",
    "step",
]

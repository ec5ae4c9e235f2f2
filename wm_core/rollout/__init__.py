"""Worlds that go on: rolling generation with sessions that can be saved, resumed, rewound and branched."""

from .colour_match import ColourMatch
from .film import (
    DRAFT,
    FILM,
    LAST_FRAME,
    SIDECAR,
    open_film,
    read_last_frame,
    record,
    write_refined_sidecar,
    write_sidecar,
)
from .overlap import run_overlapped
from .pair_drawing import draw_pair
from .pair_report import report_pair
from .pair_views import PairView, frame_pairs
from .path_join import Meeting, compare_paths, join_paths, pose_jump
from .plan import Plan, PoseProvider, given_path
from .refined_file import RefinedKey, find_refined, fingerprint_latents, load_blocks, save_block
from .resume import Found, find_session, planned_chunks
from .run import RolloutEvent, caught_up, open_session, run, step
from .seam import SeamMeter, SeamReport, seam_report
from .seam_drawing import draw_seam, seam_picture
from .session import Carried, ChunkRecord, Prompt, Recipe, RefinerUse, Session, fingerprint_cameras, fingerprint_model
from .session_file import SessionOutline, load_session, read_outline, save_session
from .stages import Stages, stages_of
from .stitch import Join, Joined, in_pieces, join_clips, join_pieces
from .video_reader import VideoClip, open_video
from .video_writer import VideoWriter, eight_bit, finish

__all__ = [
    "DRAFT",
    "FILM",
    "LAST_FRAME",
    "SIDECAR",
    "Carried",
    "ChunkRecord",
    "ColourMatch",
    "Found",
    "Join",
    "Joined",
    "Meeting",
    "PairView",
    "Plan",
    "PoseProvider",
    "Prompt",
    "Recipe",
    "RefinedKey",
    "RefinerUse",
    "RolloutEvent",
    "SeamMeter",
    "SeamReport",
    "Session",
    "SessionOutline",
    "Stages",
    "VideoClip",
    "VideoWriter",
    "caught_up",
    "compare_paths",
    "draw_pair",
    "draw_seam",
    "eight_bit",
    "find_refined",
    "find_session",
    "fingerprint_cameras",
    "fingerprint_latents",
    "fingerprint_model",
    "finish",
    "frame_pairs",
    "given_path",
    "in_pieces",
    "join_clips",
    "join_paths",
    "join_pieces",
    "load_blocks",
    "load_session",
    "open_film",
    "open_session",
    "open_video",
    "planned_chunks",
    "pose_jump",
    "read_last_frame",
    "read_outline",
    "record",
    "report_pair",
    "run",
    "run_overlapped",
    "save_block",
    "save_session",
    "seam_picture",
    "seam_report",
    "stages_of",
    "step",
    "write_refined_sidecar",
    "write_sidecar",
]

"""A row of the dialect table as the editor gets it; tests/host/test_editor_server.py holds the server to it."""

from __future__ import annotations

import json
from dataclasses import asdict

from wm_core.camera import Dialect


def as_sent(dialect: Dialect) -> dict:
    row = {
        "name": dialect.name,
        "keys": dict(dialect.keys),
        "translation_speed": dialect.translation_speed,
        "rotation_speed_deg": dialect.rotation_speed_deg,
        "pitch_limit_deg": dialect.pitch_limit_deg,
        "at_pitch_limit": dialect.at_pitch_limit,
        "inertia": asdict(dialect.inertia),
        "strafe_yaw": dialect.strafe_yaw,
        "flat_guard": dialect.flat_guard,
    }
    return json.loads(json.dumps(row))

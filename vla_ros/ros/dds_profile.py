"""Where Fast DDS looks for the profile that gives it shared memory enough for pictures."""

from __future__ import annotations

# Fast DDS 3 (from Kilted on) reads the first, Fast DDS 2 (up to Jazzy) the second.
PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")

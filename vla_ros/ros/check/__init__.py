"""`check`: robot file, checkpoint, URDF and the live graph held against each other; nothing moves.

`command` runs it: `files` (no ROS needed), then `listening` hears the graph for some seconds, and
`cameras`, `arm`, `buttons`, `outputs` and `servo` judge what was heard.
"""

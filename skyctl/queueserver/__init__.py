"""What a queue server loads: `startup` for bluesky-queueserver and blueapi, and their settings."""

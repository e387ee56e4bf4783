"""What stands between a film and who looks at it: camera, pinning, one sample and the next."""
